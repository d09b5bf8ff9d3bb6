import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { BudgetSpentError } from '../../src/models/provider-errors.ts';
import { systemClock } from '../../src/telemetry/clock.ts';
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts';
import { createFakeScorer, timesScored } from './fake-scorer.ts';
import { addMemories, createRig, eventually, jobRows, makeJobStart, type Rig } from './queue-rig.ts';
import { untilAborted } from './scripted-engine.ts';

let database: TestDatabase;
const rigs: Rig[] = [];
beforeAll(async () => {
  database = await createTestDatabase({ poolMax: 2 });
});
beforeEach(async () => {
  await database.db.query(
    "do $$ begin if to_regclass('pgboss.job') is not null then delete from pgboss.job; end if; end $$",
  );
  await database.db.query('delete from engram.banks');
  await database.db.query('delete from engram.events');
});
afterEach(async () => {
  for (const { queue } of rigs.splice(0)) await queue.stop({ graceMs: 2000 });
});
afterAll(() => database.drop());

function rig(overrides: Parameters<typeof createRig>[1] = {}) {
  const significance = createFakeScorer(database.db);
  const made = createRig(database.db, { significance, ...overrides });
  rigs.push(made);
  return { ...made, scorer: significance };
}

/** Consolidated long ago, so that scores are all that a bank waits for. */
async function addUnscored(bankId: string, count: number, ageSeconds = 60): Promise<string[]> {
  const ids = await addMemories(database.db, bankId, { count, ageSeconds, scored: false });
  await database.db.query("update engram.memories set state = 'consolidated' where bank_id = $1", [bankId]);
  return ids;
}

const scoreJobs = (ended = false) => jobRows(database.db, { queue: 'score', ended });
const allScored = (count: number) =>
  eventually(async () => expect(await timesScored(database.db)).toEqual({ 1: count }));

describe('what is hinted', () => {
  test('waits until its bank is quiet, and is one job whoever writes', async () => {
    const { queue, scorer } = rig();
    await queue.start();
    await addUnscored('b', 3, 0);
    await queue.hint('b');
    await eventually(async () => expect(await scoreJobs()).toMatchObject([{ bankId: 'b', trigger: 'hint' }]));
    const [job] = await scoreJobs();
    expect(job?.startsIn).toBeGreaterThan(25);
    await addUnscored('b', 2, 0);
    await queue.hint('b');
    expect(await queue.workable()).toMatchObject({ rows: 0, scores: 0 });
    expect(await scoreJobs()).toHaveLength(1);
    expect(scorer.batches).toEqual([]);
  });

  test('that fills a batch is scored at once, and a bank that is never quiet after five minutes', async () => {
    const { queue } = rig();
    await queue.start();
    await addUnscored('burst', 12, 0);
    await queue.hint('burst');
    await allScored(12);
    await addUnscored('chatty', 1, 301);
    await addUnscored('chatty', 1, 1);
    await queue.hint('chatty');
    await allScored(14);
    await eventually(async () => expect(await scoreJobs()).toEqual([]));
  });

  test('a job that comes before its time sends itself away', async () => {
    const { queue, scorer } = rig();
    await queue.start();
    await addUnscored('b', 1, 0);
    await queue.hint('b');
    await eventually(async () => expect(await scoreJobs()).toHaveLength(1));
    await makeJobStart(database.db, 'b');
    await eventually(async () =>
      expect(await scoreJobs(true)).toMatchObject([{ state: 'completed' }, { state: 'created', trigger: 'hint' }]),
    );
    expect(scorer.batches).toEqual([]);
  });

  test('an edit is scored again, in the version that it made', async () => {
    const { queue } = rig();
    await queue.start();
    const [id] = await addUnscored('b', 1);
    await queue.hint('b');
    await allScored(1);
    // Its slice looks once more.
    await eventually(async () => expect(await scoreJobs()).toEqual([]));
    await database.db.query("update engram.memories set text = 'edited' where bank_id = 'b' and id = $1", [id]);
    expect(await queue.workable(['score'])).toMatchObject({ rows: 0, scores: 0, nextAt: expect.any(Date) });
    await queue.requestScores('b');
    await eventually(async () => expect(await timesScored(database.db)).toEqual({ 2: 1 }));
  });
});

