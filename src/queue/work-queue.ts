import { AsyncLocalStorage } from 'node:async_hooks';
import type { Decider } from '../consolidation/decider.ts';
import type { ConsolidationEngine } from '../consolidation/engine.ts';
import type { Database } from '../db/database.ts';
import type { SignificanceEngine } from '../significance/significance.ts';
import { dueWorkOf, notifyOfWork } from '../store/due-work.ts';
import type { Clock } from '../telemetry/clock.ts';
import { errorMessage } from '../telemetry/engramd-error.ts';
import type { Log } from '../telemetry/log.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { Racepoints } from '../telemetry/racepoints.ts';
import { type BankPollers, createBankPollers } from './bank-pollers.ts';
import { createBoss } from './boss.ts';
import type { EmbedPending } from './embed-handler.ts';
import type { QueueSchemaNewerError } from './errors.ts';
import { calledOffMs, createHandOuts, type HandOut } from './hand-out.ts';
import { createHintCoalescer, type HintCoalescer } from './hint-coalescer.ts';
import { countDeadLetters, countJobs, type JobState, type QueueCounts, type QueueJob, selectJobs } from './job-rows.ts';
import { type BankQueueName, bankQueues } from './queues.ts';
import { createReconciler, type Maintenance, type Reconciler } from './reconciler.ts';
import { createRequests } from './requests.ts';
import { createRetries, type Retries } from './retries.ts';
import { createScheduler, type Placed } from './scheduler.ts';
import { createSendHint } from './send-hint.ts';
import { takeBackOrphans } from './take-back.ts';
import { readWorkable, type Workable } from './workable.ts';

export interface WorkQueueDeps {
  readonly db: Database;
  readonly engine: Pick<ConsolidationEngine, 'runSlice'>;
  readonly decider: Pick<Decider, 'readyAt'>;
  readonly embedPending: EmbedPending;
  readonly significance: SignificanceEngine;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly racepoints: Racepoints;
  /**
   * Hints of a queue that is not running are told to whoever listens: for a process that writes and never works itself,
   * while the daemons of its database may all be parked. Not for one that listens itself: it would hear its own.
   */
  readonly tellsOthers?: boolean;
  /** Row of `engram.instances` of this process. Without it, jobs of dead processes come back by their heartbeats alone. */
  readonly instanceId?: string;
  /** Done at the start and then hourly, e.g. pruning of rooms that the queue does not know. */
  readonly maintenance?: readonly Maintenance[];
  /**
   * Another daemon has migrated the queue past this one. Work is not handed out any more by then; the process should
   * stop and exit with the error's exit code.
   */
  readonly onSchemaNewer?: (error: QueueSchemaNewerError) => void;
}

export interface QueueSnapshot {
  readonly consolidate: QueueCounts;
  readonly embed: QueueCounts;
  readonly score: QueueCounts;
  readonly deadLetters: number;
  /** Jobs in the hands of this process. */
  readonly inFlight: number;
}

/** The one door to background work. The store's due rows are the truth; everything in here may be lost and comes back. */
export interface WorkQueue extends Retries {
  /**
   * Starts pg-boss on the pool, the pollers and the reconciler, which runs once before this returns. Must not be called
   * while holding a connection. May be called again after {@link stop}.
   *
   * @param options.handsOut false: jobs are handed out only while somebody holds an {@link openHandOut}
   * @throws QueueSchemaNewerError, QueueError, errors of the server
   */
  start(options?: { readonly handsOut?: boolean }): Promise<void>;
  /**
   * Has jobs handed out, of all queues or of some, until what it returns is closed. Stopped, it comes into force with the
   * next start; what was open at a stop is open again after it.
   */
  openHandOut(queues?: readonly BankQueueName[]): HandOut;
  /** Whether jobs are taken now. */
  isHandOutOpen(): boolean;
  /**
   * What could be worked on now, by all queues or by some, and when the first of what rests can be. Stopped it answers
   * too.
   *
   * @throws errors of the server: unknown is not empty (law L12)
   */
  workable(queues?: readonly BankQueueName[]): Promise<Workable>;
  /**
   * Says, after the commit, that a bank has new rows. Resolves at once: jobs are sent behind it, at most about one look
   * a second and bank. Where the queue is stopped it comes to nothing, or is told to others first. Never throws; a hint
   * that is lost is found by the reconciler.
   */
  hint(bankId: string): Promise<void>;
  /**
   * Makes a bank due now, quiet or not. `jobId` is null where the bank is being worked on; what is left of it then
   * becomes due at once as well.
   */
  requestConsolidation(bankId: string): Promise<{ readonly jobId: string | null }>;
  /** Has what waits in a bank for its score scored now, quiet or not. */
  requestScores(bankId: string): Promise<void>;
  /** Newest first. */
  listJobs(options: {
    readonly limit: number;
    readonly state?: JobState;
    readonly deadOnly?: boolean;
  }): Promise<readonly QueueJob[]>;
  snapshot(): Promise<QueueSnapshot>;
  /** Compares rows with jobs now, as every 60 s. Never throws. */
  reconcile(): Promise<void>;
  /**
   * Takes no more jobs, whoever had opened hand-out, and calls off those in hand: handlers return, their jobs complete with a successor due now, no
   * retry is burned. Jobs of handlers that have not returned after `graceMs` are handed back all the same.
   */
  drain(options: { readonly graceMs: number }): Promise<void>;
  /** Drains, then stops everything. The pool stays open. */
  stop(options?: { readonly graceMs?: number }): Promise<void>;
}

const reconcileEveryMs = 60_000;
/** How often a request that met a job at work looks again. */
const requestEveryMs = 1000;
/** A job further off than this is left to the poll. */
const nudgeWithinMs = 2000;

