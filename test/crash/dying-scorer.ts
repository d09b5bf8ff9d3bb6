/**
 * A process that scores one bank and dies where it is told to. Started with fork(); argument: {@link DyingScorerOrder} as
 * JSON.
 */
import { flushCompileCache } from 'node:module';
import { v7 as uuid } from 'uuid';
import { createDatabase } from '../../src/db/database.ts';
import { createSignificanceEngine } from '../../src/significance/create-engine.ts';
import { pinMemory } from '../../src/significance/pins.ts';
import { insertInstance } from '../../src/store/instances.ts';
import { systemClock } from '../../src/telemetry/clock.ts';
import { silentLog } from '../../src/telemetry/log.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import type { RacepointName, Racepoints } from '../../src/telemetry/racepoints.ts';
import { llmScorerOf } from '../significance/llm-scorer-of.ts';

export interface DyingScorerOrder {
  readonly connectionString: string;
  readonly bankId: string;
  /** Of a scripted model. */
  readonly baseUrl: string;
  readonly diesAt: RacepointName;
  /** Pins it by hand and scores nothing. */
  readonly pins: string | null;
}

const [given] = process.argv.slice(2);
if (given !== undefined) {
  // A process that is killed writes none at its end.
  flushCompileCache();
  const order = JSON.parse(given) as DyingScorerOrder;
  const racepoints: Racepoints = {
    async reach(name) {
      if (name === order.diesAt) process.kill(process.pid, 'SIGKILL');
    },
  };
  const metrics = createMetrics();
  const db = createDatabase({
    connectionString: order.connectionString,
    poolMax: 2,
    applicationName: 'engramd-test',
    log: silentLog,
    clock: systemClock,
    metrics,
  });
  const instanceId = uuid();
  await insertInstance(db, { id: instanceId, role: 'daemon', host: 'test', pid: process.pid, version: '0.0.0' });
  const scorer = await llmScorerOf({ db, baseUrl: order.baseUrl, racepoints });
  const deps = { db, scorer, pinCap: 3, instanceId, log: silentLog, metrics, racepoints, random: () => 0.5 };
  if (order.pins !== null) await pinMemory(deps, { bankId: order.bankId, memoryId: order.pins });
  else {
    const engine = createSignificanceEngine(deps);
    const { signal } = new AbortController();
    while ((await engine.scoreBatch(order.bankId, { signal })).remaining > 0);
  }
  throw new Error(`nothing killed it at ${order.diesAt}`);
}
