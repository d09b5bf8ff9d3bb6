/**
 * Runs the open sleep cycle of each of a few databases, and dies when every one of them has come to where it is to die:
 * one process dies for all of them. Started with fork(); argument: {@link DyingNights} as JSON. Says what it does on
 * stdout, one JSON object a line.
 */
import { randomUUID } from 'node:crypto';
import { writeSync } from 'node:fs';
import { flushCompileCache } from 'node:module';
import { createDatabase, type Database } from '../../src/db/database.ts';
import { createSleepCycle } from '../../src/sleep/create-sleep-cycle.ts';
import { type SleepStep, sleepStepNames } from '../../src/sleep/step.ts';
import { systemClock } from '../../src/telemetry/clock.ts';
import { silentLog } from '../../src/telemetry/log.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import type { RacepointName } from '../../src/telemetry/racepoints.ts';

/** Where a night ends; null: in the morning. */
export type Death = { readonly point: RacepointName; readonly step?: string } | null;

export interface DyingNights {
  readonly nights: readonly {
    readonly connectionString: string;
    readonly trigger: 'idle' | 'forced';
    readonly death: Death;
  }[];
}

const [given] = process.argv.slice(2);
if (given === undefined) throw new Error('not to be imported: this is a process of its own');
const { nights } = JSON.parse(given) as DyingNights;
const forEver = new Promise<void>(() => undefined);
let alive = nights.length;

/** Into the pipe before it returns: what is said just before a SIGKILL is heard. */
function say(line: Readonly<Record<string, unknown>>): void {
  writeSync(1, `${JSON.stringify(line)}\n`);
}

function end(): Promise<void> {
  alive -= 1;
  if (alive > 0) return forEver;
  process.kill(process.pid, 'SIGKILL');
  // The kernel may take a moment; not one instruction of the runner's runs in it.
  for (;;);
}

/** Two pieces of work, each kept when it is done. */
function createStep(db: Database, name: SleepStep['name']): SleepStep {
  return {
    name,
    async run({ checkpoint, save }) {
      for (let piece = Number(checkpoint ?? 0) + 1; piece <= 2; piece += 1) {
        await db.query('insert into night_work (step, piece) values ($1, $2)', [name, piece]);
        await save(piece);
      }
      return { kind: 'done' };
    },
  };
}

async function sleepOn({ connectionString, trigger, death }: DyingNights['nights'][number]): Promise<void> {
  const metrics = createMetrics();
  const shared = { clock: systemClock, log: silentLog, metrics };
  const db = createDatabase({ connectionString, poolMax: 1, applicationName: 'engramd-test', ...shared });
  const instanceId = randomUUID();
  await db.query(`insert into engram.instances (id, role, host, pid, version) values ($1, 'daemon', 'here', $2, '0')`, [
    instanceId,
    process.pid,
  ]);
  // Whoever led before is dead.
  const { rows } = await db.query<{ fence: number }>(
    `update engram.leader set instance_id = $1, fence = fence + 1, expires_at = now() + interval '1 hour'
     returning fence`,
    [instanceId],
  );
  const cycle = createSleepCycle({
    db,
    steps: sleepStepNames.map((name) => createStep(db, name)),
    instanceId,
    ...shared,
    racepoints: {
      async reach(name, detail = {}) {
        if (death?.point !== name || (death.step !== undefined && detail.step !== death.step)) return;
        await end();
      },
    },
    newId: randomUUID,
  });
  const signal = new AbortController().signal;
  const ended = await cycle.run({ fence: rows[0]?.fence ?? 0, trigger, signal });
  say({ ended, history: await cycle.history() });
  await db.close();
}

// A process that is killed writes none at its end, and loading the modules is most of what it costs here.
flushCompileCache();
await Promise.all(nights.map(sleepOn));
