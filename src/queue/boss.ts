import { type Db, PgBoss } from 'pg-boss';
import type { Database, Queryable, Tx } from '../db/database.ts';
import { explainDatabaseError, isConnectionFailure, sqlState } from '../db/errors.ts';
import { assertNoLease } from '../db/lease.ts';
import { migrationLockKey } from '../db/migrate.ts';
import { EngramdError, errorMessage } from '../telemetry/engramd-error.ts';
import type { Log } from '../telemetry/log.ts';
import { LostClaimError, QueueError, QueueSchemaNewerError } from './errors.ts';
import type { JobPayload } from './payload.ts';
import { type BankQueueName, bankQueues, deadLetterQueue, supervision } from './queues.ts';

/** The schema of the pinned pg-boss, 12.35.0. Theirs is not exported; a test compares it with a fresh install. */
export const bossSchemaVersion = 43;

/** A job as one attempt holds it. `retryCount` names the attempt: settling by id alone once completed another worker's. */
export interface Attempt {
  readonly id: string;
  readonly retryCount: number;
}

export interface FetchedJob extends Attempt {
  readonly data: unknown;
  readonly createdAt: Date;
}

/**
 * The few calls of pg-boss that engramd makes. Calls that take a `Queryable` run on it, so that they are part of its
 * transaction where it is one; the others take a connection of the pool for as long as their one statement lasts.
 *
 * Errors of the server pass as they are; everything else that pg-boss throws becomes a {@link QueueError}.
 */
export interface Boss {
  /** @throws QueueSchemaNewerError, QueueError */
  start(): Promise<void>;
  stop(): Promise<void>;
  /** @throws QueueSchemaNewerError where another daemon has migrated pg-boss past this one */
  assertSchema(): Promise<void>;
  fetch(queue: BankQueueName, limit: number): Promise<FetchedJob[]>;
  /** Tells that the attempts live; returns the ids of those that still hold their job. */
  touch(queue: BankQueueName, attempts: readonly Attempt[]): Promise<ReadonlySet<string>>;
  /** @throws LostClaimError where the attempt does not hold its job any more; the transaction must not commit */
  complete(tx: Tx, queue: BankQueueName, attempt: Attempt, output: object): Promise<void>;
  /** Ends the attempt in failure: tried again later, or a dead letter. `false`: it did not hold its job any more. */
  fail(queue: BankQueueName, attempt: Attempt, output: object): Promise<boolean>;
  /** @returns the job's id, or null where the bank has a job already */
  send(on: Queryable, queue: BankQueueName, payload: JobPayload, startAfter: Date): Promise<string | null>;
  /** Gives a job that is not being worked on another start and another reason. */
  move(on: Queryable, queue: BankQueueName, jobId: string, payload: JobPayload, startAfter: Date): Promise<void>;
  deleteDeadLetters(on: Queryable, ids: readonly string[]): Promise<void>;
  /** Has pg-boss look for expired and lost jobs now, as it does every 15 s by itself. */
  supervise(): Promise<void>;
}

const wholeTransaction = /^\s*BEGIN;([\s\S]*)COMMIT;\s*$/;

