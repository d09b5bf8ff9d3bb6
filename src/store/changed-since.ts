import type { Queryable } from '../db/database.ts';
import { readStoreOrigin, type StoreOrigin } from './store-origin.ts';

/** What a backup held, as far as it tells what has changed since. */
export interface HeldState extends HeldRows {
  /** Of the database that {@link seenXid} is of. */
  readonly origin: StoreOrigin;
}

export interface HeldRows {
  /** pg_snapshot_xmin() of its snapshot: what was under way then may have come later, and stands at or behind it. */
  readonly seenXid: string;
  /** Of engram.store: a restore puts rows in their place that no transaction id tells of. */
  readonly epoch: number;
  readonly banks: number;
}

/** Whether anything that is remembered has changed since, or may have: nobody compares transaction ids of two histories. */
export async function hasChangedSince(db: Queryable, held: HeldState): Promise<boolean> {
  return !(await isOfThisHistory(db, held)) || (await hasNewRows(db, held));
}

/** What pg_restore fills has rows with the transaction ids of where they come from, and counts on from its own. */
async function isOfThisHistory(db: Queryable, { origin, seenXid }: HeldState): Promise<boolean> {
  const here = await readStoreOrigin(db);
  if (here.clusterId === null || here.clusterId !== origin.clusterId) return false;
  if (here.databaseOid !== origin.databaseOid) return false;
  // No table. A cluster that was set back has yet to give the ids that it is asked about.
  const { rows } = await db.query<{ isPast: boolean }>(
    'select $1::xid8 <= pg_snapshot_xmax(pg_current_snapshot()) as "isPast"',
    [seenXid],
  );
  return rows[0]?.isPast === true;
}

/**
 * Whether anything that is remembered has changed since. What the daemon notes of itself (calls, cycles, digests) is no
 * change: it would be one every night.
 */
export async function hasNewRows(db: Queryable, held: HeldRows): Promise<boolean> {
  // Indexes memories_changed, observations_changed and events_changed, a probe a bank. Tombstones are few, and those of a
  // deleted bank stand alone. Banks have no transaction id but the system's own, of 32 bits: at or behind the other one
  // is, as for the server, what is less than half of the circle ahead of it.
  const { rows } = await db.query<{ changed: boolean }>(
    `select (select epoch from engram.store) <> $2 or (select count(*) from engram.banks) <> $3
       or exists (select from engram.vector_tombstones where change_xid >= $1::xid8)
       or exists (
         select from engram.banks b
         where (b.xmin::text::bigint - ($1::xid8::text::numeric % 4294967296)::bigint + 4294967296) % 4294967296 < 2147483648
           or exists (select from engram.memories where bank_id = b.id and change_xid >= $1::xid8)
           or exists (select from engram.observations where bank_id = b.id and change_xid >= $1::xid8)
           or exists (select from engram.events where bank_id = b.id and change_xid >= $1::xid8)) as changed`,
    [held.seenXid, held.epoch, held.banks],
  );
  return rows[0]?.changed !== false;
}
