import { randomUUID } from 'node:crypto';
import type { Database } from '../../src/db/database.ts';
import { createSleepCycle } from '../../src/sleep/create-sleep-cycle.ts';
import type { CycleEnd, RunCycleRequest, SleepCycle } from '../../src/sleep/sleep-cycle.ts';
import type { SleepStep, SleepStepName, StepContext, StepEnd } from '../../src/sleep/step.ts';
import { type Clock, systemClock } from '../../src/telemetry/clock.ts';
import { silentLog } from '../../src/telemetry/log.ts';
import { createMetrics, type Metrics } from '../../src/telemetry/metrics.ts';
import { createRaceControl, type RaceControl } from '../support/race-control.ts';
import type { TestDatabase } from '../support/test-database.ts';

type Act = (context: StepContext, run: number) => Promise<StepEnd> | StepEnd;

/** A step that does as it is told, and says how often it was run. */
export interface ScriptedStep extends SleepStep {
  runs(): number;
  /** From now on. */
  acts(act: Act): void;
}

export function scriptedStep(name: SleepStepName, act: Act = () => ({ kind: 'done' })): ScriptedStep {
  let runs = 0;
  let acts = act;
  return {
    name,
    run: async (context) => {
      runs += 1;
      return acts(context, runs);
    },
    runs: () => runs,
    acts: (next) => {
      acts = next;
    },
  };
}

/** Until the signal comes. */
export function aborted({ signal }: Pick<StepContext, 'signal'>): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

/** Pauses between slices take a moment; what is waited for longer takes as long as it does. */
const hurried: Clock = {
  ...systemClock,
  sleep: (ms, signal) => systemClock.sleep(ms < 1000 ? Math.min(ms, 5) : ms, signal),
};

export interface CycleBench {
  readonly cycle: SleepCycle;
  readonly race: RaceControl;
  readonly metrics: Metrics;
  readonly instanceId: string;
  run(request?: Partial<RunCycleRequest>): Promise<CycleEnd>;
}

export interface Leader {
  readonly instanceId: string;
  readonly fence: number;
}

/** Makes somebody the leader, as a fence above all before. */
export async function lead({ db }: TestDatabase, instanceId: string = randomUUID()): Promise<Leader> {
  await db.query(
    `insert into engram.instances (id, role, host, pid, version) values ($1, 'daemon', 'here', 1, '0')
     on conflict do nothing`,
    [instanceId],
  );
  const { rows } = await db.query<{ fence: number }>(
    `update engram.leader set instance_id = $1, fence = fence + 1, acquired_at = now(),
       expires_at = now() + interval '1 hour' returning fence`,
    [instanceId],
  );
  return { instanceId, fence: rows[0]?.fence ?? 0 };
}

/** A process that leads, or did: another bench on the same database is another process. */
export async function createCycleBench(
  database: TestDatabase,
  steps: readonly SleepStep[],
  options: { readonly leader?: Leader | undefined; readonly clock?: Clock; readonly db?: Database } = {},
): Promise<CycleBench> {
  const leader = options.leader ?? (await lead(database));
  const race = createRaceControl();
  const metrics = createMetrics();
  const cycle = createSleepCycle({
    db: options.db ?? database.db,
    steps,
    instanceId: leader.instanceId,
    clock: options.clock ?? hurried,
    log: silentLog,
    metrics,
    racepoints: race,
    newId: randomUUID,
  });
  const never = new AbortController().signal;
  return {
    cycle,
    race,
    metrics,
    instanceId: leader.instanceId,
    run: (request) => cycle.run({ fence: leader.fence, trigger: 'idle', signal: never, ...request }),
  };
}

/** As it stands in the tables, without clocks. */
export async function stepRows({ db }: TestDatabase) {
  const { rows } = await db.query<{ name: string; status: string; runs: number; checkpoint: unknown }>(
    `select s.name, s.status, s.runs, s.checkpoint from engram.sleep_steps s
     where s.cycle_id = (select id from engram.sleep_cycles order by started_at desc, id desc limit 1) order by s.position`,
  );
  return rows;
}

export async function failureRows({ db }: TestDatabase) {
  const { rows } = await db.query<{ step: string; failures: number; running: boolean; hours: number | null }>(
    `select step, failures, is_running as running,
       round(extract(epoch from quarantined_until - now()) / 3600)::int as hours from engram.step_failures order by step`,
  );
  return rows;
}
