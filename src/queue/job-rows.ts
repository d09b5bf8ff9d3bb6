import type { Queryable } from '../db/database.ts';
import { isJobTrigger, type JobTrigger } from './payload.ts';
import type { BankQueueName } from './queues.ts';

/*
 * What engramd reads from pg-boss's tables because its interface has no call for it. Reads and row locks only: what
 * changes a job goes through pg-boss. The columns are those of the pinned version.
 */

/** The job of a bank that is created, retry or active: there is at most one (policy `exclusive`). */
export interface StandingJob {
  readonly id: string;
  readonly bankId: string;
  readonly state: 'created' | 'retry' | 'active';
  readonly trigger: JobTrigger | null;
  readonly startAfter: Date;
  readonly createdAt: Date;
}

/** Dead letters of a bank that wait for somebody. */
export interface DeadLetters {
  readonly ids: readonly string[];
  readonly newestAt: Date;
}

interface StandingRow {
  id: string;
  singleton_key: string;
  state: 'created' | 'retry' | 'active';
  trigger: string | null;
  start_after: Date;
  created_on: Date;
}

function toStandingJob(row: StandingRow): StandingJob {
  return {
    id: row.id,
    bankId: row.singleton_key,
    state: row.state,
    trigger: isJobTrigger(row.trigger) ? row.trigger : null,
    startAfter: row.start_after,
    createdAt: row.created_on,
  };
}

/** The bank's job as it stands. */
export async function standingJobOf(db: Queryable, queue: BankQueueName, bankId: string): Promise<StandingJob | null> {
  // Index job_i6 (name, coalesce(singleton_key, '')) where state <= 'active' and policy = 'exclusive'.
  const { rows } = await db.query<StandingRow>(
    `select id, singleton_key, state, data->>'trigger' as trigger, start_after, created_on from pgboss.job
     where name = $1 and coalesce(singleton_key, '') = $2 and state <= 'active' and policy = 'exclusive'`,
    [queue, bankId],
  );
  return rows[0] ? toStandingJob(rows[0]) : null;
}

/** As {@link standingJobOf}; nobody takes, moves or settles the job before the transaction ends. */
export async function lockStandingJobOf(
  tx: Queryable,
  queue: BankQueueName,
  bankId: string,
): Promise<StandingJob | null> {
  // Index job_i6.
  const { rows } = await tx.query<StandingRow>(
    `select id, singleton_key, state, data->>'trigger' as trigger, start_after, created_on from pgboss.job
     where name = $1 and coalesce(singleton_key, '') = $2 and state <= 'active' and policy = 'exclusive'
     for no key update`,
    [queue, bankId],
  );
  return rows[0] ? toStandingJob(rows[0]) : null;
}

/** The jobs of every bank, by bank. */
export async function standingJobs(db: Queryable, queue: BankQueueName): Promise<Map<string, StandingJob>> {
  // Index job_i6.
  const { rows } = await db.query<StandingRow>(
    `select id, singleton_key, state, data->>'trigger' as trigger, start_after, created_on from pgboss.job
     where name = $1 and state <= 'active' and policy = 'exclusive' and singleton_key is not null`,
    [queue],
  );
  return new Map(rows.map((row) => [row.singleton_key, toStandingJob(row)]));
}

/** An attempt that holds a job, and the bank it is about. */
export interface HeldJob {
  readonly id: string;
  readonly retryCount: number;
  readonly queue: BankQueueName;
  readonly bankId: string;
}

interface HeldRow {
  id: string;
  retry_count: number;
  name: BankQueueName;
  singleton_key: string;
}

function toHeldJob(row: HeldRow): HeldJob {
  return { id: row.id, retryCount: row.retry_count, queue: row.name, bankId: row.singleton_key };
}

/**
 * Jobs that are being worked on while nobody lives who could: no instance but the one that asks, which has taken none
 * yet. An instance counts as alive for as long as a claim does, 30 s after its last sign of life; a parked one lives and
 * holds nothing.
 */
