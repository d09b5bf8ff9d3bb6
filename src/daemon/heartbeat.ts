import type { Database } from '../db/database.ts';
import { type InstanceActivity, touchInstance } from '../store/instances.ts';
import type { Clock } from '../telemetry/clock.ts';
import { errorMessage } from '../telemetry/engramd-error.ts';
import type { Log } from '../telemetry/log.ts';

const everyMs = 10_000;

/** Says every ten seconds, in the instance's row, that this process lives and when it was last asked for something. */
export interface Heartbeat {
  start(): void;
  /** May be started again. */
  stop(): Promise<void>;
}

/** `onBeat` runs before each and must not throw. */
export function createHeartbeat(deps: {
  readonly db: Database;
  readonly instanceId: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly activity: () => InstanceActivity;
  readonly onBeat: () => void;
}): Heartbeat {
  const { db, instanceId, clock, log, onBeat } = deps;
  let running: { readonly stopped: AbortController; readonly beating: Promise<void> } | undefined;

  async function beat({ signal }: AbortController): Promise<void> {
    for (;;) {
      await clock.sleep(everyMs, signal);
      if (signal.aborted) return;
      onBeat();
      await touchInstance(db, instanceId, deps.activity()).catch((thrown: unknown) => {
        log.warn({ error: errorMessage(thrown) }, 'heartbeat not written');
      });
    }
  }

  return {
    start() {
      if (running) return;
      const stopped = new AbortController();
      running = { stopped, beating: beat(stopped) };
    },
    async stop() {
      const { stopped, beating } = running ?? {};
      running = undefined;
      stopped?.abort();
      await beating;
    },
  };
}
