import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { loadConfig } from '../../src/config/load-config.ts';
import { type Composition, compose } from '../../src/daemon/compose.ts';
import { callControl } from '../../src/daemon/control/control-client.ts';
import { type SleepStepName, sleepStepNames } from '../../src/sleep/step.ts';
import { systemClock } from '../../src/telemetry/clock.ts';
import { createLog } from '../../src/telemetry/log.ts';
import type { Racepoints } from '../../src/telemetry/racepoints.ts';
import { answerHonestly } from '../support/scripted-model/understand.ts';
import { createScriptedModel } from '../support/scripted-model.ts';
import { startPlainServer } from './bench-server.ts';
import { percentile } from './percentile.ts';
import { seedStorm } from './storm-seed.ts';
import { printTable } from './table.ts';
import { tell } from './verdict.ts';

const boundMs = 2000;
const bankId = 'interrupt';
/** Of the model: long enough that most requests come while it is asked something. */
const chatLatencyMs = 1500;
const plan = { requests: 20, rows: 5000, pending: 2000 };
const shortPlan = { requests: 3, rows: 2000, pending: 500 };

interface Sample {
  readonly answerMs: number;
  readonly yieldMs: number;
}

/**
 * A whole daemon in its sleep cycle, and a request at some instant of each step: how long until the answer, and until the
 * step has yielded and is written down as interrupted.
 */
export async function run(args: string[]): Promise<void> {
  const { values } = parseArgs({ args, options: { short: { type: 'boolean', default: false } } });
  const sizes = values.short ? shortPlan : plan;
  const begins = new StepWatch();
  // Slow for the step that is to be interrupted, so that those before it are soon over.
  const model = await createScriptedModel({
    keepRequests: 10,
    onChat: async (request) => ({
      ...(await answerHonestly(request)),
      latencyMs: begins.isAtStep() ? chatLatencyMs : 0,
    }),
  });
  const server = await startPlainServer();
  const dataDir = mkdtempSync(join(tmpdir(), 'engramd-bench-'));
  let daemon: Composition | undefined;
  try {
    await seedStorm(server.connectionString, bankId, { memories: sizes.rows, observations: sizes.rows });
    const { config } = loadConfig({
      env: {
        DATABASE_URL: server.connectionString,
        ENGRAMD_HTTP_PORT: '0',
        ENGRAMD_EMBEDDER: 'local',
        ENGRAMD_DECIDER: 'llm',
        ENGRAMD_LLM_MODEL: 'scripted',
        ENGRAMD_BUDGET_TOKENS_PER_DAY: '1000000000',
        OPENAI_BASE_URL: model.baseUrl,
      },
      flags: { dataDir },
    });
    const log = createLog({ level: 'error', pretty: false });
    daemon = await compose({ config, mode: 'daemon', log, clock: systemClock, racepoints: begins });
    const { db, url = '' } = daemon;
    await db.query(
      `insert into engram.memories (bank_id, id, text, created_at, next_attempt_at)
       select $1, gen_random_uuid(), 'Shelf ' || n || ' holds ' || (n * 7) || ' books.', now() - interval '1 minute',
         now() - interval '1 minute'
       from generate_series(1, $2::int) as n`,
      [bankId, sizes.pending],
    );
    const samples = new Map<SleepStepName, Sample[]>();
    for (const step of sleepStepNames) {
      console.log(`${step}: ${sizes.requests} requests …`);
      const ofStep: Sample[] = [];
      while (ofStep.length < sizes.requests) ofStep.push(await interrupt(step, begins, { socket: config.socket, url }));
      samples.set(step, ofStep);
      // Else the next steps would have to wait for all of it.
      if (step === 'drain') await db.query("delete from engram.memories where state = 'pending'");
    }
    report(samples);
  } finally {
    await daemon?.stop('the bench is over');
    await server.stop();
    await model.close();
    rmSync(dataDir, { recursive: true, force: true });
  }
}

/** Tells when a step begins, wherever in the cycle the daemon is. */
class StepWatch implements Racepoints {
  #isAtStep = false;
  #waiting: { readonly step: SleepStepName; readonly begun: () => void } | undefined;

  async reach(name: string, detail?: Readonly<Record<string, unknown>>): Promise<void> {
    if (name !== 'cycle:step-begun' || detail?.step !== this.#waiting?.step) return;
    this.#isAtStep = true;
    this.#waiting?.begun();
    this.#waiting = undefined;
  }

  /** From the beginning of the step to the next time that one is waited for. */
  isAtStep(): boolean {
    return this.#isAtStep;
  }

  next(step: SleepStepName): Promise<void> {
    this.#isAtStep = false;
    return new Promise((begun) => {
      this.#waiting = { step, begun };
    });
  }
}

async function interrupt(
  step: SleepStepName,
  begins: StepWatch,
  daemon: { readonly socket: string; readonly url: string },
): Promise<Sample> {
  const begun = begins.next(step);
  await callControl(daemon.socket, { type: 'force_sleep' }, { timeoutMs: 10_000 });
  await begun;
  await pause(Math.random() * chatLatencyMs);
  const startedMs = performance.now();
  const answer = await fetch(`${daemon.url}/v1/banks`);
  await answer.text();
  const answerMs = performance.now() - startedMs;
  if (answer.status !== 200) throw new Error(`the request was answered ${answer.status}`);
  for (;;) {
    const reply = await callControl(daemon.socket, { type: 'status', fresh: true }, { timeoutMs: 10_000 });
    if (reply?.status.life?.cycle?.running === false) break;
    await pause(5);
  }
  return { answerMs, yieldMs: performance.now() - startedMs };
}

function report(samples: ReadonlyMap<SleepStepName, readonly Sample[]>): void {
  const ms = (values: readonly number[], share: number) => percentile(values, share).toFixed(0);
  printTable(
    ['step', 'requests', 'answer p95 ms', 'yield p50 ms', 'p95 ms', 'max ms'],
    [...samples].map(([step, ofStep]) => {
      const yields = ofStep.map(({ yieldMs }) => yieldMs);
      const answers = ofStep.map(({ answerMs }) => answerMs);
      return [step, String(ofStep.length), ms(answers, 0.95), ...[0.5, 0.95, 1].map((share) => ms(yields, share))];
    }),
  );
  for (const [step, ofStep] of samples) {
    const p95 = percentile(
      ofStep.map(({ yieldMs }) => yieldMs),
      0.95,
    );
    tell(p95 < boundMs, `${step}: p95 until it yields under ${boundMs / 1000} s`);
  }
}

function pause(forMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, forMs));
}
