import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { startScriptedModelProcess } from '../support/scripted-model/process.ts';
import { type BenchServer, startPlainServer } from './bench-server.ts';
import { measureHolding, measureModelAlone, measurePool } from './pool-measure.ts';
import { type PoolFigures, verdictsOf } from './pool-verdicts.ts';
import { printTable } from './table.ts';

/** What the issue names: 2,048 calls of 4 s at 64 at once, over two connections. */
const plan = {
  calls: 2048,
  /** Of the quick look: eight waves; the ramp alone costs one of them. */
  shortCalls: 512,
  concurrency: 64,
  poolMax: 2,
  memoriesPerCall: 4,
  chatMs: 4000,
  embedMs: 50,
  twinShare: 0.25,
  banks: 8,
  /** Of the baseline, which two connections let through two at a time. */
  holdingCalls: 12,
} as const;

export type PoolPlan = typeof plan;

const shapes = [
  { name: 'one bank, distinct', banks: 1, twinShare: 0 },
  { name: 'one bank, a quarter twins', banks: 1, twinShare: plan.twinShare },
  { name: `${plan.banks} banks, distinct`, banks: plan.banks, twinShare: 0 },
  { name: `${plan.banks} banks, a quarter twins`, banks: plan.banks, twinShare: plan.twinShare },
];

/**
 * Whether throughput depends on the model alone: a whole worker (queue, pollers, embedder, engine) over a pool of two
 * connections, against a scripted model in a process of its own, and the same worker with a connection held across each
 * call.
 */
export async function run(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: { short: { type: 'boolean', default: false }, only: { type: 'string' } },
  });
  const runs = shapes.filter(({ name }) => values.only === undefined || name === values.only);
  if (runs.length === 0) throw new Error(`--only takes one of: ${shapes.map(({ name }) => name).join('; ')}`);
  const calls = values.short ? plan.shortCalls : plan.calls;
  const model = await startScriptedModelProcess({ chatLatencyMs: plan.chatMs, embedLatencyMs: plan.embedMs });
  let server: BenchServer | undefined;
  try {
    server = await startPlainServer();
    console.log(
      `${calls} calls of ${plan.chatMs / 1000} s, ${plan.concurrency} at once, ${plan.memoriesPerCall} memories a call, ${plan.poolMax} connections, ${cpus().length} cores`,
    );
    const alone = await measureModelAlone(plan, model);
    console.log(`model alone: ${alone.callsPerSecond.toFixed(2)} calls a second`);
    const figures: PoolFigures[] = [];
    for (const shape of runs) {
      console.log(`${shape.name} …`);
      figures.push(await measurePool({ plan, server, model, calls, ...shape }));
    }
    console.log('a connection held across each call …');
    const holding = await measureHolding({ plan, server, model });
    printTable(
      [
        'run',
        'calls',
        'model alone s',
        'engramd s',
        'share %',
        'times held',
        'hold p99 ms',
        'max ms',
        'connections',
        'RSS MiB',
        'CPU s',
        'PG CPU s',
        'observations',
      ],
      figures.map((f) => [
        f.name,
        String(f.calls),
        (f.calls / alone.callsPerSecond).toFixed(1),
        f.seconds.toFixed(1),
        ((100 * f.calls) / alone.callsPerSecond / f.seconds).toFixed(1),
        (f.calls / f.seconds / holding.callsPerSecond).toFixed(1),
        f.holdP99Ms.toFixed(1),
        f.holdMaxMs.toFixed(1),
        String(f.connections),
        (f.peakRssBytes / 2 ** 20).toFixed(0),
        f.cpuSeconds.toFixed(1),
        f.postgresCpuSeconds?.toFixed(1) ?? 'n/a',
        String(f.observations),
      ]),
    );
    console.log(
      `connection held across each call: ${holding.calls} calls in ${holding.seconds.toFixed(1)} s, ${holding.callsPerSecond.toFixed(2)} a second`,
    );
    for (const { holds, says } of verdictsOf({ figures, alone, holding, isShort: values.short, plan })) {
      console.log(`${holds ? 'PASS' : 'FAIL'} ${says}`);
      if (!holds) process.exitCode = 1;
    }
    if (process.exitCode === 1) {
      for (const f of figures) console.log(`${f.name}: ${JSON.stringify({ phaseMs: f.phaseMs, replans: f.replans })}`);
      for (const warning of figures.flatMap(({ warnings }) => warnings)) console.log(warning);
    }
  } finally {
    await server?.stop();
    await model.close();
  }
}
