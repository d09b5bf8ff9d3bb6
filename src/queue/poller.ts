import type { Clock } from '../telemetry/clock.ts';
import { errorMessage } from '../telemetry/engramd-error.ts';
import type { Log } from '../telemetry/log.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { Attempt, Boss, FetchedJob } from './boss.ts';
import type { CallOff, Claim, JobOutcome } from './claim.ts';
import { LostClaimError } from './errors.ts';
import { readPayload } from './payload.ts';
import { type BankQueue, heartbeatEveryMs } from './queues.ts';

export interface PollerDeps {
  readonly boss: Boss;
  readonly queue: BankQueue;
  /** Works on one job and settles it. */
  readonly handle: (claim: Claim) => Promise<JobOutcome>;
  /** Settles a job whose handler does not return, so that somebody else can go on. */
  readonly handBack: (claim: Claim) => Promise<void>;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
}

/**
 * Takes jobs of one queue as slots are free, works on them side by side, and tells pg-boss that they live.
 *
 * Its own loop, not pg-boss's workers: one query a turn whatever the concurrency, one heartbeat for all jobs in hand, a
 * nudge instead of the wait, and a stop that lets handlers return instead of failing their jobs, which burns a retry.
 */
export interface Poller {
  /** Takes jobs, until {@link halt} or {@link drain}; may be called again after them. */
  start(): void;
  /** Takes nothing more. Jobs in hand are left alone; resolves when none is. */
  halt(): Promise<void>;
  /** Looks for jobs at once, or after `afterMs`. */
  nudge(afterMs?: number): void;
  hasFreeSlot(): boolean;
  inFlight(): number;
  /**
   * Takes nothing more, calls off what is in hand, waits at most `graceMs` for the handlers, hands back the jobs of
   * those that have not returned.
   */
  drain(graceMs: number): Promise<void>;
}

/** The pause between polls of a database that does not answer grows to this. */
const longestPauseMs = 15_000;

interface Job {
  readonly claim: Claim;
  readonly controller: AbortController;
  /** Its handler did not return in time; what it still does is void. */
  handedBack: boolean;
}

