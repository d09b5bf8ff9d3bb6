import type { Queryable } from '../db/database.ts';

export type AttemptOutcome = 'applied' | 'failed' | 'handed_back' | 'crashed';

/**
 * Tells, before anything is asked of a decider, which memories are about to be decided. If the process dies, this row
 * without an end is what accuses them. `false`: the bank is gone.
 */
export async function startAttempt(
  db: Queryable,
  attempt: { bankId: string; id: string; runId: string; instanceId: string; memoryIds: readonly string[] },
): Promise<boolean> {
  const { rowCount } = await db.query(
    `insert into engram.attempts (bank_id, id, run_id, instance_id, memory_ids)
     select b.id, $2, $3, $4, $5 from engram.banks b where b.id = $1`,
    [attempt.bankId, attempt.id, attempt.runId, attempt.instanceId, attempt.memoryIds],
  );
  return rowCount === 1;
}

/** Ends an attempt. One that another run took for crashed, and that comes to its end after all, did not crash. */
export async function finishAttempt(
  db: Queryable,
  attempt: { bankId: string; id: string; outcome: Exclude<AttemptOutcome, 'crashed'> },
): Promise<void> {
  // Primary key.
  await db.query(
    `update engram.attempts set finished_at = now(), outcome = $3
     where bank_id = $1 and id = $2 and (finished_at is null or outcome = 'crashed')`,
    [attempt.bankId, attempt.id, attempt.outcome],
  );
}

/**
 * Closes, as crashed, what earlier runs of the bank left open. One bank runs on one daemon at a time, so an attempt of
 * another run without an end has nobody who would end it.
 */
export async function closeCrashedAttempts(db: Queryable, bankId: string, currentRunId: string): Promise<number> {
  // Index attempts_unfinished.
  const { rowCount } = await db.query(
    `update engram.attempts set finished_at = now(), outcome = 'crashed'
     where bank_id = $1 and finished_at is null and run_id <> $2`,
    [bankId, currentRunId],
  );
  return rowCount;
}

export interface PastAttempt {
  /** Those asked about for which it still counts. */
  readonly memoryIds: readonly string[];
  /** How many memories it named in all. */
  readonly size: number;
  readonly outcome: AttemptOutcome;
}

/**
 * Finished attempts that named any of the memories, newest first. What was tried before a memory was edited or brought
 * back by hand says nothing about it now: `jobs retry` of a memory parked for its crashes would park it again at once.
 */
export async function attemptsOf(db: Queryable, bankId: string, memoryIds: readonly string[]): Promise<PastAttempt[]> {
  // Index attempts_memories (gin), then the primary key of memories; 500 covers every memory of a page with a history
  // worth reading. next_attempt_at is when a row was written, edited or brought back, or when its pause ended.
  const { rows } = await db.query<{ memory_ids: string[]; size: number; outcome: AttemptOutcome }>(
    `select array(
       select m.id from engram.memories m
       where m.bank_id = a.bank_id and m.id = any(a.memory_ids) and m.id = any($2::uuid[])
         and m.next_attempt_at <= a.started_at) as memory_ids,
       cardinality(a.memory_ids) as size, a.outcome
     from engram.attempts a
     where a.bank_id = $1 and a.memory_ids && $2::uuid[] and a.finished_at is not null
     order by a.started_at desc, a.id desc limit 500`,
    [bankId, memoryIds],
  );
  return rows.map((row) => ({ memoryIds: row.memory_ids, size: row.size, outcome: row.outcome }));
}

/** Whether any attempt of the bank ever crashed and is still on record (they are pruned after seven days). */
export async function hasCrashes(db: Queryable, bankId: string): Promise<boolean> {
  const { rows } = await db.query<{ found: boolean }>(
    `select exists (select from engram.attempts where bank_id = $1 and outcome = 'crashed') as found`,
    [bankId],
  );
  return rows[0]?.found ?? false;
}
