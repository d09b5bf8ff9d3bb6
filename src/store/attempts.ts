import type { Queryable } from '../db/database.ts';

export type AttemptOutcome = 'applied' | 'failed' | 'handed_back' | 'crashed';

/** A row in the version that a decider was shown. */
export interface SeenRow {
  readonly id: string;
  readonly version: number;
}

/** What the aliases of a request stood for, in their order. Ids and versions only: an erased text leaves nothing here. */
export interface ShownRows {
  readonly memories: readonly SeenRow[];
  readonly observations: readonly SeenRow[];
  /** Memories that an earlier answer of the same batch had left out. */
  readonly askedAgain: readonly string[];
}

/** An observation about to be written again, with its live sources. */
export interface ShownReplan {
  readonly replan: SeenRow;
  readonly memories: readonly SeenRow[];
  /** With nothing else in flight. */
  readonly alone: boolean;
}

interface NewAttempt {
  readonly bankId: string;
  readonly id: string;
  readonly runId: string;
  readonly instanceId: string;
  /** None where an observation is written again. */
  readonly memoryIds: readonly string[];
  /** Of a batch that goes on from a stored answer, so that it can a second time. */
  readonly requestHash?: Buffer | undefined;
  /** Of what asked that request, or will. */
  readonly decidedBy?: string | undefined;
  readonly shown?: ShownRows | ShownReplan | undefined;
}

/**
 * Tells, before anything is asked of a decider, which memories are about to be decided. If the process dies, this row
 * without an end is what accuses them. `false`: the bank is gone.
 */
export async function startAttempt(db: Queryable, attempt: NewAttempt): Promise<boolean> {
  const { rowCount } = await db.query(
    `insert into engram.attempts (bank_id, id, run_id, instance_id, memory_ids, request_hash, shown,
       decided_by)
     select b.id, $2, $3, $4, $5, $6, $7, $8 from engram.banks b where b.id = $1`,
    [
      attempt.bankId,
      attempt.id,
      attempt.runId,
      attempt.instanceId,
      attempt.memoryIds,
      attempt.requestHash ?? null,
      attempt.shown === undefined ? null : JSON.stringify(attempt.shown),
      attempt.decidedBy ?? null,
    ],
  );
  return rowCount === 1;
}

/** Tells, before it is sent, which request an attempt pays for (law L19). The newest request of an attempt counts. */
export async function recordRequest(
  db: Queryable,
  attempt: { bankId: string; id: string; requestHash: Buffer; shown: ShownRows },
): Promise<void> {
  // Primary key.
  await db.query('update engram.attempts set request_hash = $3, shown = $4 where bank_id = $1 and id = $2', [
    attempt.bankId,
    attempt.id,
    attempt.requestHash,
    JSON.stringify(attempt.shown),
  ]);
}

/**
 * Ends an attempt. One that another run took for crashed, and that comes to its end after all, did not crash.
 *
 * @param attempt.answerIsUseless the answer itself was the trouble: nobody goes on from it
 */
export async function finishAttempt(
  db: Queryable,
  attempt: {
    bankId: string;
    id: string;
    outcome: Exclude<AttemptOutcome, 'crashed'>;
    answerIsUseless?: boolean;
  },
): Promise<void> {
  // Primary key.
  await db.query(
    `update engram.attempts set finished_at = now(), outcome = $3,
       request_hash = case when $4 then null else request_hash end
     where bank_id = $1 and id = $2 and (finished_at is null or outcome = 'crashed')`,
    [attempt.bankId, attempt.id, attempt.outcome, attempt.answerIsUseless ?? false],
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

/** A request whose answer was kept and never applied. */
export interface AnsweredAttempt {
  readonly requestHash: Buffer;
  readonly shown: ShownRows;
}

/**
 * Batches that ended between answer and apply, and of which nothing has moved since: the memories are due and the
 * observations live, all in the versions that were shown. They go on from the answer, which is paid for (law L19).
 *
 * @param decidedBy what decides now: an answer that another model or prompt gave is not applied under its name
 */
export async function answeredAttempts(db: Queryable, bankId: string, decidedBy: string): Promise<AnsweredAttempt[]> {
  // Index attempts_answered (partial: few rows), then primary keys and attempts_memories (gin).
  const { rows } = await db.query<{ request_hash: Buffer; shown: ShownRows }>(
    `select a.request_hash, a.shown from engram.attempts a
     where a.bank_id = $1 and a.decided_by = $2 and a.request_hash is not null and a.outcome in ('crashed', 'handed_back', 'failed')
       and a.shown ? 'observations'
       and exists (select from engram.model_answers r
         where r.bank_id = a.bank_id and r.request_hash = a.request_hash)
       and not exists (select from engram.attempts later
         where later.bank_id = a.bank_id and later.memory_ids && a.memory_ids
           and (later.started_at, later.id) > (a.started_at, a.id))
       and not exists (
         select from jsonb_to_recordset(a.shown -> 'memories') as s(id uuid, version bigint)
         left join engram.memories m on m.bank_id = a.bank_id and m.id = s.id
         where m.id is null or m.version <> s.version or m.state <> 'pending' or m.invalidated_at is not null
           or m.next_attempt_at > now())
       and not exists (
         select from jsonb_to_recordset(a.shown -> 'observations') as s(id uuid, version bigint)
         left join engram.observations o on o.bank_id = a.bank_id and o.id = s.id
         where o.id is null or o.version <> s.version or not o.is_live or o.needs_replan_at is not null)
     order by a.started_at, a.id limit 500`,
    [bankId, decidedBy],
  );
  return rows.map((row) => ({ requestHash: row.request_hash, shown: row.shown }));
}

export interface PastReplan {
  readonly shown: ShownReplan;
  readonly crashed: boolean;
}

/** Finished attempts at writing an observation again, newest first, of all observations of the bank that any crash was over. */
export async function replanAttempts(db: Queryable, bankId: string): Promise<PastReplan[]> {
  // Primary key, over a week of the bank's attempts; only read after a crash. Few are without memories.
  const { rows } = await db.query<{ shown: ShownReplan; outcome: AttemptOutcome }>(
    `select a.shown, a.outcome from engram.attempts a
     where a.bank_id = $1 and a.finished_at is not null and a.shown ? 'replan'
     order by a.started_at desc, a.id desc limit 2000`,
    [bankId],
  );
  return rows.map((row) => ({ shown: row.shown, crashed: row.outcome === 'crashed' }));
}