interface Running {
  readonly pollers: BankPollers;
  readonly hints: HintCoalescer;
  readonly stopped: AbortController;
  /** Orphans are taken back and rows compared with jobs: jobs may be taken. */
  isUp: boolean;
  loops: Promise<unknown>;
}

export function createWorkQueue(deps: WorkQueueDeps): WorkQueue {
  const { db, clock, log, metrics } = deps;
  const boss = createBoss({ db, log });
  const scheduler = createScheduler({ db, boss });
  const requests = createRequests({ db, scheduler, onPlaced: () => running?.pollers.consolidate.nudge(), clock, log });
  let running: Running | undefined;
  let isOutdated = false;
  const handOuts = createHandOuts({
    pollers: () => (running?.isUp && !isOutdated ? running.pollers : undefined),
    clock,
  });
  /** Of the queue itself, where its start says so. */
  let own: HandOut | undefined;
  // A writer may hint from inside its transaction; see the coalescer.
  const inOwnContext = AsyncLocalStorage.snapshot();

  const reconciler: Reconciler = createReconciler({
    db,
    boss,
    scheduler,
    maintenance: deps.maintenance ?? [],
    onPlaced: nudgeFor,
    onSchemaNewer: (error) => {
      if (isOutdated) return;
      isOutdated = true;
      log.error({ error: error.message }, 'no more work is handed out');
      void drain(calledOffMs)
        .catch((thrown: unknown) => log.error({ error: errorMessage(thrown) }, 'jobs in hand were not handed back'))
        .then(() => deps.onSchemaNewer?.(error));
    },
    clock,
    log,
    metrics,
  });

  function nudgeFor(queue: BankQueueName, placed: Placed): void {
    if (placed.at === null) return;
    const afterMs = placed.at.getTime() - clock.now().getTime();
    if (afterMs <= nudgeWithinMs) running?.pollers[queue].nudge(afterMs);
  }

  const sendHint = createSendHint({
    db,
    scheduler,
    nudgeFor,
    nudgeIn: (queue, afterMs) => running?.pollers[queue].nudge(afterMs),
  });

  async function requestScores(bankId: string): Promise<void> {
    const work = await dueWorkOf(db, bankId, 1);
    if (work === null) return;
    await scheduler.place('score', bankId, { at: work.now, trigger: 'requested', bringsForward: true });
    running?.pollers.score.nudge();
  }

  async function every(ms: number, signal: AbortSignal, work: () => Promise<void>): Promise<void> {
    for (;;) {
      await clock.sleep(ms, signal);
      if (signal.aborted) return;
      await work();
    }
  }

  async function tellOthers(bankId: string): Promise<void> {
    try {
      await inOwnContext(() => notifyOfWork(db, bankId));
    } catch (thrown) {
      log.warn({ error: errorMessage(thrown), bankId }, 'nobody was told of new rows; a reconciler will find them');
    }
  }

  async function drain(graceMs: number): Promise<void> {
    if (!running) return;
    const { pollers } = running;
    await Promise.all(bankQueues.map(({ name }) => pollers[name].drain(graceMs)));
  }

  return {
    async start({ handsOut = true } = {}) {
      if (running) return;
      await boss.start();
      const stopped = new AbortController();
      const pollers = createBankPollers({ ...deps, boss, isHandingOut: handOuts.isOpen });
      const hints = createHintCoalescer({ send: sendHint, clock, log });
      const started: Running = { pollers, hints, stopped, isUp: false, loops: Promise.resolve() };
      running = started;
      if (deps.instanceId !== undefined) await takeBackOrphans({ ...deps, boss, scheduler }, deps.instanceId);
      await reconciler.run();
      started.isUp = true;
      if (handsOut) own = handOuts.open();
      else handOuts.resume();
      started.loops = Promise.all([
        every(reconcileEveryMs, stopped.signal, () => reconciler.run()),
        every(requestEveryMs, stopped.signal, () => requests.repeat()),
      ]);
    },

    openHandOut: (queues) => handOuts.open(queues),
    isHandOutOpen: () => running?.isUp === true && !isOutdated && handOuts.isOpen(),
    workable: (queues) => readWorkable(deps, queues),

    async hint(bankId) {
      if (running && !running.stopped.signal.aborted) running.hints.hint(bankId);
      else if (deps.tellsOthers) await tellOthers(bankId);
    },

    async requestConsolidation(bankId) {
      const { jobId } = await requests.add(bankId);
      return { jobId };
    },

    requestScores,

    listJobs: ({ limit, state, deadOnly }) => selectJobs(db, { limit, state: deadOnly ? 'dead' : (state ?? null) }),

    ...createRetries({ db, boss, scheduler, requests, requestScores, nudgeFor, clock }),

    async snapshot() {
      const [consolidate, embed, score, dead] = [
        await countJobs(db, 'consolidate'),
        await countJobs(db, 'embed'),
        await countJobs(db, 'score'),
        await countDeadLetters(db),
      ];
      metrics.deadLetters.set(dead);
      const inFlight = bankQueues.reduce((sum, { name }) => sum + (running?.pollers[name].inFlight() ?? 0), 0);
      return { consolidate, embed, score, deadLetters: dead, inFlight };
    },

    reconcile: () => reconciler.run(),

    async drain({ graceMs }) {
      handOuts.void();
      await drain(graceMs);
    },

    async stop({ graceMs = calledOffMs } = {}) {
      if (!running) return;
      const { hints, stopped, loops } = running;
      stopped.abort();
      running.isUp = false;
      await own?.close({ graceMs: 0 });
      await drain(graceMs);
      await hints.stop();
      await loops;
      requests.clear();
      running = undefined;
      await boss.stop();
    },
  };
}
