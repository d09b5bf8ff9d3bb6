import type { Database } from '../db/database.ts';
import { touchInstance } from '../store/instances.ts';
import type { Clock } from '../telemetry/clock.ts';
import { errorMessage } from '../telemetry/engramd-error.ts';
import type { Log } from '../telemetry/log.ts';

const everyMs = 10_000;

/**
 * Says every ten seconds, in the instance's row, that this process lives. `onBeat` runs before each and must not
 * throw.
 */
export function startHeartbeat(deps: {
  readonly db: Database;
  readonly instanceId: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly onBeat: () => void;
}): { stop(): Promise<void> } {
  const { db, instanceId, clock, log, onBeat } = deps;
  const stopped = new AbortController();

  async function beat(): Promise<void> {
    for (;;) {
      await clock.sleep(everyMs, stopped.signal);
      if (stopped.signal.aborted) return;
      onBeat();
      await touchInstance(db, instanceId).catch((thrown: unknown) => {
        log.warn({ error: errorMessage(thrown) }, 'heartbeat not written');
      });
    }
  }

  const beating = beat();
  return {
    async stop() {
      stopped.abort();
      await beating;
    },
  };
}
