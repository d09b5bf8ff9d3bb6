import type { Database } from '../../db/database.ts';
import type { TransitionReason } from '../../lifecycle/states.ts';
import { type LifeRow, readLife, wakeUp } from '../../store/lifecycle.ts';
import type { Clock } from '../../telemetry/clock.ts';
import { errorMessage } from '../../telemetry/engramd-error.ts';
import type { Log } from '../../telemetry/log.ts';
import type { Metrics } from '../../telemetry/metrics.ts';
import { noteTransition } from './tick.ts';

/** Wakes begun and done. A row that was read before the last of them was done is wrong. */
export interface WakeCounts {
  readonly begun: number;
  readonly done: number;
}

/** Gets the process up and writes it into the row, which is the one truth. */
export interface Waking {
  /** Once, however many ask. Asked by name it is done even where the daemon is awake: it calls off a forced sleep. */
  wake(reason: TransitionReason): Promise<void>;
  counts(): WakeCounts;
  /** What was read before this is over. */
  distrustRow(): void;
  /** No wake is under way. */
  settled(): Promise<void>;
}

/** While the database cannot be told: the first pause, doubled up to this. */
const longestPauseMs = 5000;

export function createWaking(deps: {
  readonly db: Database;
  readonly instanceId: string;
  /** Lets go of what only goes on while everybody sleeps, and begins to take back what parking released. */
  readonly getUp: (reason: TransitionReason) => void;
  readonly onRow: (row: LifeRow) => void;
  /** The wake is done, whether the row could be written or the process stops. */
  readonly onAwake: () => void;
  readonly signal: AbortSignal;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
}): Waking {
  const { db, instanceId, signal, clock, log, metrics } = deps;
  let counts: WakeCounts = { begun: 0, done: 0 };
  let underWay: Promise<void> | undefined;

  async function wakeNow(reason: TransitionReason): Promise<void> {
    counts = { ...counts, begun: counts.begun + 1 };
    deps.getUp(reason);
    for (let pauseMs = 100; !signal.aborted; pauseMs = Math.min(2 * pauseMs, longestPauseMs)) {
      try {
        const from = await wakeUp(db, { instanceId, reason });
        if (from !== null && from !== 'wake') noteTransition({ log, metrics }, from, 'wake', reason);
        deps.onRow(await readLife(db));
        break;
      } catch (thrown) {
        log.warn({ error: errorMessage(thrown) }, 'awake, but the database could not be told; tried again');
        await clock.sleep(pauseMs, signal);
      }
    }
    counts = { ...counts, done: counts.done + 1 };
    deps.onAwake();
  }

  return {
    wake(reason) {
      const isByName = reason === 'wake_command' || reason === 'wake_signal';
      if (isByName) return (underWay ?? Promise.resolve()).then(() => wakeNow(reason));
      underWay ??= wakeNow(reason).finally(() => {
        underWay = undefined;
      });
      return underWay;
    },
    counts: () => counts,
    distrustRow() {
      counts = { begun: counts.begun + 1, done: counts.done + 1 };
    },
    async settled() {
      await underWay;
    },
  };
}
