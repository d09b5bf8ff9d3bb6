import type { ApiQueue } from '../api/app-deps.ts';
import type { Clock } from '../telemetry/clock.ts';

/** Who wakes a parked daemon has its answer before the daemon takes up its own work. */
export interface RequestsFirst {
  /** Until the requests of now are answered, and no longer than a second. */
  wait(): Promise<void>;
  /** The queue as requests see it: what needs it running waits for it to be. */
  readonly queue: ApiQueue;
}

/** Starting the queue is some fifteen statements, which a recall beside it would wait for: 100 ms of its 300. */
const longestMs = 1000;
const lookEveryMs = 20;
const longestStartMs = 10_000;

export function createRequestsFirst(deps: {
  readonly queue: ApiQueue;
  readonly inFlight: () => number;
  /** Resolves when everything is back. */
  readonly whenUp: () => Promise<void>;
  readonly clock: Clock;
}): RequestsFirst {
  const { queue, inFlight, clock } = deps;
  /** Of those in flight, who waits for the queue itself. */
  let waiting = 0;

  async function up(): Promise<void> {
    waiting += 1;
    const over = new AbortController();
    try {
      // A queue that does not come back says why itself.
      await Promise.race([deps.whenUp(), clock.sleep(longestStartMs, over.signal)]);
    } finally {
      // A timer that is left behind would hold the end of the process up.
      over.abort();
      waiting -= 1;
    }
  }

  return {
    async wait() {
      for (let waitedMs = 0; waitedMs < longestMs && inFlight() > 0 && waiting === 0; waitedMs += lookEveryMs)
        await clock.sleep(lookEveryMs);
    },
    queue: {
      hint: (bankId) => queue.hint(bankId),
      listJobs: (options) => queue.listJobs(options),
      snapshot: () => queue.snapshot(),
      async requestConsolidation(bankId) {
        await up();
        return queue.requestConsolidation(bankId);
      },
      async retryJobs(ids) {
        await up();
        return queue.retryJobs(ids);
      },
      async retryParked(bankId, memoryIds) {
        await up();
        return queue.retryParked(bankId, memoryIds);
      },
    },
  };
}
