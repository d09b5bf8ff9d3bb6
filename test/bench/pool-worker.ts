/**
 * One daemon's work without its HTTP surface: queue, pollers, background embedder and engine over the pool, as the bench
 * orders it. Started with fork(); argument: {@link WorkerSettings} as JSON.
 */
import { createDatabase } from '../../src/db/database.ts';
import { createPendingEmbedder } from '../../src/ingest/embed-pending.ts';
import { createWorkQueue } from '../../src/queue/work-queue.ts';
import { systemClock } from '../../src/telemetry/clock.ts';
import { createLog } from '../../src/telemetry/log.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { inertRacepoints } from '../../src/telemetry/racepoints.ts';
import { createLlmEngine } from '../support/llm-engine.ts';
import { holdingConnection } from './held-connection.ts';
import type { WorkerMessage, WorkerOrder, WorkerReport, WorkerSettings } from './pool-messages.ts';

const [given] = process.argv.slice(2);
if (given === undefined) throw new Error('not to be imported: this is a process of its own');
const settings = JSON.parse(given) as WorkerSettings;

const warnings: string[] = [];
const log = createLog({
  level: 'warn',
  pretty: false,
  destination: {
    write: (line) => {
      if (warnings.length < 20) warnings.push(line.trim());
    },
  },
});
const metrics = createMetrics();
const holdsMs: number[] = [];
const observe = metrics.poolHoldSeconds.observe.bind(metrics.poolHoldSeconds) as (seconds: number) => void;
metrics.poolHoldSeconds.observe = (seconds: unknown) => {
  holdsMs.push(Number(seconds) * 1000);
  observe(Number(seconds));
};
const db = createDatabase({
  connectionString: settings.databaseUrl,
  poolMax: settings.poolMax,
  applicationName: 'engramd-bench',
  log,
  clock: systemClock,
  metrics,
});
const { engine, embedder, vectors, instanceId } = await createLlmEngine({
  db,
  baseUrl: settings.modelUrl,
  concurrency: settings.concurrency,
  batchMemories: settings.memoriesPerCall,
  // A model without a price, so that no budget of dollars is in the way; this is more than a run takes.
  budgetTokensPerDay: 1_000_000_000,
  random: Math.random,
  log,
  metrics,
  ...(settings.holdsConnection && { wrapGate: (gate) => holdingConnection(gate, db) }),
});
const { embedPending } = createPendingEmbedder({ db, embedder, racepoints: inertRacepoints, metrics, log });
const queue = createWorkQueue({
  decider: { readyAt: async () => null },
  db,
  engine,
  embedPending,
  significance: { scoreBatch: async () => ({ scored: 0, remaining: 0 }), readyAt: async () => null },
  clock: systemClock,
  log,
  metrics,
  racepoints: inertRacepoints,
  instanceId,
});

function tell(message: WorkerMessage): Promise<void> {
  return new Promise((resolve) => process.send?.(message, undefined, undefined, () => resolve()));
}

let cpuBefore = process.cpuUsage();

async function go(): Promise<void> {
  holdsMs.length = 0;
  cpuBefore = process.cpuUsage();
  await queue.start();
  for (const bank of settings.banks) {
    await queue.hint(bank);
    await queue.requestConsolidation(bank);
  }
}

/** Mean time of a batch in each phase. */
async function meanPhaseMs(): Promise<Record<string, number>> {
  const { values } = await metrics.batchPhaseSeconds.get();
  const of = (suffix: string) =>
    new Map(
      values.filter(({ metricName }) => metricName?.endsWith(suffix)).map((v) => [String(v.labels.phase), v.value]),
    );
  const counts = of('_count');
  return Object.fromEntries([...of('_sum')].map(([phase, sum]) => [phase, (sum * 1000) / (counts.get(phase) ?? 1)]));
}

async function report(): Promise<WorkerReport> {
  const cpu = process.cpuUsage(cpuBefore);
  const replans = (await metrics.replans.get()).values.map(({ labels, value }) => [String(labels.reason), value]);
  const phaseMs = await meanPhaseMs();
  return {
    holdsMs: holdsMs.toSorted((a, b) => a - b),
    cpuMs: (cpu.user + cpu.system) / 1000,
    // Kibibytes on Linux and macOS.
    peakRssBytes: process.resourceUsage().maxRSS * 1024,
    violations: (await metrics.heldConnectionViolations.get()).values[0]?.value ?? 0,
    replans: Object.fromEntries(replans),
    phaseMs,
    warnings,
  };
}

process.on('message', (order: WorkerOrder) => {
  if (order === 'go') return void go();
  void report().then(async (stopped) => {
    await queue.stop();
    await vectors.release();
    await db.close();
    await tell({ kind: 'stopped', report: stopped });
    process.exit(0);
  });
});
process.on('disconnect', () => process.exit(1));
await tell({ kind: 'ready' });
