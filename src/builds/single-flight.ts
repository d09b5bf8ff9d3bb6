import type { Clock } from '../telemetry/clock.ts';
import { type BuildOutcome, BuildTooLongError, BuildWaitTimeoutError } from './build-outcome.ts';

export interface SingleFlightOptions {
  readonly clock: Clock;
  /** How long a caller waits for the builds of others, all together. */
  readonly waitMs: number;
  /** How long one build may take. It is told to stop then, and whoever comes next may build. */
  readonly buildMs: number;
  /** How many failures of others a caller sees before it gives up with the last of them. */
  readonly rounds: number;
  /** Once a call, except where the caller's own signal ended it. */
  readonly onOutcome?: (outcome: Exclude<BuildOutcome, 'loaded'>, key: string) => void;
}

/** Told to stop when nobody waits for the build any more, or when it takes too long. */
export type Build<T> = (signal: AbortSignal) => Promise<T>;

/**
 * One build at a time for each key, whoever asks (law L15): the first caller's is begun, the others wait for it and share
 * what comes of it, so that it must not be changed by anybody.
 */
export interface SingleFlight<T> {
  /**
   * After a failure exactly one of those who waited builds in its turn, and the caller whose build it was gets the error.
   * A signal frees its own caller and nobody else; the build ends when it has freed the last.
   *
   * @throws BuildWaitTimeoutError, BuildTooLongError, the signal's reason, or what the build threw.
   */
  run(key: string, build: Build<T>, options?: { readonly signal?: AbortSignal }): Promise<T>;
  /** Keys that somebody builds now. */
  readonly size: number;
}

interface Flight<T> {
  readonly key: string;
  readonly settled: Promise<Settled<T>>;
  readonly ending: AbortController;
  callers: number;
}

type Settled<T> = { readonly kind: 'built'; readonly value: T } | { readonly kind: 'failed'; readonly error: unknown };

type Waited<T> = Settled<T> | { readonly kind: 'timed_out' };

export function createSingleFlight<T>(options: SingleFlightOptions): SingleFlight<T> {
  const { clock, waitMs, buildMs, rounds, onOutcome } = options;
  const flights = new Map<string, Flight<T>>();

  function begin(key: string, build: Build<T>): Flight<T> {
    const ending = new AbortController();
    const flight: Flight<T> = { key, settled: Promise.resolve().then(fly), ending, callers: 0 };
    flights.set(key, flight);

    async function fly(): Promise<Settled<T>> {
      const limit = new AbortController();
      const tooLong = clock.sleep(buildMs, limit.signal).then((): Settled<T> => {
        const error = new BuildTooLongError(key, buildMs);
        // A build that is over has ended this sleep itself.
        if (!limit.signal.aborted) ending.abort(error);
        return { kind: 'failed', error };
      });
      try {
        const built = build(ending.signal).then((value): Settled<T> => ({ kind: 'built', value }));
        return await Promise.race([built, tooLong]);
      } catch (error) {
        return { kind: 'failed', error };
      } finally {
        limit.abort();
        // Its own place and no other's: nobody else may take it out, or a second build begins beside this one.
        flights.delete(key);
      }
    }
    return flight;
  }

  /** Waits as one of the flight's callers. */
  async function wait(flight: Flight<T>, ms: number | null, signal: AbortSignal | undefined): Promise<Waited<T>> {
    const over = new AbortController();
    const stop = () => over.abort();
    signal?.addEventListener('abort', stop, { once: true });
    flight.callers += 1;
    try {
      const bound = ms === null ? until(over.signal) : clock.sleep(ms, over.signal);
      const waited = await Promise.race([flight.settled, bound.then((): Waited<T> => ({ kind: 'timed_out' }))]);
      signal?.throwIfAborted();
      return waited;
    } finally {
      signal?.removeEventListener('abort', stop);
      over.abort();
      flight.callers -= 1;
      if (flight.callers === 0 && flights.get(flight.key) === flight) flight.ending.abort(signal?.reason);
    }
  }

  return {
    get size() {
      return flights.size;
    },

    async run(key, build, { signal } = {}) {
      const deadlineMs = clock.monotonicMs() + waitMs;
      let error: unknown;
      for (let round = 0; round < rounds; ) {
        signal?.throwIfAborted();
        const other = flights.get(key);
        const isMine = other === undefined;
        // Nobody waits for that one any more, and it does not know yet: what comes of it is not ours, nor its failure.
        const isAbandoned = other?.ending.signal.aborted === true;
        const waited = await wait(
          other ?? begin(key, build),
          isMine ? null : Math.max(0, deadlineMs - clock.monotonicMs()),
          signal,
        );
        switch (waited.kind) {
          case 'built':
            onOutcome?.(isMine ? 'built' : 'joined', key);
            return waited.value;
          case 'failed':
            error = waited.error;
            if (isMine) round = rounds;
            else if (!isAbandoned) round += 1;
            break;
          case 'timed_out':
            onOutcome?.('timed_out', key);
            throw new BuildWaitTimeoutError(key, waitMs);
        }
      }
      onOutcome?.(error instanceof BuildTooLongError ? 'timed_out' : 'failed', key);
      throw error;
    },
  };
}

/** Resolves when the signal aborts. */
function until(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}