export function createBoss(deps: { readonly db: Database; readonly log: Log }): Boss {
  const { db, log } = deps;
  let starting = false;
  let running: PgBoss | undefined;

  /**
   * pg-boss on our pool: no connection of its own. Its multi-statement texts open their transaction themselves; one
   * that fails would leave a pooled connection in an aborted transaction, so they run in one of ours. While it starts,
   * that is one under our migration lock.
   */
  const pooled: Db = {
    async executeSql(text, values) {
      const body = wholeTransaction.exec(text)?.[1];
      if (body === undefined) return db.query(text, values);
      return db.tx({ label: 'pg-boss' }, async (tx) => {
        if (starting) {
          await tx.query("set local statement_timeout = 0; set local lock_timeout = '60s'");
          await tx.query('select pg_advisory_xact_lock($1)', [migrationLockKey]);
        }
        return tx.query(body);
      });
    },
  };

  function boss(): PgBoss {
    if (!running) throw new QueueError('the queue is not running');
    return running;
  }

  async function wrapped<T>(action: string, call: () => Promise<T>): Promise<T> {
    try {
      return await call();
    } catch (thrown) {
      if (thrown instanceof EngramdError || sqlState(thrown) !== undefined || isConnectionFailure(thrown)) throw thrown;
      throw new QueueError(`pg-boss could not ${action}: ${errorMessage(thrown)}`, { cause: thrown });
    }
  }

  async function assertSchema(): Promise<void> {
    const version = await readSchemaVersion(db);
    if (version !== null && version > bossSchemaVersion) {
      throw new QueueSchemaNewerError(
        `the job queue is at schema version ${version}, this engramd knows ${bossSchemaVersion}: a newer engramd has migrated it; upgrade this one`,
      );
    }
  }

  async function makeQueues(): Promise<void> {
    const { name: deadLetter, ...deadLetterOptions } = deadLetterQueue;
    await makeQueue(deadLetter, deadLetterOptions);
    for (const queue of bankQueues) {
      const { name, concurrency, pollMs, deadlineMs, ...options } = queue;
      await makeQueue(name, { ...options, deadLetter });
    }
    // createQueue and updateQueue drop the queue from pg-boss's cache. Inside a transaction of ours a miss would ask
    // for a second connection, which is refused, so the cache is filled here.
    for (const { name } of [deadLetterQueue, ...bankQueues]) await boss().findJobs(name, { key: '', queued: true });
  }

  async function makeQueue(name: string, options: { policy: string; [option: string]: unknown }): Promise<void> {
    const { policy, ...changeable } = options;
    await boss().createQueue(name, options);
    // createQueue leaves a queue that exists as it is, whatever its options; the policy can never change.
    await boss().updateQueue(name, changeable);
  }

  return {
    async start() {
      // Timers inherit the async context they are made in; one that holds a lease would haunt every poll.
      assertNoLease('starting the job queue');
      if (running) return;
      await wrapped('start', async () => {
        await assertSchema();
        running = new PgBoss({
          db: pooled,
          supervise: true,
          schedule: false,
          migrate: true,
          monitorVacuum: false,
          ...supervision,
        });
        running.on('error', (error) => log.warn({ error: eventText(error) }, 'pg-boss reported an error'));
        running.on('warning', (warning) => log.warn({ warning: warning.message }, 'pg-boss reported a warning'));
        starting = true;
        try {
          await running.start();
          // A newer daemon may have come in between.
          await assertSchema();
          await makeQueues();
        } catch (thrown) {
          await running.stop({ close: false, graceful: false }).catch(() => undefined);
          running = undefined;
          // A role that may not create a schema meets that here for the first time where engramd's own was made for it.
          throw explainDatabaseError(thrown);
        } finally {
          starting = false;
        }
      });
    },

    async stop() {
      const stopping = running;
      running = undefined;
      await wrapped('stop', async () => stopping?.stop({ close: false, graceful: false }));
    },

    assertSchema,

    fetch: (queue, limit) =>
      wrapped('fetch', async () => {
        const jobs = await boss().fetch<object>(queue, { batchSize: limit, includeMetadata: true });
        return jobs.map((job) => ({
          id: job.id,
          retryCount: job.retryCount,
          data: job.data,
          createdAt: job.createdOn,
        }));
      }),

    touch: (queue, attempts) =>
      wrapped('touch', async () => {
        const answer = await boss().touch(queue, attempts.map(bare));
        return new Set(settledIds(answer));
      }),

    complete: (tx, queue, attempt, output) =>
      wrapped('complete', async () => {
        const answer = await boss().complete(queue, bare(attempt), output, { db: onQueryable(tx) });
        if (affected(answer) !== 1)
          throw new LostClaimError(`the job ${attempt.id} of ${queue} was taken over by somebody else`);
      }),

    fail: (queue, attempt, output) =>
      wrapped('fail', async () => affected(await boss().fail(queue, bare(attempt), output)) === 1),

    send: (on, queue, payload, startAfter) =>
      wrapped('send', () =>
        boss().send(queue, payload, { singletonKey: payload.bankId, startAfter, db: onQueryable(on) }),
      ),

    move: (on, queue, jobId, payload, startAfter) =>
      wrapped('move', async () => {
        await boss().update(queue, payload, { id: jobId, startAfter, db: onQueryable(on) });
      }),

    deleteDeadLetters: (on, ids) =>
      wrapped('delete', async () => {
        await boss().deleteJob(deadLetterQueue.name, [...ids], { db: onQueryable(on) });
      }),

    supervise: () => wrapped('supervise', () => boss().supervise()),
  };
}

/** The version pg-boss's schema is at; null before its first start. */
async function readSchemaVersion(db: Queryable): Promise<number | null> {
  const { rows } = await db.query<{ present: boolean }>("select to_regclass('pgboss.version') is not null as present");
  if (!rows[0]?.present) return null;
  const { rows: versions } = await db.query<{ version: number }>('select version from pgboss.version');
  return versions[0]?.version ?? null;
}

function onQueryable(on: Queryable): Db {
  return { executeSql: (text, values) => on.query(text, values) };
}

/** Nothing of ours travels along: an attempt is these two. */
function bare(attempt: Attempt): Attempt {
  return { id: attempt.id, retryCount: attempt.retryCount };
}

/** Their CommandResponse is an empty interface in the published types. */
function affected(answer: object): number {
  return 'affected' in answer && typeof answer.affected === 'number' ? answer.affected : 0;
}

function settledIds(answer: object): string[] {
  return 'settled' in answer && Array.isArray(answer.settled) ? answer.settled.map(String) : [];
}

/** Its error events are errors, or plain copies of their fields. */
function eventText(error: unknown): string {
  if (typeof error === 'object' && error !== null && 'message' in error) return String(error.message);
  return errorMessage(error);
}
