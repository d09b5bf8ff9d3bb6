import type { Clock } from '../../src/telemetry/clock.ts';

export interface HandClock extends Clock {
  /** Moves time and lets those sleep no longer whose time has come, in order. */
  advance(ms: number): Promise<void>;
}

/** A clock that stands still until it is moved. */
export function createHandClock(start = new Date('2026-03-01T12:00:00Z')): HandClock {
  let elapsedMs = 0;
  const sleepers = new Set<{ untilMs: number; wake: () => void }>();
  /** Whatever was woken runs on before time does. */
  const settle = () => new Promise<void>((resolve) => setImmediate(resolve));

  return {
    now: () => new Date(start.getTime() + elapsedMs),
    monotonicMs: () => elapsedMs,
    sleep: (ms, signal) =>
      new Promise((resolve) => {
        if (signal?.aborted) return resolve();
        const sleeper = {
          untilMs: elapsedMs + ms,
          wake: () => {
            sleepers.delete(sleeper);
            resolve();
          },
        };
        sleepers.add(sleeper);
        signal?.addEventListener('abort', sleeper.wake, { once: true });
      }),
    async advance(ms) {
      const endMs = elapsedMs + ms;
      for (;;) {
        await settle();
        const next = [...sleepers]
          .filter((sleeper) => sleeper.untilMs <= endMs)
          .sort((a, b) => a.untilMs - b.untilMs)[0];
        if (!next) break;
        elapsedMs = Math.max(elapsedMs, next.untilMs);
        next.wake();
      }
      elapsedMs = endMs;
      await settle();
    },
  };
}