describe('a slice', () => {
  test('of batches, and of what came meanwhile; forty banks with a pool of two', async () => {
    const { queue, scorer } = rig();
    await queue.start();
    for (let bank = 0; bank < 40; bank += 1) await addUnscored(`bank ${bank}`, 13);
    await queue.reconcile();
    await allScored(520);
    expect(scorer.batches).toHaveLength(80);
    await eventually(async () => expect(await scoreJobs()).toEqual([]));
    expect((await scoreJobs(true)).every(({ state, retryCount }) => state === 'completed' && retryCount === 0)).toBe(
      true,
    );
  });

  test('makes room for a bank that waits, once every slot is taken: none is kept waiting by a long backlog', async () => {
    let aheadMs = 0;
    const clock = { ...systemClock, monotonicMs: () => systemClock.monotonicMs() + aheadMs };
    const { queue, scorer } = rig({ clock });
    await queue.start({ handsOut: false });
    const long = ['a', 'b', 'c', 'd'];
    for (const bank of long) {
      await addUnscored(bank, 60);
      await queue.requestScores(bank);
    }
    await addUnscored('late', 12);
    await queue.requestScores('late');
    const allAtIt = Promise.withResolvers<void>();
    scorer.acts(async () => {
      if (scorer.batches.length === long.length) {
        aheadMs = 3000;
        allAtIt.resolve();
      }
      await allAtIt.promise;
    });
    queue.openHandOut();
    await allScored(252);
    const before = scorer.batches.slice(0, scorer.batches.indexOf('late'));
    for (const bank of long) expect(before.filter((each) => each === bank).length).toBeLessThan(5);
  });

  test('carries no text: a job is a bank and why it is there', async () => {
    const { queue } = rig();
    await queue.start({ handsOut: false });
    await addUnscored('b', 12);
    await queue.hint('b');
    await eventually(async () => expect(await scoreJobs()).toHaveLength(1));
    const { rows } = await database.db.query("select data, output from pgboss.job where name = 'score'");
    expect(rows).toEqual([{ data: { bankId: 'b', trigger: 'hint' }, output: null }]);
  });

  test('a provider that fails says for how long: the job is deferred, no failure is counted, and the bank rests', async () => {
    const { queue, scorer } = rig();
    scorer.acts(async () => {
      throw new BudgetSpentError('spent', new Date(Date.now() + 3_600_000));
    });
    await queue.start();
    await addUnscored('b', 12);
    await queue.hint('b');
    await eventually(async () =>
      expect(await scoreJobs(true)).toMatchObject([{ state: 'completed' }, { trigger: 'deferred', retryCount: 0 }]),
    );
    expect((await scoreJobs())[0]?.startsIn).toBeGreaterThan(3500);
    expect(await queue.listJobs({ limit: 10, state: 'completed' })).toMatchObject([
      { queue: 'score', outcome: 'deferred' },
    ]);
    expect(await queue.workable()).toMatchObject({
      rows: 0,
      scores: 0,
      heldBy: 'something outside failed; their job is deferred',
    });
    expect(await timesScored(database.db)).toEqual({ 0: 12 });
  });

  test('that comes to nothing is tried again in a minute, not at once', async () => {
    const { queue } = rig({
      significance: { scoreBatch: async () => ({ scored: 0, remaining: 12 }), readyAt: async () => null },
    });
    await queue.start();
    await addUnscored('b', 12);
    await queue.hint('b');
    await eventually(async () => expect(await scoreJobs()).toMatchObject([{ trigger: 'deferred' }]));
    expect((await scoreJobs())[0]?.startsIn).toBeGreaterThan(50);
  });
});

