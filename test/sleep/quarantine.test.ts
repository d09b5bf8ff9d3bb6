import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import type { Database } from '../../src/db/database.ts';
import { DatabaseUnreachableError } from '../../src/db/errors.ts';
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts';
import { aborted, createCycleBench, failureRows, lead, scriptedStep } from './cycle-bench.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
});
afterEach(async () => {
  await database.db.query('delete from engram.sleep_cycles');
  await database.db.query('delete from engram.step_failures');
});
afterAll(() => database.drop());

/** Three steps, of which the second fails. */
async function createBroken() {
  const steps = [scriptedStep('drain'), scriptedStep('dedup'), scriptedStep('digest')] as const;
  const [, broken] = steps;
  broken.acts(() => {
    throw new Error('broken');
  });
  return { steps, broken, bench: await createCycleBench(database, steps), runs: () => steps.map((s) => s.runs()) };
}

const outcome = (name: string) => ({ kind: 'finished', outcome: name });
const laterBy = (hours: number) =>
  database.db.query(
    'update engram.step_failures set quarantined_until = quarantined_until - make_interval(hours => $1)',
    [hours],
  );

test('three failures in a row put a step in quarantine for 24 hours, and the others go on', async () => {
  const { bench, runs } = await createBroken();
  for (let cycles = 0; cycles < 3; cycles += 1) {
    expect(await bench.cycle.quarantine()).toMatchObject(cycles === 0 ? [] : [{ failures: cycles, until: null }]);
    expect(await bench.run()).toMatchObject(outcome('failed'));
  }
  expect(await failureRows(database)).toEqual([{ step: 'dedup', failures: 3, running: false, hours: 24 }]);
  expect(await bench.run()).toMatchObject(outcome('partial'));
  expect(runs()).toEqual([4, 3, 4]);
  const [view] = await bench.cycle.quarantine();
  expect(view).toEqual({ step: 'dedup', failures: 3, until: expect.any(Date), error: 'broken' });
  expect(await bench.metrics.registry.metrics()).toContain('engramd_sleep_step_quarantined{step="dedup"} 1');
  expect((await bench.cycle.latest())?.steps.map(({ status }) => status)).toEqual(['done', 'quarantined', 'done']);
});

test('two failures and a success are a clean record', async () => {
  const { bench, broken } = await createBroken();
  await bench.run();
  await bench.run();
  broken.acts(() => ({ kind: 'done' }));
  expect(await bench.run()).toMatchObject(outcome('clean'));
  expect(await bench.cycle.quarantine()).toEqual([]);
});

test('a quarantine that is over is one more try: another failure is another 24 hours, a success the end of it', async () => {
  const { bench, broken } = await createBroken();
  for (let cycles = 0; cycles < 3; cycles += 1) await bench.run();
  await laterBy(23);
  expect(await bench.run()).toMatchObject(outcome('partial'));
  await laterBy(1);
  expect(await bench.cycle.quarantine()).toMatchObject([{ failures: 3, until: null }]);
  expect(await bench.run()).toMatchObject(outcome('failed'));
  expect(await failureRows(database)).toMatchObject([{ failures: 4, hours: 24 }]);
  await laterBy(24);
  broken.acts(() => ({ kind: 'done' }));
  expect(await bench.run()).toMatchObject(outcome('clean'));
  expect(await failureRows(database)).toEqual([]);
});

test('an interruption after a quarantine is neither a failure nor another quarantine', async () => {
  const { bench, broken, runs } = await createBroken();
  for (let cycles = 0; cycles < 3; cycles += 1) await bench.run();
  await laterBy(24);
  const stop = new AbortController();
  broken.acts(async (context) => {
    stop.abort();
    await aborted(context);
    return { kind: 'deferred' };
  });
  expect(await bench.run({ signal: stop.signal })).toMatchObject({ kind: 'interrupted' });
  broken.acts(() => ({ kind: 'done' }));
  expect(await bench.run()).toMatchObject(outcome('clean'));
  expect(runs()).toEqual([4, 5, 4]);
});

test('a forced run ignores a quarantine; a failure neither clears nor lengthens it, a success ends it', async () => {
  const { bench, broken } = await createBroken();
  for (let cycles = 0; cycles < 3; cycles += 1) await bench.run();
  await laterBy(4);
  expect(await bench.run({ trigger: 'forced' })).toMatchObject(outcome('failed'));
  expect(await failureRows(database)).toMatchObject([{ failures: 4, hours: 20 }]);
  expect(await bench.run()).toMatchObject(outcome('partial'));
  broken.acts(({ isForced }) => {
    expect(isForced).toBe(true);
    return { kind: 'done' };
  });
  expect(await bench.run({ trigger: 'forced' })).toMatchObject(outcome('clean'));
  expect(await failureRows(database)).toEqual([]);
});

