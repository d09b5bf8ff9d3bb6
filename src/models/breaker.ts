import type { Database } from '../db/database.ts';
import {
  type BreakerKey,
  type BreakerRow,
  claimProbe,
  closeBreaker,
  failBreaker,
  openBreaker,
  releaseProbe,
} from '../store/model-breakers.ts';
import type { Clock } from '../telemetry/clock.ts';
import { errorMessage } from '../telemetry/engramd-error.ts';
import type { Log } from '../telemetry/log.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { type BreakerClass, breakerStep, probeDelayMs } from './breaker-policy.ts';
import { createBreakerView } from './breaker-view.ts';
import { ModelUnavailableError } from './provider-errors.ts';

/** The right to try an endpoint that is out of order. */
export interface Probe {
  readonly id: string;
  /** As it was when the right was taken. */
  readonly row: BreakerRow;
}

export interface BreakerFault {
  readonly errorClass: BreakerClass;
  readonly message: string;
  readonly retryAfterMs: number | null;
}

/** How much longer a caller stays; spent by whoever makes it wait. */
export interface Patience {
  leftMs: number;
}

/** One process's view of the breaker of an endpoint and model, which all daemons share (store/model-breakers.ts). */
export interface Breaker {
  /**
   * Waits until something may be sent: null where all is in order, else the right to try, which has to end in `failed`,
   * `answered` or `gaveUp`.
   *
   * @throws ModelUnavailableError where that would take longer than the caller's patience; the signal's reason
   */
  admit(patience: Patience, signal: AbortSignal): Promise<Probe | null>;
  /** By what this process knows; looked at again right before something is sent. */
  isOpen(): boolean;
  /** The row that a reservation has met. */
  met(row: BreakerRow): void;
  /** Takes effect in this process before it returns its promise, and in the others when that resolves. */
  failed(fault: BreakerFault, probe: Probe | null): Promise<void>;
  /** The endpoint answered; `isUsable` whether with what was asked for. */
  answered(probe: Probe, isUsable: boolean): Promise<void>;
  /** The probe ended without a word about the endpoint. */
  gaveUp(probe: Probe): Promise<void>;
  /** It answers, and to no use. */
  unfit(message: string): Promise<void>;
  unavailable(cause?: unknown): ModelUnavailableError;
  readyAt(): Promise<Date | null>;
}

/** What is known of an open breaker is looked up again after this long; the same for everybody who waits. */
const lookEveryMs = 1000;

/** Somebody else is trying: when to ask again, where that takes longer than one stays. */
const askAgainMs = 15_000;