export async function orphanedJobs(db: Queryable, askingInstanceId: string): Promise<HeldJob[]> {
  // Index job_i6; instances has a row for each start. One statement sees one instant, and an instance has its row
  // before it has its first job.
  const { rows } = await db.query<HeldRow>(
    `select id, retry_count, name, singleton_key from pgboss.job
     where name in ('consolidate', 'embed', 'score') and state = 'active' and policy = 'exclusive' and singleton_key is not null
       and not exists (select from engram.instances i
         where i.id <> $1 and i.stopped_at is null and i.parked_at is null
           and i.seen_at > statement_timestamp() - interval '30 seconds')`,
    [askingInstanceId],
  );
  return rows.map(toHeldJob);
}

/** What a job's output says when its worker was found dead: by us, or by pg-boss from its heartbeat. */
export const lostWorkerMessage = 'the process that worked on it died';

/** Jobs that pause because their worker died, for the first time. */
export async function jobsLostOnce(db: Queryable): Promise<HeldJob[]> {
  // Index job_i6. A job that was taken twice has a retry_count of one.
  const { rows } = await db.query<HeldRow>(
    `select id, retry_count, name, singleton_key from pgboss.job
     where name in ('consolidate', 'embed', 'score') and state = 'retry' and policy = 'exclusive' and singleton_key is not null
       and retry_count = 0 and start_after > statement_timestamp()
       and (output->>'message' = $1 or output->'value'->>'message' = 'job heartbeat timeout')`,
    [lostWorkerMessage],
  );
  return rows.map(toHeldJob);
}

/** Dead letters that wait, by bank; of one bank or of all. */
export async function deadLetters(
  db: Queryable,
  queue: BankQueueName,
  bankId: string | null,
): Promise<Map<string, DeadLetters>> {
  // Index job_i11 (name, …) where state < 'active': there are few.
  const { rows } = await db.query<{ singleton_key: string; ids: string[]; newest_at: Date }>(
    `select singleton_key, array_agg(id::text) as ids, max(created_on) as newest_at from pgboss.job
     where name = 'dead-letter' and state < 'active' and not blocked and source_name = $1 and singleton_key is not null
       and ($2::text is null or singleton_key = $2)
     group by singleton_key`,
    [queue, bankId],
  );
  return new Map(rows.map((row) => [row.singleton_key, { ids: row.ids, newestAt: row.newest_at }]));
}

/** Whether a job of the queue may start and has nobody. */
export async function jobWaits(db: Queryable, queue: BankQueueName): Promise<boolean> {
  // Index job_i11; start_after is its last key.
  const { rows } = await db.query<{ waits: boolean }>(
    `select exists (select from pgboss.job
       where name = $1 and state < 'active' and not blocked and start_after <= statement_timestamp()) as waits`,
    [queue],
  );
  return rows[0]?.waits ?? false;
}

export type JobState = 'ready' | 'delayed' | 'retry' | 'active' | 'completed' | 'cancelled' | 'failed' | 'dead';

/** A job as a person reads it. */
export interface QueueJob {
  readonly id: string;
  /** The queue it belongs to; of a dead letter the one it came from. */
  readonly queue: string;
  readonly bankId: string | null;
  readonly trigger: string | null;
  readonly state: JobState;
  readonly createdAt: Date;
  readonly startAfter: Date | null;
  readonly startedAt: Date | null;
  readonly finishedAt: Date | null;
  /** How often it was taken up again. */
  readonly retries: number;
  /** How it ended, on one line: an outcome, or the message of an error. Null while it has not. */
  readonly outcome: string | null;
}

