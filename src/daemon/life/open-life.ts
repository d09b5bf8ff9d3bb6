import type { LifeForStatus } from '../../api/life-status.ts';
import type { Config } from '../../config/schema.ts';
import { type Listener, type ListenerDeps, startListener } from '../../db/listener.ts';
import type { CycleHistory, CycleView, QuarantineView } from '../../sleep/cycle-view.ts';
import type { SleepCycle } from '../../sleep/sleep-cycle.ts';
import type { Metrics } from '../../telemetry/metrics.ts';
import type { RuntimeProbe } from '../../telemetry/runtime-probe.ts';
import { createLife, type Life, type LifeDeps } from './life.ts';

export interface OpenLifeOptions extends Omit<LifeDeps, 'thresholds' | 'quietHours' | 'cycle' | 'onExit'> {
  readonly config: Config;
  readonly cycle: SleepCycle;
  /** Where to listen: past a pooler. */
  readonly connectionString: string;
  /** See ListenerDeps. */
  readonly admit: NonNullable<ListenerDeps['admit']>;
  /** Told of every notification, of life and of others, parked or not. */
  readonly onHeard: (channel: string, payload: string) => void;
  /** Some may have come, and were said to nobody: after each loss, and between the look at a start and the first session. */
  readonly onMissed: () => void;
  readonly random: () => number;
  readonly probe: RuntimeProbe;
  /** Hibernation as it is carried out. */
  readonly mode: Config['hibernate'];
  readonly onExit: () => void;
  readonly needsOperator: () => string | null;
  readonly lastExit: { readonly reason: string; readonly at: Date } | null;
  readonly metrics: Metrics;
}

export interface OpenedLife {
  readonly life: Life;
  readonly listener: Listener;
  readonly forStatus: LifeForStatus;
}

const noHistory: CycleHistory = { started: 0, completed: 0, lastCleanAt: null, lastGoodAt: null, lastFailedAt: null };

/** The daemon's life with what it hears by, and with what status reads of it. */
export async function openLife(options: OpenLifeOptions): Promise<OpenedLife> {
  const { config, cycle, clock, log, probe, mode } = options;
  const life = await createLife({
    ...options,
    thresholds: {
      drowsyAfterSeconds: config.drowsyAfterMs / 1000,
      sleepAfterSeconds: config.sleepAfterMs / 1000,
      hibernateAfterSeconds: config.hibernateAfterMs / 1000,
      hibernates: mode !== 'off',
    },
    quietHours: config.quietHours,
    onExit: mode === 'exit' ? options.onExit : null,
  });
  const listener = startListener({
    connectionString: options.connectionString,
    applicationName: 'engramd listen',
    channels: ['engramd_work', 'engramd_life', 'engramd_erased'],
    onNotify(channel, payload) {
      options.onHeard(channel, payload);
      if (channel !== 'engramd_erased') life.heard(channel, payload);
    },
    onListening() {
      options.onMissed();
      life.missed();
    },
    admit: options.admit,
    onRefused: options.onFatal,
    log,
    clock,
    random: options.random,
  });

  let slept: { cycle: CycleView | null; history: CycleHistory; quarantine: readonly QuarantineView[] } = {
    cycle: null,
    history: noHistory,
    quarantine: [],
  };

  return {
    life,
    listener,
    forStatus: {
      view: () => life.view(),
      sleep: () => slept,
      async refresh() {
        if (life.isParked()) return;
        await life.refresh();
        slept = {
          cycle: await cycle.latest(),
          history: await cycle.history(),
          quarantine: await cycle.quarantine(),
        };
      },
      eventLoopDelay: () => probe.delay(),
      needsOperator: options.needsOperator,
      lastExit: () => options.lastExit,
    },
  };
}
