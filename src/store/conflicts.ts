import type { Queryable } from '../db/database.ts';
import type { ConflictImage } from './change-ops.ts';

/** The conflict as it stands; nothing is locked. */
export async function findConflict(db: Queryable, bankId: string, id: string): Promise<ConflictImage | undefined> {
  // Primary key.
  const { rows } = await db.query<ConflictImage>(
    `select id, left_id as left, right_id as right, status, reason, resolution, change_set_id as "changeSetId",
       to_char(created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as "createdAt",
       to_char(resolved_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as "resolvedAt"
     from engram.conflicts where bank_id = $1 and id = $2`,
    [bankId, id],
  );
  return rows[0];
}

/** Locks the conflicts of these ids, and open ones of these observations. After the observations' locks (law L4). */
export async function lockConflicts(
  tx: Queryable,
  bankId: string,
  named: { readonly ids: readonly string[]; readonly observationIds: readonly string[] },
): Promise<ConflictImage[]> {
  if (named.ids.length + named.observationIds.length === 0) return [];
  // Primary key, conflicts_pair, conflicts_right.
  const { rows } = await tx.query<ConflictImage>(
    `select id, left_id as left, right_id as right, status, reason, resolution, change_set_id as "changeSetId",
       to_char(created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as "createdAt",
       to_char(resolved_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as "resolvedAt"
     from engram.conflicts
     where bank_id = $1 and (id = any($2::uuid[])
       or (status = 'open' and (left_id = any($3::uuid[]) or right_id = any($3::uuid[]))))
     order by id for no key update`,
    [bankId, named.ids, named.observationIds],
  );
  return rows;
}

/** Brings conflicts to their images, making those that are not there. */
export async function writeConflicts(
  tx: Queryable,
  bankId: string,
  conflicts: readonly ConflictImage[],
): Promise<void> {
  if (conflicts.length === 0) return;
  // Primary key.
  await tx.query(
    `insert into engram.conflicts (bank_id, id, left_id, right_id, status, reason, created_at, resolved_at, resolution,
       change_set_id, settled_at)
     select $1, r.id, r."left", r."right", r.status, r.reason, coalesce(r."createdAt", now()), r."resolvedAt",
       r.resolution, r."changeSetId", case when r.status = 'resolved' then clock_timestamp() end
     from jsonb_to_recordset($2::jsonb) as r(id uuid, "left" uuid, "right" uuid, status text, reason text,
       "createdAt" timestamptz, "resolvedAt" timestamptz, resolution text, "changeSetId" uuid)
     on conflict (bank_id, id) do update set status = excluded.status, resolved_at = excluded.resolved_at,
       resolution = excluded.resolution, change_set_id = excluded.change_set_id, settled_at = excluded.settled_at`,
    [bankId, JSON.stringify(conflicts)],
  );
}

export async function deleteConflicts(tx: Queryable, bankId: string, ids: readonly string[]): Promise<void> {
  if (ids.length === 0) return;
  // Primary key.
  await tx.query('delete from engram.conflicts where bank_id = $1 and id = any($2::uuid[])', [bankId, ids]);
}
