import type { BuildStore, Claim, SavedBuild } from '../builds/build-store.ts';
import type { Queryable } from '../db/database.ts';

interface SavedRow {
  readonly fence: number;
  readonly built_at: Date;
  readonly age_seconds: number;
  readonly rows: number;
  readonly seen_xid: string;
  readonly is_complete: boolean;
  readonly payload: Buffer;
}

/**
 * Builds and the leases on them, by the database's clock. A lease row stays when its lease is given back or runs out,
 * since its fence is what the next one has to be above; a bank has a handful of them.
 */
export function createBuildStore(db: Queryable): BuildStore {
  return {
    async load({ bankId, kind, key }): Promise<SavedBuild | null> {
      // Primary key.
      const { rows } = await db.query<SavedRow>(
        `select fence, built_at, extract(epoch from clock_timestamp() - built_at)::float8 as age_seconds, rows,
           seen_xid::text as seen_xid, is_complete, payload
         from engram.shared_builds where bank_id = $1 and kind = $2 and key = $3`,
        [bankId, kind, key],
      );
      const [row] = rows;
      if (!row) return null;
      return {
        fence: row.fence,
        builtAt: row.built_at,
        ageSeconds: row.age_seconds,
        rows: row.rows,
        seenXid: row.seen_xid,
        isComplete: row.is_complete,
        payload: row.payload,
      };
    },

    async claim({ bankId, kind, key }, holder, ttlMs): Promise<Claim> {
      // Primary keys. The bank first, as everywhere: whoever deletes it takes that row and then these.
      const { rows } = await db.query<{ fence: number | null }>(
        `with bank as materialized (select id from engram.banks where id = $1 for key share),
         leased as (
           insert into engram.build_leases as l (bank_id, kind, key, holder, fence, expires_at)
             select id, $2, $3, $4, 1, clock_timestamp() + make_interval(secs => $5::float8 / 1000) from bank
           on conflict (bank_id, kind, key) do update
             set holder = excluded.holder, fence = l.fence + 1,
               expires_at = clock_timestamp() + make_interval(secs => $5::float8 / 1000)
             where l.expires_at <= clock_timestamp()
           returning fence)
         select leased.fence from bank left join leased on true`,
        [bankId, kind, key, holder, ttlMs],
      );
      const [bank] = rows;
      if (!bank) return 'gone';
      return bank.fence === null ? 'held' : { fence: bank.fence };
    },

    async renew({ bankId, kind, key }, holder, fence, ttlMs) {
      // Primary key. One that has run out is not taken up again: its successor may be about to claim it.
      const { rowCount } = await db.query(
        `update engram.build_leases set expires_at = clock_timestamp() + make_interval(secs => $6::float8 / 1000)
         where bank_id = $1 and kind = $2 and key = $3 and holder = $4 and fence = $5 and expires_at > clock_timestamp()`,
        [bankId, kind, key, holder, fence, ttlMs],
      );
      return rowCount === 1;
    },

    async save({ bankId, kind, key }, fence, { rows, seenXid, isComplete, payload }) {
      // Primary keys. The lease row is locked, so that no successor begins between the look at it and the write.
      const { rowCount } = await db.query(
        `with bank as materialized (select id from engram.banks where id = $1 for key share),
         lease as materialized (
           select l.bank_id from bank b join engram.build_leases l on l.bank_id = b.id
           where l.kind = $2 and l.key = $3 and l.fence = $4 and l.expires_at > clock_timestamp()
           for no key update of l)
         insert into engram.shared_builds as s (bank_id, kind, key, fence, rows, seen_xid, is_complete, payload)
           select bank_id, $2, $3, $4, $5, $6::xid8, $7, $8 from lease
         on conflict (bank_id, kind, key) do update
           set fence = excluded.fence, built_at = now(), rows = excluded.rows, seen_xid = excluded.seen_xid,
             is_complete = excluded.is_complete, payload = excluded.payload
           -- A partial never replaces a complete one.
           where s.fence <= excluded.fence and (excluded.is_complete or not s.is_complete)`,
        [
          bankId,
          kind,
          key,
          fence,
          rows,
          seenXid,
          isComplete,
          Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength),
        ],
      );
      return rowCount === 1;
    },

    async release({ bankId, kind, key }, holder, fence) {
      // Primary key.
      await db.query(
        `update engram.build_leases set expires_at = '-infinity'
         where bank_id = $1 and kind = $2 and key = $3 and holder = $4 and fence = $5`,
        [bankId, kind, key, holder, fence],
      );
    },
  };
}

/**
 * What nobody has asked for in thirty days: of a model that was left. What is asked for is built again each day, if not for
 * being stale then by the next night.
 */
export async function pruneSharedBuilds(db: Queryable): Promise<number> {
  // A scan: a handful of rows a bank. Leases stay with their builds, and go when neither is of use: their fences are
  // compared with nothing else.
  const { rowCount } = await db.query(
    `with old as (delete from engram.shared_builds where built_at < now() - interval '30 days' returning bank_id, kind, key)
     delete from engram.build_leases l using old
     where l.bank_id = old.bank_id and l.kind = old.kind and l.key = old.key and l.expires_at < now()`,
  );
  return rowCount;
}