describe('earlier workers of this kind', () => {
  test('never retried a failed score: a job that fails is tried again, then a dead letter, and `jobs retry` scores it', async () => {
    const { queue, scorer } = rig();
    scorer.acts(() => Promise.reject(new Error('a bug')));
    await queue.start();
    await addUnscored('b', 12);
    await queue.hint('b');
    await eventually(async () => expect(await scoreJobs()).toMatchObject([{ state: 'retry', bankId: 'b' }]));
    expect(await queue.workable()).toMatchObject({ rows: 0, heldBy: 'their job failed and is tried again' });
    // Its last retry.
    await database.db.query(
      "update pgboss.job set retry_count = retry_limit - 1, start_after = now() where name = 'score'",
    );
    await eventually(async () =>
      expect(await queue.listJobs({ limit: 5, deadOnly: true })).toMatchObject([
        { queue: 'score', bankId: 'b', state: 'dead', outcome: 'failed' },
      ]),
    );
    // Held for an hour.
    await queue.reconcile();
    expect((await scoreJobs())[0]?.startsIn).toBeGreaterThan(3000);
    scorer.acts(async () => undefined);
    expect(await queue.retryJobs()).toBe(1);
    await allScored(12);
    expect(await queue.listJobs({ limit: 5, deadOnly: true })).toEqual([]);
  });

  test('never retried a failed score: one that was given up comes back with `jobs retry`, of its bank or of all', async () => {
    const { queue } = rig();
    await queue.start();
    const ids = await addUnscored('b', 3);
    await database.db.query(
      `update engram.memories set score_parked = 'a score of 7', score_attempts = 5, score_next_at = now() + interval '1 day'
       where bank_id = 'b'`,
    );
    expect(await queue.workable()).toMatchObject({ rows: 0, nextAt: null });
    expect(await queue.retryParked('another')).toEqual({ memories: 0, scores: 0 });
    expect(await queue.retryParked('b', ids.slice(0, 1))).toEqual({ memories: 0, scores: 1 });
    await eventually(async () => expect(await timesScored(database.db)).toEqual({ 0: 2, 1: 1 }));
    expect(await queue.retryParked()).toEqual({ memories: 0, scores: 2 });
    await allScored(3);
  });

  test('hung on stop without a time-out: a scorer that never answers is given its time, and the job goes on elsewhere', async () => {
    const { queue, scorer, metrics } = rig();
    const answer = Promise.withResolvers<void>();
    scorer.acts(() => answer.promise);
    await queue.start();
    await addUnscored('b', 12);
    await queue.hint('b');
    await eventually(() => expect(scorer.batches).toEqual(['b']));
    await queue.stop({ graceMs: 50 });
    expect(await scoreJobs(true)).toMatchObject([
      { state: 'completed', retryCount: 0 },
      { state: 'created', trigger: 'successor', retryCount: 0 },
    ]);
    const next = rig();
    await next.queue.start();
    await allScored(12);
    // What it says at last changes nothing.
    answer.resolve();
    await eventually(async () => {
      const { values } = await metrics.jobs.get();
      expect(values).toMatchObject([{ labels: { queue: 'score', outcome: 'handed_back' }, value: 1 }]);
    });
    expect(await timesScored(database.db)).toEqual({ 1: 12 });
  });

  test('hung on stop without a time-out: one that listens is back at once, and burns no retry', async () => {
    const { queue, scorer } = rig();
    scorer.acts((_, signal) => untilAborted(signal));
    await queue.start();
    await addUnscored('b', 12);
    await queue.hint('b');
    await eventually(() => expect(scorer.batches).toEqual(['b']));
    // Longer than the test may take.
    await queue.stop({ graceMs: 600_000 });
    expect(await scoreJobs()).toMatchObject([{ state: 'created', trigger: 'successor', retryCount: 0 }]);
  });

  test('could not be started again after a stop: scores go on, also those written meanwhile', async () => {
    const { queue } = rig();
    await queue.start();
    await addUnscored('before', 12);
    await queue.hint('before');
    await allScored(12);
    await queue.stop();
    await queue.stop();
    await addUnscored('meanwhile', 3);
    await queue.hint('meanwhile');
    await queue.start();
    await allScored(15);
    await addUnscored('after', 12);
    await queue.hint('after');
    await allScored(27);
  });

  test('assumed one process: two daemons on one database score every memory once, and both have their share', async () => {
    const daemons = [rig(), rig()];
    // Both are at it before either goes on.
    let arrived = 0;
    const bothAtIt = Promise.withResolvers<void>();
    for (const { scorer } of daemons) {
      let isFirst = true;
      scorer.acts(async () => {
        if (!isFirst) return;
        isFirst = false;
        arrived += 1;
        if (arrived === 2) bothAtIt.resolve();
        await bothAtIt.promise;
      });
    }
    for (let bank = 0; bank < 12; bank += 1) await addUnscored(`bank ${bank}`, 30);
    for (const { queue } of daemons) await queue.start();
    await allScored(360);
    // A bank is in one pair of hands: nothing was asked twice.
    expect(daemons.flatMap(({ scorer }) => scorer.batches)).toHaveLength(36);
    for (const { scorer } of daemons) expect(scorer.batches.length).toBeGreaterThan(0);
  });
});