export function createBreaker(deps: {
  readonly db: Database;
  readonly key: BreakerKey;
  /** Longest that a call may take: a probe without an end is given up after that. */
  readonly probeLimitMs: number;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly random: () => number;
  readonly newId: () => string;
  readonly onOpen: () => void;
}): Breaker {
  const { db, key, clock, log } = deps;
  const view = createBreakerView(deps);
  let ownProbe: string | null = null;

  async function wait(ms: number, patience: Patience, signal: AbortSignal): Promise<void> {
    const over = new AbortController();
    const startedMs = clock.monotonicMs();
    const asleep = clock.sleep(Math.min(ms, patience.leftMs), AbortSignal.any([signal, over.signal]));
    await Promise.race([asleep, view.nextChange()]);
    over.abort();
    patience.leftMs -= clock.monotonicMs() - startedMs;
  }

  function unavailable(row: BreakerRow, retryAt: Date, cause?: unknown): ModelUnavailableError {
    return new ModelUnavailableError(row.message, { errorClass: row.errorClass, retryAt, cause });
  }

  async function claim(now: Date): Promise<Probe | null> {
    const id = deps.newId();
    // Before anything is awaited: of all who wait in this process one asks.
    ownProbe = id;
    try {
      const until = new Date(now.getTime() + deps.probeLimitMs);
      const row = await claimProbe(db, key, { probeId: id, now, until });
      if (row) {
        view.learn(row);
        return { id, row };
      }
      // Another daemon was faster, or has closed it.
      await view.look(0);
    } catch (thrown) {
      endProbe(id);
      throw thrown;
    }
    endProbe(id);
    return null;
  }

  function endProbe(id: string): void {
    if (ownProbe !== id) return;
    ownProbe = null;
    view.wake();
  }

  function times(fault: BreakerFault, failures: number): { now: Date; reopensAt: Date } {
    const now = clock.now();
    return { now, reopensAt: new Date(now.getTime() + probeDelayMs({ ...fault, failures }, deps.random())) };
  }

  function logOpen(row: BreakerRow): void {
    const { endpoint, model, errorClass, reopensAt } = row;
    log.warn(
      { endpoint, model, class: errorClass, next: reopensAt.toISOString() },
      `model out of order: ${row.message}`,
    );
  }

  async function open(fault: BreakerFault): Promise<void> {
    const { now, reopensAt } = times(fault, 1);
    const fresh: BreakerRow = {
      ...key,
      errorClass: fault.errorClass,
      message: fault.message,
      failures: 1,
      openedAt: now,
      reopensAt,
      probeId: null,
      probeUntil: null,
    };
    view.learn(view.row() ?? fresh);
    await view.tell('opened', async () => {
      // Not spread: a fault is an error mostly, and its message is none of those properties that a spread takes along.
      const { errorClass, message, retryAfterMs } = fault;
      const failure = { errorClass, message, now, reopensAt, isNamed: retryAfterMs !== null };
      const { row, isNew } = await openBreaker(db, key, failure);
      view.learn(row);
      if (isNew) logOpen(row);
    });
  }

  async function failAgain(fault: BreakerFault, probeId: string | null, known: BreakerRow): Promise<void> {
    const failures = known.failures + 1;
    const { now, reopensAt } = times(fault, failures);
    view.learn({ ...known, failures, reopensAt, probeId: null, probeUntil: null });
    if (probeId !== null) endProbe(probeId);
    await view.tell('kept open', async () => {
      const { errorClass, message } = fault;
      const row = await failBreaker(db, key, { errorClass, message, now, reopensAt, probeId });
      if (!row) return open(fault);
      view.learn(row);
      if (row.errorClass !== known.errorClass) logOpen(row);
    });
  }

  async function gaveUp(probe: Probe): Promise<void> {
    await view.tell('released', () => releaseProbe(db, key, probe.id));
    const row = view.row();
    if (row?.probeId === probe.id) view.learn({ ...row, probeId: null, probeUntil: null });
    endProbe(probe.id);
  }

  return {
    async admit(patience, signal) {
      for (;;) {
        signal.throwIfAborted();
        if (view.row() === null) return null;
        await view.look(lookEveryMs);
        const row = view.row();
        if (row === null) return null;
        const now = clock.now();
        const step = breakerStep(row, now);
        if (ownProbe !== null) {
          if (patience.leftMs <= 0) throw unavailable(row, new Date(now.getTime() + askAgainMs));
          await wait(Number.POSITIVE_INFINITY, patience, signal);
        } else if (step.kind === 'claim') {
          const probe = await claim(now);
          if (probe) return probe;
        } else if (step.kind === 'not_due') {
          const dueInMs = step.until.getTime() - now.getTime();
          if (dueInMs > patience.leftMs) throw unavailable(row, step.until);
          await wait(dueInMs, patience, signal);
        } else {
          const again = Math.min(step.until.getTime(), now.getTime() + askAgainMs);
          if (patience.leftMs <= 0) throw unavailable(row, new Date(again));
          await wait(lookEveryMs, patience, signal);
        }
      }
    },
    isOpen: () => view.row() !== null,
    met(row) {
      // It was read before the reservation waited for others.
      if (view.row() === null) view.suspect(row);
    },
    failed({ errorClass, message, retryAfterMs }, probe) {
      // Field by field: a spread of an Error has no message.
      const fault: BreakerFault = { errorClass, message, retryAfterMs };
      return probe === null ? open(fault) : failAgain(fault, probe.id, view.row() ?? probe.row);
    },
    async answered(probe, isUsable) {
      // What was opened for answers of no use is not closed by an answer, but by one of use. Until one comes, or three more
      // memories in a row get none, one request at a time goes on: a batch has to be halved before anybody is to blame.
      if (probe.row.errorClass === 'model_unfit' && !isUsable) return gaveUp(probe);
      await view.tell('closed', async () => {
        const isClosed = await closeBreaker(db, key, probe.row.openedAt);
        if (isClosed) log.info({ endpoint: key.endpoint, model: key.model }, 'model in order again');
      });
      // After the row is gone: whoever is let in reserves, and would run into it.
      view.learn(null);
      endProbe(probe.id);
    },
    gaveUp,
    unfit(message) {
      const fault: BreakerFault = { errorClass: 'model_unfit', message, retryAfterMs: null };
      const row = view.row();
      return row?.errorClass === 'model_unfit' ? failAgain(fault, null, row) : open(fault);
    },
    unavailable: (cause) => {
      const now = clock.now();
      const row = view.row();
      if (row !== null) return unavailable(row, new Date(Math.max(row.reopensAt.getTime(), now.getTime())), cause);
      const errorClass = 'transient';
      return new ModelUnavailableError(errorMessage(cause), { errorClass, retryAt: now, cause });
    },
    async readyAt() {
      await view.look(lookEveryMs);
      const row = view.row();
      if (row === null) return null;
      const now = clock.now();
      const step = breakerStep(row, now);
      switch (step.kind) {
        case 'claim':
          return null;
        case 'not_due':
          return step.until;
        case 'probing':
          return new Date(Math.min(step.until.getTime(), now.getTime() + askAgainMs));
        default:
          return step satisfies never;
      }
    },
  };
}
