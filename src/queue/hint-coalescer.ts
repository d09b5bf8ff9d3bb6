import { AsyncLocalStorage } from 'node:async_hooks';
import type { Clock } from '../telemetry/clock.ts';
import { errorMessage } from '../telemetry/engramd-error.ts';
import type { Log } from '../telemetry/log.ts';

export interface HintCoalescer {
  /** Returns at once and never throws. */
  hint(bankId: string): void;
  /** Drops what has not been sent (the reconciler finds the rows) and waits for what is being sent. */
  stop(): Promise<void>;
}

/** However much is written to a bank, it is looked at this often at most. */
const everyMs = 1000;

/**
 * Folds the hints of a bank: the first is sent at once, those that come while it is being sent or within the next
 * second become one more.
 */
export function createHintCoalescer(deps: {
  readonly send: (bankId: string) => Promise<void>;
  readonly clock: Clock;
  readonly log: Log;
}): HintCoalescer {
  const { send, clock, log } = deps;
  const stopped = new AbortController();
  /** Banks being sent or in the pause after; true: hinted again meanwhile. */
  const busy = new Map<string, boolean>();
  const running = new Set<Promise<void>>();
  // A writer may hint from inside its transaction. Sent from that async context, the hint would be taken for a second
  // connection of the same call chain (law L1).
  const inOwnContext = AsyncLocalStorage.snapshot();

  async function run(bankId: string): Promise<void> {
    do {
      busy.set(bankId, false);
      try {
        await send(bankId);
      } catch (thrown) {
        log.warn({ error: errorMessage(thrown), bankId }, 'a hint was not sent; the reconciler will find the rows');
      }
      await clock.sleep(everyMs, stopped.signal);
    } while (busy.get(bankId) && !stopped.signal.aborted);
    busy.delete(bankId);
  }

  return {
    hint(bankId) {
      if (stopped.signal.aborted) return;
      if (busy.has(bankId)) {
        busy.set(bankId, true);
        return;
      }
      const sent = inOwnContext(() => run(bankId));
      running.add(sent);
      void sent.finally(() => running.delete(sent));
    },
    async stop() {
      stopped.abort();
      await Promise.all(running);
    },
  };
}
