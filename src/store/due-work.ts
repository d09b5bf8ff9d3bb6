import type { Queryable } from '../db/database.ts';

/** What a bank has to do, by the database's clock. */
export interface DueWork {
  readonly bankId: string;
  readonly now: Date;
  /** Pending memories that may be worked on now, counted up to the limit asked for. */
  readonly due: number;
  /** Observations whose sources changed, but for those that an open proposal names; counted up to the limit too. */
  readonly replans: number;
  /** Since when the oldest of both is due. */
  readonly oldestDueAt: Date | null;
  readonly lastWriteAt: Date | null;
  /** The next time that anything becomes due that is not; null where there is nothing. Memories count below the limit only. */
  readonly nextAttemptAt: Date | null;
  /** Whether anything waits for the background embedder: memories without a vector, rows with one of another model. */
  readonly unembedded: boolean;
  /** Memories that may be scored now: not in the version they have, not parked; counted up to the limit too. */
  readonly unscored: number;
  /** Since when the first of them is due. */
  readonly oldestUnscoredAt: Date | null;
  /** The newest write among them. */
  readonly lastUnscoredWriteAt: Date | null;
  /** When the next memory may be scored that may not yet. */
  readonly nextScoreAt: Date | null;
}

interface Row {
  bank_id: string;
  now: Date;
  due: number;
  replans: number;
  oldest_due_at: Date | null;
  last_write_at: Date | null;
  next_attempt_at: Date | null;
  unembedded: boolean;
  unscored: number;
  oldest_unscored_at: Date | null;
  last_unscored_write_at: Date | null;
  next_score_at: Date | null;
}

function toDueWork(row: Row): DueWork {
  return {
    bankId: row.bank_id,
    now: row.now,
    due: row.due,
    replans: row.replans,
    oldestDueAt: row.oldest_due_at,
    lastWriteAt: row.last_write_at,
    nextAttemptAt: row.next_attempt_at,
    unembedded: row.unembedded,
    unscored: row.unscored,
    oldestUnscoredAt: row.oldest_unscored_at,
    lastUnscoredWriteAt: row.last_unscored_write_at,
    nextScoreAt: row.next_score_at,
  };
}

/**
 * Due work of one bank, or of every bank.
 *
 * A row is due since its next_attempt_at: that is when it was written, edited or brought back, or when its pause ended.
 * statement_timestamp(), not now(): in a transaction that completes a job, a row committed since BEGIN is due as well.
 */
async function selectDueWork(db: Queryable, bankId: string | null, countUpTo: number): Promise<DueWork[]> {
  // Indexes memories_pending (twice), observations_needs_replan, memories_unembedded, memories_unscored (twice);
  // change_ops_target for proposals.
  const { rows } = await db.query<Row>(
    `select b.id as bank_id, statement_timestamp() as now, d.due, r.replans,
       least(d.oldest_due_at, r.oldest_replan_at) as oldest_due_at,
       greatest(d.last_write_at, r.last_replan_at) as last_write_at,
       least(
         case when d.due < $2 then (
           select min(m.next_attempt_at) from engram.memories m
           where m.bank_id = b.id and m.state = 'pending' and m.invalidated_at is null
             and m.next_attempt_at > statement_timestamp()) end,
         (select min(o.needs_replan_at) from engram.observations o
           where o.bank_id = b.id and o.needs_replan_at > statement_timestamp())) as next_attempt_at,
       exists (select from engram.memories m
         where m.bank_id = b.id and m.embedding is null and m.invalidated_at is null
           and m.state <> 'parked') or engram.has_stale_embeddings(b.id) as unembedded,
       u.unscored, u.oldest_unscored_at, u.last_unscored_write_at,
       (select min(m.score_next_at) from engram.memories m
         where m.bank_id = b.id and m.scored_version is distinct from m.version and m.score_parked is null
           and m.invalidated_at is null and m.score_next_at > statement_timestamp()) as next_score_at
     from engram.banks b
     cross join lateral (
       select count(*)::int as due, min(next_attempt_at) as oldest_due_at, max(written_at) as last_write_at
       from (select m.next_attempt_at, greatest(m.created_at, m.edited_at) as written_at from engram.memories m
         where m.bank_id = b.id and m.state = 'pending' and m.invalidated_at is null
           and m.next_attempt_at <= statement_timestamp()
         order by m.created_at, m.id limit $2) as due_memories) as d
     cross join lateral (
       select count(*)::int as replans, min(needs_replan_at) as oldest_replan_at, max(needs_replan_at) as last_replan_at
       from (select o.needs_replan_at from engram.observations o
         where o.bank_id = b.id and o.needs_replan_at <= statement_timestamp() and not exists (
           select from engram.change_ops c
           join engram.change_sets s on s.bank_id = c.bank_id and s.id = c.change_set_id
           where c.bank_id = o.bank_id and c.target_id = o.id and c.status = 'proposed' and s.status = 'proposed')
         limit $2) as replan_observations) as r
     cross join lateral (
       select count(*)::int as unscored, min(score_next_at) as oldest_unscored_at, max(written_at) as last_unscored_write_at
       from (select m.score_next_at, greatest(m.created_at, m.edited_at) as written_at from engram.memories m
         where m.bank_id = b.id and m.scored_version is distinct from m.version and m.score_parked is null
           and m.invalidated_at is null and m.score_next_at <= statement_timestamp()
         order by m.score_next_at limit $2) as unscored_memories) as u
     where $1::text is null or b.id = $1`,
    [bankId, countUpTo],
  );
  return rows.map(toDueWork);
}

/** @returns null where there is no such bank */
export async function dueWorkOf(db: Queryable, bankId: string, countUpTo: number): Promise<DueWork | null> {
  const [work] = await selectDueWork(db, bankId, countUpTo);
  return work ?? null;
}

/** Banks that have something to do, now or later. */
export async function banksWithWork(db: Queryable, countUpTo: number): Promise<DueWork[]> {
  const all = await selectDueWork(db, null, countUpTo);
  return all.filter(
    (work) =>
      work.due > 0 ||
      work.replans > 0 ||
      work.nextAttemptAt !== null ||
      work.unembedded ||
      work.unscored > 0 ||
      work.nextScoreAt !== null,
  );
}

/** Says to whoever listens that a bank has new rows, as the triggers do for rows written by plain SQL. */
export async function notifyOfWork(db: Queryable, bankId: string): Promise<void> {
  await db.query("select pg_notify('engramd_work', $1)", [bankId]);
}
