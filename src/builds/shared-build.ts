import type { Clock } from '../telemetry/clock.ts';
import { errorMessage } from '../telemetry/engramd-error.ts';
import type { Log } from '../telemetry/log.ts';
import type { Racepoints } from '../telemetry/racepoints.ts';
import { BuildBankGoneError, type BuildOutcome, BuildStoppedError, BuildWaitTimeoutError } from './build-outcome.ts';
import type { BuildKey, BuildStore, SavedBuild } from './build-store.ts';
import type { Freshness } from './freshness.ts';
import { type LeadOptions, lead } from './lead-build.ts';
import { createSingleFlight } from './single-flight.ts';

/** What a build made. */
export interface Built<T> {
  readonly value: T;
  readonly rows: number;
  readonly seenXid: string;
  readonly isComplete: boolean;
}

export interface SharedBuildOptions<T> {
  readonly store: BuildStore;
  readonly clock: Clock;
  readonly log: Log;
  readonly racepoints: Racepoints;
  /** This process, among all that may build. */
  readonly holder: string;
  /** A builder that dies is succeeded after this. */
  readonly leaseMs: number;
  /** Between two looks at whether another daemon has saved. */
  readonly pollMs: number;
  /** How long one waits for others, in this process and in other ones. */
  readonly waitMs: number;
  readonly buildMs: number;
  /** After a rebuild behind what was handed out failed, the next is not tried before. */
  readonly retryMs: number;
  readonly build: (key: BuildKey, signal: AbortSignal) => Promise<Built<T>>;
  readonly judge: (key: BuildKey, saved: SavedBuild) => Promise<Freshness>;
  readonly encode: (value: T) => Uint8Array;
  /** @throws where the bytes are none of `encode`'s: they are built again. */
  readonly decode: (saved: SavedBuild) => T;
  readonly onOutcome: (outcome: BuildOutcome, key: BuildKey) => void;
}

/**
 * What is expensive and the same for every daemon, built once a database (law L15): loaded where it has been saved, else
 * built by whoever gets the lease while all others wait for it, in this process without a statement. Reading never
 * rebuilds: what is too old is handed out as it is, and one rebuild is begun behind it.
 */
export interface SharedBuild<T> {
  /** @throws BuildBankGoneError, BuildStoppedError, BuildWaitTimeoutError, the signal's reason, or what the build threw */
  get(key: BuildKey, options: { readonly signal: AbortSignal }): Promise<T>;
  /**
   * Ends every build, those of callers with a BuildStoppedError, and waits until no lease is left to give back. Whoever
   * asks after that is served as ever.
   */
  stop(): Promise<void>;
}

export function createSharedBuild<T>(options: SharedBuildOptions<T>): SharedBuild<T> {
  const { store, clock, log, pollMs, waitMs, buildMs, retryMs, onOutcome } = options;
  const flights = createSingleFlight<{ readonly value: T; readonly outcome: 'built' | 'loaded' }>({
    clock,
    waitMs,
    buildMs: buildMs + waitMs,
    rounds: 4,
  });
  const behind = createSingleFlight<void>({ clock, waitMs: 0, buildMs, rounds: 1 });
  const leading: LeadOptions<T> = { ...options, usable: (key) => usable(key, 'fresh') };
  const rebuilds = new Set<string>();
  const underWay = new Set<Promise<unknown>>();
  const failedAtMs = new Map<string, number>();
  let stopping = new AbortController();

  function remember<R>(work: Promise<R>): Promise<R> {
    underWay.add(work);
    const forget = () => underWay.delete(work);
    work.then(forget, forget);
    return work;
  }

  /** What is saved and at least as good as asked. Bytes that cannot be read are as good as none. */
  async function usable(key: BuildKey, asked: 'fresh' | 'stale'): Promise<{ value: T; freshness: Freshness } | null> {
    const saved = await store.load(key);
    if (!saved) return null;
    const freshness = await options.judge(key, saved);
    if (freshness === 'missing' || (freshness === 'stale' && asked === 'fresh')) return null;
    try {
      return { value: options.decode(saved), freshness };
    } catch (thrown) {
      log.warn({ ...key, error: errorMessage(thrown) }, 'a saved build cannot be read and is made again');
      return null;
    }
  }

  /** Remembered, since a caller that is freed does not wait until the lease has been given back. */
  function leadOnce(key: BuildKey, signal: AbortSignal) {
    return remember(lead(leading, key, AbortSignal.any([signal, stopping.signal])));
  }

  /** Builds, or waits until another daemon has. */
  async function buildOrAwait(key: BuildKey, signal: AbortSignal) {
    const deadlineMs = clock.monotonicMs() + waitMs;
    const ending = AbortSignal.any([signal, stopping.signal]);
    for (;;) {
      ending.throwIfAborted();
      const led = await leadOnce(key, signal);
      if (led) return led;
      const found = await usable(key, 'fresh');
      if (found) return { value: found.value, outcome: 'loaded' as const };
      const leftMs = deadlineMs - clock.monotonicMs();
      if (leftMs <= 0) throw new BuildWaitTimeoutError(nameOf(key), waitMs);
      await clock.sleep(Math.min(pollMs, leftMs), ending);
    }
  }

  /** At most one at a time for each key, and none where another daemon is at it. */
  function rebuildBehind(key: BuildKey): void {
    const name = nameOf(key);
    const failedMs = failedAtMs.get(name);
    if (stopping.signal.aborted || rebuilds.has(name)) return;
    if (failedMs !== undefined && clock.monotonicMs() - failedMs < retryMs) return;
    rebuilds.add(name);
    void behind
      .run(
        name,
        async (ending) => {
          const led = await leadOnce(key, ending);
          if (led) onOutcome(led.outcome, key);
          failedAtMs.delete(name);
        },
        { signal: stopping.signal },
      )
      .catch((thrown: unknown) => {
        if (isNobodysFault(thrown)) return;
        failedAtMs.set(name, clock.monotonicMs());
        onOutcome('failed', key);
        log.warn({ ...key, error: errorMessage(thrown) }, 'a rebuild failed; what there is goes on being used');
      })
      .finally(() => rebuilds.delete(name));
  }

  async function found(key: BuildKey, signal: AbortSignal) {
    const saved = await usable(key, 'stale');
    if (saved) {
      if (saved.freshness === 'stale') rebuildBehind(key);
      return { value: saved.value, outcome: 'loaded' as const };
    }
    let isMine = false;
    const made = await flights.run(
      nameOf(key),
      (ending) => {
        isMine = true;
        return buildOrAwait(key, ending);
      },
      { signal },
    );
    return isMine ? made : { value: made.value, outcome: 'joined' as const };
  }

  return {
    async get(key, { signal }) {
      signal.throwIfAborted();
      try {
        const { value, outcome } = await remember(found(key, signal));
        onOutcome(outcome, key);
        return value;
      } catch (thrown) {
        if (!signal.aborted && !isNobodysFault(thrown))
          onOutcome(thrown instanceof BuildWaitTimeoutError ? 'timed_out' : 'failed', key);
        throw thrown;
      }
    },

    async stop() {
      stopping.abort(new BuildStoppedError());
      // Those who waited for one another go one after the other.
      while (underWay.size > 0) await Promise.allSettled(underWay);
      stopping = new AbortController();
    },
  };
}

function isNobodysFault(thrown: unknown): boolean {
  return thrown instanceof BuildStoppedError || thrown instanceof BuildBankGoneError;
}

function nameOf({ bankId, kind, key }: BuildKey): string {
  return JSON.stringify([kind, bankId, key]);
}