/** Newest first. A failed job stands here once, as the dead letter it became. */
export async function selectJobs(
  db: Queryable,
  options: { readonly limit: number; readonly state: JobState | null },
): Promise<QueueJob[]> {
  // A scan of the table, which holds a day.
  const { rows } = await db.query<{
    id: string;
    queue: string;
    bank_id: string | null;
    trigger: string | null;
    shown_state: JobState;
    created_on: Date;
    start_after: Date;
    started_on: Date | null;
    completed_on: Date | null;
    retries: number;
    outcome: string | null;
  }>(
    `select * from (
       select j.id, coalesce(j.source_name, j.name) as queue, j.singleton_key as bank_id, j.data->>'trigger' as trigger,
         case
           when j.name = 'dead-letter' then 'dead'
           when j.state = 'created' and j.start_after > statement_timestamp() then 'delayed'
           when j.state = 'created' then 'ready'
           else j.state::text
         end as shown_state,
         j.created_on, j.start_after, j.started_on, j.completed_on,
         coalesce(j.source_retry_count, j.retry_count) as retries,
         coalesce(j.source_output, j.output) as told,
         coalesce(j.source_output, j.output)->>'outcome' as told_outcome,
         coalesce(j.source_output, j.output)->>'message' as told_message,
         coalesce(j.source_output, j.output)->'value'->>'message' as told_by_supervisor
       from pgboss.job j
       where j.name in ('consolidate', 'embed', 'score', 'dead-letter')
         and not (j.name = 'dead-letter' and j.state > 'active')
         and not (j.state = 'failed' and exists (
           select from pgboss.job d where d.name = 'dead-letter' and d.state < 'active' and d.source_id = j.id))
     ) as shown
     cross join lateral (select coalesce(told_outcome, told_message, told_by_supervisor) as outcome) as line
     where $2::text is null or shown_state = $2
     order by created_on desc, id limit $1`,
    [options.limit, options.state],
  );
  return rows.map((row) => ({
    id: row.id,
    queue: row.queue,
    bankId: row.bank_id,
    trigger: row.trigger,
    state: row.shown_state,
    createdAt: row.created_on,
    startAfter: row.start_after,
    startedAt: row.started_on,
    finishedAt: row.completed_on,
    retries: row.retries,
    outcome: row.outcome,
  }));
}

export interface DeadLetter {
  readonly id: string;
  readonly queue: BankQueueName;
  readonly bankId: string;
}

/** Dead letters that wait: those named, by their own id or by that of the failed job they were, or all. */
export async function selectDeadLetters(db: Queryable, ids: readonly string[] | null): Promise<DeadLetter[]> {
  // Index job_i11.
  const { rows } = await db.query<{ id: string; source_name: BankQueueName; singleton_key: string }>(
    `select id, source_name, singleton_key from pgboss.job
     where name = 'dead-letter' and state < 'active' and not blocked and singleton_key is not null
       and source_name in ('consolidate', 'embed', 'score') and ($1::uuid[] is null or id = any($1) or source_id = any($1))
     order by created_on, id`,
    [ids],
  );
  return rows.map((row) => ({ id: row.id, queue: row.source_name, bankId: row.singleton_key }));
}

export interface QueueCounts {
  /** May start and has nobody. */
  readonly ready: number;
  readonly delayed: number;
  readonly active: number;
  readonly oldestReadyAt: Date | null;
}

export async function countJobs(db: Queryable, queue: BankQueueName): Promise<QueueCounts> {
  // Index job_i6.
  const { rows } = await db.query<{ ready: number; delayed: number; active: number; oldest_ready_at: Date | null }>(
    `select count(*) filter (where state < 'active' and start_after <= statement_timestamp())::int as ready,
       count(*) filter (where state < 'active' and start_after > statement_timestamp())::int as delayed,
       count(*) filter (where state = 'active')::int as active,
       min(start_after) filter (where state < 'active' and start_after <= statement_timestamp()) as oldest_ready_at
     from pgboss.job where name = $1 and state <= 'active' and policy = 'exclusive'`,
    [queue],
  );
  const row = rows[0];
  return {
    ready: row?.ready ?? 0,
    delayed: row?.delayed ?? 0,
    active: row?.active ?? 0,
    oldestReadyAt: row?.oldest_ready_at ?? null,
  };
}

export async function countDeadLetters(db: Queryable): Promise<number> {
  // Index job_i11.
  const { rows } = await db.query<{ n: number }>(
    `select count(*)::int as n from pgboss.job where name = 'dead-letter' and state < 'active' and not blocked`,
  );
  return rows[0]?.n ?? 0;
}