export function createPoller(deps: PollerDeps): Poller {
  const { boss, queue, clock, log, metrics } = deps;
  /** Of the polling at hand, or the last one. */
  let stopped = new AbortController();
  let isTaking = false;
  /** By attempt: a job taken away and fetched again is here twice, until its first handler returns. */
  const jobs = new Map<string, Job>();
  /** Handlers that have not returned, by bank: one that lost its claim may still be on its way out. */
  const banks = new Map<string, Promise<void>>();
  let wake = new AbortController();
  let polling: Promise<void> = Promise.resolve();
  const working = new Set<Promise<void>>();
  let isBeating = false;
  /** Jobs are kept alive while handlers return, also after the last poll. */
  let drained = new AbortController();

  const freeSlots = () => queue.concurrency - jobs.size;

  async function poll(stop: AbortSignal): Promise<void> {
    let failures = 0;
    while (!stop.aborted) {
      const awaken = new AbortController();
      wake = awaken;
      if (freeSlots() > 0) {
        try {
          for (const job of await boss.fetch(queue.name, freeSlots())) take(job, stop);
          failures = 0;
        } catch (thrown) {
          failures += 1;
          log.warn({ error: errorMessage(thrown), queue: queue.name, failures }, 'no jobs could be fetched');
        }
      }
      // Whoever halted it while it fetched may have started another loop, whose `wake` is not this one's.
      if (stop.aborted) return;
      // A slot that comes free wakes it, since it may have left jobs behind.
      await clock.sleep(Math.min(queue.pollMs * 2 ** Math.min(failures, 10), longestPauseMs), awaken.signal);
    }
  }

  function take(fetched: FetchedJob, stop: AbortSignal): void {
    const controller = new AbortController();
    // Fetched while stopping: the handler sees a signal that is up and gives the job back.
    if (stop.aborted) controller.abort('shutdown' satisfies CallOff);
    const worked = work(fetched, controller).catch((thrown: unknown) => {
      log.error(
        { error: errorMessage(thrown), queue: queue.name, jobId: fetched.id },
        'a job was left to its heartbeat',
      );
    });
    working.add(worked);
    void worked.then(() => working.delete(worked));
  }

  async function work(fetched: FetchedJob, controller: AbortController): Promise<void> {
    const startedMs = clock.monotonicMs();
    const done = new AbortController();
    let outcome: JobOutcome;
    try {
      const payload = readPayload(fetched.data);
      const { id, retryCount } = fetched;
      // pg-boss has one job a bank in hand: whoever else works on it here has lost his.
      for (const older of jobs.values())
        if (older.claim.payload.bankId === payload.bankId) callOff(older, 'lost_claim');
      const job: Job = {
        claim: { id, retryCount, queue: queue.name, payload, signal: controller.signal },
        controller,
        handedBack: false,
      };
      jobs.set(attemptKey(fetched), job);
      metrics.jobsInFlight.set({ queue: queue.name }, jobs.size);
      if (!isBeating) void beat();
      void clock.sleep(queue.deadlineMs, done.signal).then(() => {
        if (!done.signal.aborted) callOff(job, 'deadline');
      });
      outcome = await handleInTurn(job);
    } catch (thrown) {
      outcome = await fail(fetched, thrown);
    } finally {
      done.abort();
      jobs.delete(attemptKey(fetched));
      metrics.jobsInFlight.set({ queue: queue.name }, jobs.size);
      wake.abort();
    }
    if (outcome === 'lost_claim') metrics.lostClaims.inc({ queue: queue.name });
    metrics.jobs.inc({ queue: queue.name, outcome });
    metrics.jobSeconds.observe({ queue: queue.name }, (clock.monotonicMs() - startedMs) / 1000);
  }

  /** One bank at a time in this process too: a handler whose job was taken away and fetched again may still be busy. */
  async function handleInTurn(job: Job): Promise<JobOutcome> {
    const { bankId } = job.claim.payload;
    const { promise: returned, resolve } = Promise.withResolvers<void>();
    const before = banks.get(bankId);
    banks.set(bankId, returned);
    try {
      if (before) await Promise.race([before, calledOff(job.claim.signal)]);
      return await deps.handle(job.claim);
    } catch (thrown) {
      if (job.handedBack) return 'handed_back';
      if (thrown instanceof LostClaimError) {
        log.warn({ queue: queue.name, jobId: job.claim.id, bankId }, thrown.message);
        return 'lost_claim';
      }
      throw thrown;
    } finally {
      resolve();
      if (banks.get(bankId) === returned) banks.delete(bankId);
    }
  }

  async function fail(fetched: FetchedJob, thrown: unknown): Promise<JobOutcome> {
    log.error(
      { error: errorMessage(thrown), queue: queue.name, jobId: fetched.id, retries: fetched.retryCount },
      'a job failed',
    );
    // The message alone: an error's own fields may hold a connection string or a text.
    const held = await boss.fail(queue.name, fetched, { outcome: 'failed', message: errorMessage(thrown) });
    return held ? 'failed' : 'lost_claim';
  }

  async function beat(): Promise<void> {
    isBeating = true;
    while (jobs.size > 0) {
      await clock.sleep(heartbeatEveryMs, drained.signal);
      const held = [...jobs.values()].filter((job) => !job.handedBack);
      if (drained.signal.aborted || held.length === 0) break;
      try {
        const alive = await boss.touch(
          queue.name,
          held.map((job) => job.claim),
        );
        for (const job of held)
          if (!alive.has(job.claim.id) && jobs.get(attemptKey(job.claim)) === job) callOff(job, 'lost_claim');
      } catch (thrown) {
        // It says nothing about the claims.
        log.warn({ error: errorMessage(thrown), queue: queue.name }, 'a heartbeat was not written');
      }
    }
    isBeating = false;
  }

  function callOff(job: Job, why: CallOff): void {
    if (!job.controller.signal.aborted) job.controller.abort(why);
  }

  async function handBackAll(): Promise<void> {
    for (const job of jobs.values()) {
      // Taken since: it was started again meanwhile.
      if (job.handedBack || !job.controller.signal.aborted) continue;
      job.handedBack = true;
      try {
        await deps.handBack(job.claim);
        log.warn(
          { queue: queue.name, jobId: job.claim.id },
          'a handler did not return in time; its job was handed back',
        );
      } catch (thrown) {
        job.handedBack = false;
        log.warn({ error: errorMessage(thrown), queue: queue.name, jobId: job.claim.id }, 'a job was not handed back');
      }
    }
  }

  function stopTaking(): void {
    isTaking = false;
    stopped.abort();
    wake.abort();
  }

  return {
    start() {
      if (isTaking) return;
      isTaking = true;
      stopped = new AbortController();
      if (drained.signal.aborted) drained = new AbortController();
      // A loop that was halted may still be at its last fetch.
      polling = Promise.all([polling, poll(stopped.signal)]).then(() => undefined);
      if (jobs.size > 0 && !isBeating) void beat();
    },
    async halt() {
      stopTaking();
      await polling;
      await Promise.all(working);
    },
    nudge(afterMs = 0) {
      if (afterMs <= 0) wake.abort();
      else void clock.sleep(afterMs, stopped.signal).then(() => wake.abort());
    },
    hasFreeSlot: () => freeSlots() > 0,
    inFlight: () => jobs.size,
    async drain(graceMs) {
      stopTaking();
      for (const job of jobs.values()) callOff(job, 'shutdown');
      const over = new AbortController();
      // A fetch under way may still bring jobs; they are called off as they come.
      const returned = polling.then(() => Promise.all(working));
      await Promise.race([returned, clock.sleep(graceMs, over.signal)]);
      over.abort();
      await handBackAll();
      if (!isTaking) drained.abort();
    },
  };
}

function attemptKey(attempt: Attempt): string {
  return `${attempt.id}:${attempt.retryCount}`;
}

function calledOff(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}
