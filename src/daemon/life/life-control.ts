import type { Database } from '../../db/database.ts';
import type { ControlResult, LifeControl } from '../../lifecycle/life-view.ts';
import type { TransitionReason } from '../../lifecycle/states.ts';
import { clearPause, forceSleep, readLife, setPause } from '../../store/lifecycle.ts';
import type { Log } from '../../telemetry/log.ts';
import type { LifeMemory } from './life-memory.ts';

export interface LifeControlDeps {
  readonly db: Database;
  readonly memory: LifeMemory;
  readonly log: Log;
  readonly isParked: () => boolean;
  readonly isCycleRunning: () => boolean;
  readonly wake: (reason: TransitionReason) => Promise<void>;
  /** The row was changed: the loop looks. */
  readonly onChanged: () => void;
}

/** The control plane: each message changes the row, and the tick loops do what it says. None of it is activity. */
export function createLifeControl(deps: LifeControlDeps): LifeControl {
  const { db, memory, log } = deps;

  /** A parked process has a connection for as long as that takes, and no longer. */
  async function change<T>(what: string, reason: string | null, work: () => Promise<T>): Promise<T> {
    log.info({ what, reason }, 'asked over the control socket');
    try {
      const result = await work();
      memory.remember(await readLife(db));
      deps.onChanged();
      return result;
    } finally {
      if (deps.isParked()) await db.rest();
    }
  }

  const told = (note: string): ControlResult => ({ state: memory.row().state, note });

  return {
    async forceSleep(reason) {
      const found = await change('force_sleep', reason, () => forceSleep(db));
      const paused = memory.row().pause === null ? '' : ' It is paused: no sleep cycle runs until `engramd resume`.';
      switch (found) {
        case 'hibernation':
          return told('It hibernates already.');
        case 'sleep':
          return told(
            `${deps.isCycleRunning() ? 'It sleeps already, and its cycle runs.' : 'It sleeps already; its cycle begins now.'}${paused}`,
          );
        case 'wake':
        case 'drowsy':
          return told(`It goes to sleep: no more work is handed out, and batches in flight have 30 s.${paused}`);
      }
    },
    async wake(reason) {
      log.info({ what: 'wake', reason }, 'asked over the control socket');
      const { state } = memory.row();
      await deps.wake('wake_command');
      return told(state === 'wake' ? 'It is awake.' : `It wakes from ${state}.`);
    },
    async pause(forMs) {
      const { until } = await change('pause', null, () => setPause(db, forMs));
      return told(
        `Paused ${until === null ? 'until `engramd resume`' : `until ${until.toISOString()}`}: no work is handed out and no sleep cycle runs; requests are answered.`,
      );
    },
    async resume() {
      const wasPaused = await change('resume', null, () => clearPause(db));
      return told(wasPaused ? 'It goes on.' : 'It was not paused.');
    },
  };
}