test('had no depth or latency metric: the jobs of scores are counted, timed and shown by state', async () => {
  const { queue, scorer, metrics } = rig();
  const answer = Promise.withResolvers<void>();
  scorer.acts(() => answer.promise);
  await queue.start();
  await addUnscored('b', 12);
  await queue.hint('b');
  await eventually(() => expect(scorer.batches).toHaveLength(1));
  await addUnscored('later', 1, 0);
  await queue.hint('later');
  await eventually(async () =>
    expect(await queue.snapshot()).toMatchObject({ score: { active: 1, delayed: 1 }, inFlight: 1 }),
  );
  expect((await metrics.jobsInFlight.get()).values).toContainEqual({ labels: { queue: 'score' }, value: 1 });
  answer.resolve();
  await eventually(async () => {
    expect((await metrics.jobs.get()).values).toMatchObject([{ labels: { queue: 'score', outcome: 'scored' } }]);
    const { values } = await metrics.jobSeconds.get();
    expect(values.find(({ metricName }) => metricName?.endsWith('_count'))).toMatchObject({ value: 1 });
  });
});

describe('hand-out', () => {
  test('of scores alone, and of all but scores', async () => {
    const { queue, scorer, engine } = rig();
    await queue.start({ handsOut: false });
    await addUnscored('b', 12);
    await addMemories(database.db, 'b', { ageSeconds: 60 });
    await queue.hint('b');
    await eventually(async () => expect(await jobRows(database.db)).toHaveLength(2));
    expect(await queue.workable(['consolidate', 'embed'])).toMatchObject({ rows: 1, scores: 0 });
    expect(await queue.workable(['score'])).toMatchObject({ rows: 1, scores: 12 });
    const drain = queue.openHandOut(['consolidate', 'embed']);
    const slice = await engine.next();
    await database.db.query("update engram.memories set state = 'consolidated'");
    slice.end();
    await drain.close({ graceMs: 60_000 });
    expect(scorer.batches).toEqual([]);
    const scores = queue.openHandOut(['score']);
    await eventually(async () => expect(await timesScored(database.db)).toEqual({ 0: 1, 1: 12 }));
    await scores.close({ graceMs: 60_000 });
    expect(engine.calls).toHaveLength(1);
    expect(queue.isHandOutOpen()).toBe(false);
  });

  test('closed, no further batch is asked for; what is left goes on when somebody opens again', async () => {
    const { queue, scorer } = rig();
    const answer = Promise.withResolvers<void>();
    scorer.acts(() => answer.promise);
    await queue.start({ handsOut: false });
    const handOut = queue.openHandOut();
    await addUnscored('b', 30);
    await queue.hint('b');
    await eventually(() => expect(scorer.batches).toHaveLength(1));
    const closed = handOut.close({ graceMs: 60_000 });
    answer.resolve();
    await closed;
    expect(scorer.batches).toHaveLength(1);
    expect(await scoreJobs()).toMatchObject([{ state: 'created', trigger: 'successor' }]);
    queue.openHandOut();
    await eventually(async () => expect(await timesScored(database.db)).toMatchObject({ 1: 30 }));
  });
});
