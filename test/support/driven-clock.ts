import type { Clock } from '../../src/telemetry/clock.ts';

/** A clock that stands still until it is moved, or until it is told to follow what goes on. */
export interface DrivenClock extends Clock {
  /** Moves on, and lets those sleep no longer whose time has come, in order. */
  advance(ms: number): Promise<void>;
  /** Moves on to that instant; does nothing where it has passed. */
  advanceTo(instant: Date): Promise<void>;
  /**
   * Awaits `work`. Whenever nothing is under way but sleeping, time goes on to whoever wakes next: hours pass as fast as
   * the machine can do what happens in them.
   *
   * @param isQuiet whether whatever could still do something by itself is done: requests in flight, statements, threads
   */
  drive<T>(work: Promise<T>, isQuiet: () => boolean): Promise<T>;
}

interface Sleeper {
  readonly untilMs: number;
  readonly wake: () => void;
}

/** Looks in a row, a millisecond apart, that must find all quiet: what has just been woken gets to say so. */
const quietLooks = 3;
/** Real time without anything to wait for: the work hangs, and the test shall not. */
const stuckAfterMs = 10_000;

export function createDrivenClock(start = new Date('2026-03-04T09:00:00Z')): DrivenClock {
  let elapsedMs = 0;
  const sleepers = new Set<Sleeper>();
  const turn = () => new Promise<void>((resolve) => setImmediate(resolve));
  const pause = () => new Promise<void>((resolve) => setTimeout(resolve, 1));

  function next(): Sleeper | undefined {
    return [...sleepers].sort((a, b) => a.untilMs - b.untilMs)[0];
  }

  async function advance(ms: number): Promise<void> {
    const endMs = elapsedMs + ms;
    for (;;) {
      await turn();
      const sleeper = next();
      if (!sleeper || sleeper.untilMs > endMs) break;
      elapsedMs = Math.max(elapsedMs, sleeper.untilMs);
      sleeper.wake();
    }
    elapsedMs = Math.max(elapsedMs, endMs);
    await turn();
  }

  const now = () => new Date(start.getTime() + elapsedMs);

  return {
    now,
    monotonicMs: () => elapsedMs,
    sleep: (ms, signal) =>
      new Promise((resolve) => {
        if (signal?.aborted) return resolve();
        const sleeper = {
          untilMs: elapsedMs + ms,
          wake: () => {
            sleepers.delete(sleeper);
            signal?.removeEventListener('abort', sleeper.wake);
            resolve();
          },
        };
        sleepers.add(sleeper);
        signal?.addEventListener('abort', sleeper.wake, { once: true });
      }),
    advance,
    advanceTo: (instant) => advance(Math.max(0, instant.getTime() - now().getTime())),
    async drive(work, isQuiet) {
      let isOver = false;
      const settled = () => {
        isOver = true;
      };
      work.then(settled, settled);
      let quiet = 0;
      let sinceMs = performance.now();
      while (!isOver) {
        await pause();
        quiet = isQuiet() ? quiet + 1 : 0;
        if (quiet < quietLooks) {
          if (quiet === 0) sinceMs = performance.now();
          continue;
        }
        const sleeper = next();
        if (sleeper) {
          await advance(sleeper.untilMs - elapsedMs);
          quiet = 0;
          sinceMs = performance.now();
        } else if (performance.now() - sinceMs > stuckAfterMs) {
          throw new Error('nothing goes on, and nobody sleeps');
        }
      }
      return work;
    },
  };
}