test('a forced run that goes on with a cycle does what was passed over in it', async () => {
  const { bench, broken, steps } = await createBroken();
  for (let cycles = 0; cycles < 3; cycles += 1) await bench.run();
  const stop = new AbortController();
  steps[2].acts(async (context) => {
    stop.abort();
    await aborted(context);
    return { kind: 'deferred' };
  });
  expect(await bench.run({ signal: stop.signal })).toMatchObject({ kind: 'interrupted' });
  steps[2].acts(() => ({ kind: 'done' }));
  broken.acts(() => ({ kind: 'done' }));
  expect(await bench.run({ trigger: 'forced' })).toMatchObject(outcome('clean'));
  expect(await bench.cycle.latest()).toMatchObject({ trigger: 'forced', isForced: true });
});

test('deaths count: a step that took its process along three times is left alone', async () => {
  const steps = [scriptedStep('drain'), scriptedStep('dedup'), scriptedStep('digest')] as const;
  for (let deaths = 1; deaths <= 3; deaths += 1) {
    const doomed = await createCycleBench(database, steps);
    const hold = doomed.race.hold('cycle:step-begun', ({ step }) => step === 'dedup');
    const running = doomed.run();
    await hold.reached;
    expect(await failureRows(database)).toMatchObject([{ step: 'dedup', failures: deaths, running: true }]);
    // The one under way is not told of as a failure.
    expect(await doomed.cycle.quarantine()).toMatchObject(deaths === 1 ? [] : [{ failures: deaths - 1 }]);
    await lead(database);
    hold.release();
    expect(await running).toEqual({ kind: 'lost_leadership' });
  }
  const bench = await createCycleBench(database, steps);
  expect(await bench.run()).toMatchObject(outcome('partial'));
  expect(await failureRows(database)).toEqual([{ step: 'dedup', failures: 3, running: false, hours: 24 }]);
  expect(await bench.cycle.history()).toMatchObject({ started: 1, completed: 1 });
});

test('a database that goes away is no failure of the step that noticed', async () => {
  const { bench, broken } = await createBroken();
  broken.acts(() => {
    throw new DatabaseUnreachableError('gone');
  });
  for (let times = 0; times < 4; times += 1) {
    await expect(bench.run()).rejects.toMatchObject({ code: 'DATABASE_UNREACHABLE' });
  }
  expect(await bench.cycle.quarantine()).toEqual([]);
  broken.acts(() => ({ kind: 'done' }));
  expect(await bench.run()).toMatchObject(outcome('clean'));
  expect(await bench.cycle.history()).toMatchObject({ started: 1, completed: 1 });
});

/** Each run finds the database away when the second step ends. */
async function createAway(runs: number) {
  let isAway = false;
  const db: Database = {
    ...database.db,
    query: (text, values) =>
      isAway ? Promise.reject(new DatabaseUnreachableError('gone')) : database.db.query(text, values),
  };
  const steps = [scriptedStep('drain'), scriptedStep('dedup'), scriptedStep('digest')] as const;
  const bench = await createCycleBench(database, steps, { db });
  bench.race.at('cycle:before-step-end', ({ step }) => {
    isAway = step === 'dedup' && steps[1].runs() <= runs;
  });
  for (let times = 0; times < runs; times += 1) {
    await expect(bench.run()).rejects.toMatchObject({ code: 'DATABASE_UNREACHABLE' });
    isAway = false;
  }
  return { steps, bench };
}

test('nor where the database is away for the end of the step as well, night after night', async () => {
  const { steps, bench } = await createAway(4);
  expect(await failureRows(database)).toEqual([{ step: 'dedup', failures: 1, running: true, hours: null }]);
  expect(await bench.run()).toMatchObject(outcome('clean'));
  expect(steps.map((step) => step.runs())).toEqual([1, 5, 1]);
});

test('nor where the night that comes after that one is forced, and does all of it again', async () => {
  const { steps, bench } = await createAway(1);
  steps[1].acts(() => {
    throw new Error('broken');
  });
  expect(await bench.run({ trigger: 'forced' })).toMatchObject(outcome('failed'));
  expect(await failureRows(database)).toMatchObject([{ step: 'dedup', failures: 1, running: false }]);
  expect(steps.map((step) => step.runs())).toEqual([2, 2, 1]);
});
