import type { Queryable } from '../db/database.ts';

/** What waits for its score, and what is pinned, in the whole store. */
export interface ScoreCounts {
  /** Those that rest included. */
  readonly unscored: number;
  /** How long the first of them has been waiting in this store, its rests included; 0 where there is none. */
  readonly oldestUnscoredSeconds: number;
  /** Given up; `jobs retry` brings them back. Without those of invalidated memories, whose scores nobody waits for. */
  readonly parked: number;
  readonly manualPins: number;
  readonly autoPins: number;
  /** Pins beyond the cap of their bank, over all banks. */
  readonly overCap: number;
}

export async function countScores(db: Queryable, pinCap: number): Promise<ScoreCounts> {
  // Indexes memories_unscored, memories_score_parked and memories_pinned, each in full: the last two are short.
  const { rows } = await db.query<ScoreCounts>(
    `select u.n as unscored,
       greatest(0, coalesce(extract(epoch from statement_timestamp() - u.oldest), 0))::float8 as "oldestUnscoredSeconds",
       (select count(*) from engram.memories where score_parked is not null and invalidated_at is null) as parked,
       p.manual as "manualPins", p.auto as "autoPins", p.over_cap as "overCap"
     from (
       -- A restore brings back how long it had waited then, and the time since.
       select count(*) as n, greatest(min(score_due_at), (select restored_at from engram.store)) as oldest
       from engram.memories
       where scored_version is distinct from version and score_parked is null and invalidated_at is null) as u
     cross join (
       select coalesce(sum(manual), 0)::int as manual, coalesce(sum(auto), 0)::int as auto,
         coalesce(sum(greatest(valid - $1, 0)), 0)::int as over_cap
       from (
         select count(*) filter (where pin = 'manual')::int as manual, count(*) filter (where pin = 'auto')::int as auto,
           count(*) filter (where invalidated_at is null)::int as valid
         from engram.memories where pin is not null group by bank_id) as by_bank) as p`,
    [pinCap],
  );
  const [row] = rows;
  if (!row) throw new Error('an aggregate answered with no row');
  return row;
}

/** How many memories were scored, and pinned for their score, since then; over all banks. */
export async function scoresSince(db: Queryable, since: Date): Promise<{ scored: number; pinned: number }> {
  // Index events_significance a bank.
  const { rows } = await db.query<{ scored: number; pinned: number }>(
    `select count(*) filter (where e.kind = 'memory.scored')::int as scored,
       count(*) filter (where e.kind = 'memory.pinned' and e.detail ->> 'pin' = 'auto')::int as pinned
     from engram.banks b
     join engram.events e on e.bank_id = b.id and e.at >= $1
       and e.kind in ('memory.scored', 'memory.pinned', 'memory.unpinned', 'memory.evicted')`,
    [since],
  );
  return rows[0] ?? { scored: 0, pinned: 0 };
}
