import type { Database } from '../db/database.ts';
import { type BreakerKey, type BreakerRow, readBreaker } from '../store/model-breakers.ts';
import type { Clock } from '../telemetry/clock.ts';
import { errorMessage } from '../telemetry/engramd-error.ts';
import type { Log } from '../telemetry/log.ts';
import type { Metrics } from '../telemetry/metrics.ts';

/** What this process knows of a breaker's row, and when it asks again. */
export interface BreakerView {
  /** Null: in order. */
  row(): BreakerRow | null;
  learn(row: BreakerRow | null): void;
  /** Learns from hearsay: asks before it is acted on. */
  suspect(row: BreakerRow): void;
  /** Brings what is known up to date, once for all who ask, where it is older than that. */
  look(maxAgeMs: number): Promise<void>;
  /**
   * Writes to the row what this process knows already. Where that fails it goes on by what it knows, and the others find
   * out for themselves.
   */
  tell(what: string, work: () => Promise<void>): Promise<void>;
  /** Resolves when something has been learned, or somebody called `wake`. */
  nextChange(): Promise<void>;
  wake(): void;
}

export function createBreakerView(deps: {
  readonly db: Database;
  readonly key: BreakerKey;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly onOpen: () => void;
}): BreakerView {
  const { db, key, clock, log, metrics } = deps;
  let seen: BreakerRow | null = null;
  let seenAtMs = Number.NEGATIVE_INFINITY;
  /** Grows with whatever is learned, so that a read that began before does not overwrite it. */
  let knowledge = 0;
  /** Until the others have been told, this process knows better than the row. */
  let telling = 0;
  let looking: Promise<void> | undefined;
  let changed = Promise.withResolvers<void>();
  metrics.modelBreakerOpen.set({ model: key.model }, 0);

  function wake(): void {
    const waiting = changed;
    changed = Promise.withResolvers();
    waiting.resolve();
  }

  function learn(row: BreakerRow | null): void {
    knowledge += 1;
    if (row !== null && seen === null) deps.onOpen();
    seen = row;
    seenAtMs = clock.monotonicMs();
    metrics.modelBreakerOpen.set({ model: key.model }, row === null ? 0 : 1);
    wake();
  }

  async function read(): Promise<void> {
    const before = knowledge;
    const row = await readBreaker(db, key);
    if (knowledge === before) learn(row ?? null);
  }

  return {
    row: () => seen,
    learn,
    suspect(row) {
      learn(row);
      seenAtMs = Number.NEGATIVE_INFINITY;
    },
    async look(maxAgeMs) {
      if (telling > 0 || clock.monotonicMs() - seenAtMs < maxAgeMs) return;
      looking ??= read().finally(() => {
        looking = undefined;
      });
      await looking;
    },
    async tell(what, work) {
      telling += 1;
      try {
        await work();
      } catch (thrown) {
        log.warn({ error: errorMessage(thrown), model: key.model }, `the breaker's row could not be ${what}`);
      } finally {
        telling -= 1;
      }
    },
    nextChange: () => changed.promise,
    wake,
  };
}
