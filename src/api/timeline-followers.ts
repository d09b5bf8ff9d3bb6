import type { Database } from '../db/database.ts';
import { readOn, type TimelinePage, type TimelineReader, type TimelineRow } from '../store/timeline.ts';
import type { Clock } from '../telemetry/clock.ts';
import { errorMessage } from '../telemetry/engramd-error.ts';
import type { Log } from '../telemetry/log.ts';

/** Those who read timelines as they grow. */
export interface TimelineFollowers {
  /**
   * Rows behind `reader.after`, each once, for as long as the signal and this process want. Nothing is read ahead of what
   * is taken: a client that reads slowly costs its own delay and no memory. It ends also where the reader stands in another
   * store, or in this one before a restore.
   */
  follow(reader: TimelineReader, signal: AbortSignal): AsyncGenerator<TimelineRow, void, void>;
  /** Asks the database nothing until {@link resume}: a parked daemon's followers wait, and miss nothing. */
  rest(): Promise<void>;
  resume(): void;
  /** Every follower comes to its end. */
  stop(): Promise<void>;
}

/** The database is asked at most this often, by one statement, however many follow. */
const everyMs = 1000;
/** Rows a look gives to each: who is further behind reads pages. */
const rowsPerLook = 500;

interface Waiting {
  reader: TimelineReader;
  take(page: TimelinePage | null): void;
}

export function createTimelineFollowers(deps: {
  readonly db: Database;
  readonly clock: Clock;
  readonly log: Log;
}): TimelineFollowers {
  const { db, clock, log } = deps;
  const stopped = new AbortController();
  /** Those who have handed out all that they had. */
  const waiting = new Set<Waiting>();
  let isResting = false;
  let paused = new AbortController();
  let looking: Promise<void> | undefined;
  let lastLookMs = Number.NEGATIVE_INFINITY;
  let hasFailed = false;

  const isWanted = () => waiting.size > 0 && !isResting && !stopped.signal.aborted;

  function lookSoon(): void {
    if (!isWanted()) return;
    looking ??= looks().finally(() => {
      looking = undefined;
      lookSoon();
    });
  }

  async function looks(): Promise<void> {
    while (isWanted()) {
      const restMs = lastLookMs + everyMs - clock.monotonicMs();
      if (restMs > 0) await clock.sleep(restMs, AbortSignal.any([stopped.signal, paused.signal]));
      if (!isWanted()) return;
      lastLookMs = clock.monotonicMs();
      await look([...waiting]);
    }
  }

  async function look(asking: readonly Waiting[]): Promise<void> {
    let pages: (TimelinePage | null)[];
    try {
      pages = await readOn(
        db,
        asking.map(({ reader }) => reader),
        rowsPerLook,
      );
      hasFailed = false;
    } catch (thrown) {
      // A server that is away for a while: said once, and asked again.
      if (!hasFailed) log.warn({ error: errorMessage(thrown) }, 'the timeline could not be read for its followers');
      hasFailed = true;
      return;
    }
    asking.forEach((follower, index) => {
      const page = pages[index];
      if (page === undefined || !waiting.has(follower)) return;
      if (page === null) {
        follower.take(null);
        return;
      }
      follower.reader = { ...follower.reader, after: page.readOnFrom };
      if (page.rows.length === 0) return;
      waiting.delete(follower);
      follower.take(page);
    });
  }

  /** Null: it is over. */
  function next(follower: Waiting, signal: AbortSignal): Promise<TimelinePage | null> {
    if (signal.aborted || stopped.signal.aborted) return Promise.resolve(null);
    const { promise, resolve } = Promise.withResolvers<TimelinePage | null>();
    const leave = () => follower.take(null);
    follower.take = (page) => {
      waiting.delete(follower);
      signal.removeEventListener('abort', leave);
      resolve(page);
    };
    signal.addEventListener('abort', leave, { once: true });
    waiting.add(follower);
    lookSoon();
    return promise;
  }

  return {
    async *follow(reader, signal) {
      const follower: Waiting = { reader, take: () => undefined };
      for (;;) {
        const page = await next(follower, signal);
        if (page === null) return;
        yield* page.rows;
      }
    },
    async rest() {
      isResting = true;
      paused.abort();
      await looking;
    },
    resume() {
      if (!isResting) return;
      isResting = false;
      paused = new AbortController();
      lookSoon();
    },
    async stop() {
      stopped.abort();
      for (const follower of [...waiting]) follower.take(null);
      await looking;
    },
  };
}
