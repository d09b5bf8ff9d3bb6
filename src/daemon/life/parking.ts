import type { Clock } from '../../telemetry/clock.ts';
import { EngramdError, errorMessage } from '../../telemetry/engramd-error.ts';
import type { Log } from '../../telemetry/log.ts';

/** One thing that a parked process does without. Both directions may be called again and again, in turn. */
export interface ParkedPart {
  readonly name: string;
  release(): Promise<void>;
  /** Absent: it comes back by itself with its next use. */
  restore?(): Promise<void>;
}

/** Whether this process has let go of everything but its sockets and one connection. */
export interface Parking {
  isParked(): boolean;
  /** Whether nothing is released, or on its way. */
  isUp(): boolean;
  /** Resolves when the process is parked, or somebody wants it up meanwhile. */
  park(): Promise<void>;
  /** Resolves when everything is back. Requests need not wait for it: pool, vectors and embedder come with their first use. */
  unpark(): Promise<void>;
  stop(): Promise<void>;
}

/** A database that is down while a daemon wants to get up is asked again after this, twice as long each time. */
const firstPauseMs = 500;
const longestPauseMs = 15_000;

/**
 * Parts are released in their order and restored in the opposite one, one after the other; a change of mind half-way
 * turns round where it is. A part that cannot be released is logged and counts as released: it holds memory, not work.
 */
export function createParking(deps: {
  readonly parts: readonly ParkedPart[];
  /** Each time that everything is released, or back. */
  readonly onParked: () => Promise<void>;
  readonly onUp: () => void;
  /** A part can never come back to this process, e.g. since another daemon has migrated the queue past it. */
  readonly onFatal: (error: EngramdError) => void;
  readonly clock: Clock;
  readonly log: Log;
}): Parking {
  const { parts, clock, log } = deps;
  const stopped = new AbortController();
  let wanted: 'up' | 'parked' = 'up';
  /** So many of the parts are released. */
  let released = 0;
  let isParked = false;
  let working: Promise<void> | undefined;

  async function releaseOne(part: ParkedPart): Promise<void> {
    try {
      await part.release();
    } catch (thrown) {
      log.warn({ error: errorMessage(thrown), part: part.name }, 'could not be released; parked all the same');
    }
  }

  async function restoreOne(part: ParkedPart): Promise<void> {
    let pauseMs = firstPauseMs;
    while (!stopped.signal.aborted) {
      try {
        return await part.restore?.();
      } catch (thrown) {
        if (isFinal(thrown)) {
          deps.onFatal(thrown);
          return;
        }
        log.warn({ error: errorMessage(thrown), part: part.name }, 'did not come back; tried again');
        await clock.sleep(pauseMs, stopped.signal);
        pauseMs = Math.min(2 * pauseMs, longestPauseMs);
      }
    }
  }

  async function work(): Promise<void> {
    while (!stopped.signal.aborted) {
      if (wanted === 'parked') {
        const part = parts[released];
        if (part) {
          await releaseOne(part);
          released += 1;
          continue;
        }
        if (!isParked) {
          isParked = true;
          await deps.onParked();
          continue;
        }
        return;
      }
      isParked = false;
      const part = parts[released - 1];
      if (!part) return deps.onUp();
      await restoreOne(part);
      released -= 1;
    }
  }

  function settle(): Promise<void> {
    working ??= work().finally(() => {
      working = undefined;
      // Somebody may have changed his mind between the last look and this turn.
      const isSettled = wanted === 'parked' ? isParked : released === 0;
      if (!isSettled && !stopped.signal.aborted) void settle();
    });
    return working;
  }

  return {
    isParked: () => isParked,
    isUp: () => wanted === 'up' && released === 0,
    park() {
      wanted = 'parked';
      return settle();
    },
    unpark() {
      wanted = 'up';
      isParked = false;
      return released === 0 && !working ? Promise.resolve() : settle();
    },
    async stop() {
      stopped.abort();
      await working;
    },
  };
}

/** What exits with 2 or 4 at a start does so here: no retry mends a newer schema. */
function isFinal(thrown: unknown): thrown is EngramdError {
  return thrown instanceof EngramdError && !thrown.retryable && thrown.exitCode !== 1;
}
