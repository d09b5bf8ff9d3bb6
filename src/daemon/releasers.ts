import type { Clock } from '../telemetry/clock.ts';
import { errorMessage } from '../telemetry/engramd-error.ts';
import type { Log } from '../telemetry/log.ts';

export interface Releasers {
  /**
   * Remembers how to give back what was just acquired. `boundMs` is how long that may take before the next one is
   * given back regardless.
   */
  add(name: string, boundMs: number, release: () => Promise<void>): void;
  /**
   * Gives everything back, last acquired first, one after the other. Every step runs, whatever the others did; then
   * the first failure is thrown. A second call waits for the first. `level` is that of a step that went well: a start
   * that fails should be told in one line.
   */
  releaseAll(level?: 'info' | 'debug'): Promise<void>;
}

/** A step of the stop did not end in its time. What it was doing may still be going on when the process exits. */
class ReleaseTimeoutError extends Error {
  override readonly name = 'ReleaseTimeoutError';
}

export function createReleasers(deps: { readonly log: Log; readonly clock: Clock }): Releasers {
  const { log, clock } = deps;
  const steps: { name: string; boundMs: number; release: () => Promise<void> }[] = [];
  let releasing: Promise<void> | undefined;

  async function release(level: 'info' | 'debug'): Promise<void> {
    const failures: unknown[] = [];
    for (let step = steps.pop(); step; step = steps.pop()) {
      const startedMs = clock.monotonicMs();
      try {
        await within(step.boundMs, step.name, step.release());
        log[level]({ step: step.name, durationMs: Math.round(clock.monotonicMs() - startedMs) }, 'stop: done');
      } catch (thrown) {
        failures.push(thrown);
        log.error({ step: step.name, error: errorMessage(thrown) }, 'stop: failed, going on');
      }
    }
    if (failures.length > 0) throw failures[0];
  }

  async function within(boundMs: number, name: string, work: Promise<void>): Promise<void> {
    const over = new AbortController();
    const timeout = clock.sleep(boundMs, over.signal).then(() => {
      if (!over.signal.aborted) throw new ReleaseTimeoutError(`${name} did not stop within ${boundMs} ms`);
    });
    // The loser of the race may still reject, with nobody listening.
    work.catch(() => undefined);
    try {
      await Promise.race([work, timeout]);
    } finally {
      over.abort();
    }
  }

  return {
    add(name, boundMs, release) {
      if (releasing) throw new Error(`${name} was acquired after the stop had begun`);
      steps.push({ name, boundMs, release });
    },
    releaseAll: (level = 'info') => {
      releasing ??= release(level);
      return releasing;
    },
  };
}
