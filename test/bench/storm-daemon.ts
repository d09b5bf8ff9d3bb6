import { loadConfig } from '../../src/config/load-config.ts';
import { compose } from '../../src/daemon/compose.ts';
import { createNeighbourLists } from '../../src/store/neighbours/create-neighbour-lists.ts';
import { systemClock } from '../../src/telemetry/clock.ts';
import { errorMessage } from '../../src/telemetry/engramd-error.ts';
import { createLog } from '../../src/telemetry/log.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { inertRacepoints } from '../../src/telemetry/racepoints.ts';
import { mainThreadWork } from './storm-main-thread.ts';
import type { StormMessage, StormOrder, StormSettings } from './storm-messages.ts';

/** A whole daemon, which besides builds neighbour lists when it is told to: in its life it does so asleep, one at a time. */
const settings: StormSettings = JSON.parse(process.argv[2] ?? '');
const { config } = loadConfig({
  env: {
    DATABASE_URL: settings.databaseUrl,
    ENGRAMD_HTTP_PORT: '0',
    ENGRAMD_EMBEDDER: 'local',
    ENGRAMD_DECIDER: 'rules',
  },
  flags: { dataDir: settings.dataDir },
});
const log = createLog({ level: 'warn', pretty: false });
const metrics = createMetrics();
const daemon = await compose({
  config,
  mode: 'daemon',
  log,
  clock: systemClock,
  metrics,
  ...(settings.onMainThread && { heavyWork: mainThreadWork }),
});
const neighbours = createNeighbourLists({
  db: daemon.db,
  clock: systemClock,
  log,
  metrics,
  racepoints: inertRacepoints,
  instanceId: daemon.instanceId,
  floorOf: () => 0.8,
  ...(settings.onMainThread && { startWorker: mainThreadWork.startNeighbourWorker }),
});
const say = (message: StormMessage) => process.send?.(message);

async function build(callers: number): Promise<void> {
  const startedMs = performance.now();
  const { signal } = new AbortController();
  const asked = Array.from({ length: callers }, () => neighbours.of(settings.bankId, settings.modelId, { signal }));
  const [lists] = await Promise.all(asked);
  say({ kind: 'built', ms: performance.now() - startedMs, rows: lists?.rows ?? 0 });
}

async function stop(): Promise<void> {
  const { values } = await metrics.builds.get();
  const builds = Object.fromEntries(values.map(({ labels, value }) => [`${labels.kind} ${labels.outcome}`, value]));
  await neighbours.stop();
  await daemon.stop('the bench is over');
  say({ kind: 'stopped', builds, peakRssBytes: process.resourceUsage().maxRSS * 1024 });
  process.disconnect();
}

process.on('message', (order: StormOrder) => {
  const done = order.kind === 'build' ? build(order.callers) : stop();
  done.catch((thrown: unknown) => say({ kind: 'failed', error: errorMessage(thrown) }));
});
say({ kind: 'ready', url: daemon.url ?? '', socket: config.socket });
