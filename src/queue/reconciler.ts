import type { Database } from '../db/database.ts';
import { banksWithWork } from '../store/due-work.ts';
import { pruneIdempotencyKeys } from '../store/prune.ts';
import type { Clock } from '../telemetry/clock.ts';
import { errorMessage } from '../telemetry/engramd-error.ts';
import type { Log } from '../telemetry/log.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { type BankWork, bankWorkOf } from './bank-work.ts';
import type { Boss } from './boss.ts';
import { dueAtOnceCount } from './due-at.ts';
import { QueueSchemaNewerError } from './errors.ts';
import { countDeadLetters, standingJobs } from './job-rows.ts';
import { isMissing } from './placement.ts';
import { type BankQueueName, consolidateQueue, embedQueue, scoreQueue } from './queues.ts';
import type { Placed, Scheduler } from './scheduler.ts';

/** Something cheap to be done now and then that belongs to no request. */
export interface Maintenance {
  readonly name: string;
  readonly run: (db: Database) => Promise<unknown>;
}

export interface ReconcilerDeps {
  readonly db: Database;
  readonly boss: Boss;
  readonly scheduler: Scheduler;
  /** Beside the pruning of the queue's own room. */
  readonly maintenance: readonly Maintenance[];
  /** Told of each job sent or moved, so that its poller looks. */
  readonly onPlaced: (queue: BankQueueName, placed: Placed) => void;
  /** Another daemon's newer queue: nothing may be handed out any more. */
  readonly onSchemaNewer: (error: QueueSchemaNewerError) => void;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
}

export interface Reconciler {
  /** Compares rows with jobs once. Each part fails alone and is logged; it never throws. */
  run(): Promise<void>;
}

/**
 * What grows by the hour whether anybody sleeps or not; the rest is the night's to prune. Once an hour is enough.
 */
const maintenanceEveryMs = 3_600_000;

export function createReconciler(deps: ReconcilerDeps): Reconciler {
  const { db, boss, scheduler, clock, log, metrics } = deps;
  const maintenance: readonly Maintenance[] = [
    { name: 'idempotency keys', run: pruneIdempotencyKeys },
    ...deps.maintenance,
  ];
  let maintainedMs: number | undefined;

  async function part(name: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (thrown) {
      if (thrown instanceof QueueSchemaNewerError) deps.onSchemaNewer(thrown);
      else log.warn({ error: errorMessage(thrown), part: name }, 'a part of the reconciler failed; it is tried again');
    }
  }

  async function placeMissing(): Promise<void> {
    const work = await banksWithWork(db, dueAtOnceCount);
    for (const { name: queue } of [embedQueue, consolidateQueue, scoreQueue]) {
      const standing = await standingJobs(db, queue);
      for (const bank of work) {
        const wish = bankWorkOf(queue, bank);
        if (wish && isMissing(wish, standing.get(bank.bankId)))
          await part(`${queue} of bank ${bank.bankId}`, () => place(queue, bank.bankId, wish));
      }
    }
  }

  async function place(queue: BankQueueName, bankId: string, { at, bringsForward }: BankWork): Promise<void> {
    const placed = await scheduler.place(queue, bankId, { at, trigger: 'reconciler', bringsForward });
    if (placed.kind !== 'sent' && placed.kind !== 'moved') return;
    log.info({ queue, bankId, placed: placed.kind, at: placed.at }, 'the reconciler placed a job');
    deps.onPlaced(queue, placed);
  }

  return {
    async run() {
      await part('schema', () => boss.assertSchema());
      await part('jobs', placeMissing);
      await part('dead letters', async () => metrics.deadLetters.set(await countDeadLetters(db)));
      if (maintainedMs !== undefined && clock.monotonicMs() - maintainedMs < maintenanceEveryMs) return;
      maintainedMs = clock.monotonicMs();
      for (const { name, run } of maintenance) {
        await part(name, async () => {
          await run(db);
        });
      }
    },
  };
}
