import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { BudgetSpentError } from '../../src/models/provider-errors.ts';
import { createScoreStep } from '../../src/sleep/steps/score-step.ts';
import { readServerFacts } from '../../src/store/server-facts.ts';
import { systemClock } from '../../src/telemetry/clock.ts';
import { createFakeScorer, timesScored } from '../queue/fake-scorer.ts';
import { addMemories, createRig, eventually, jobRows } from '../queue/queue-rig.ts';
import { untilAborted } from '../queue/scripted-engine.ts';
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts';
import { stepContext } from './step-context.ts';

/* The score step on the real queue, which hands out nothing by itself. */

let database: TestDatabase;
let rig: ReturnType<typeof open>;
/** Pins beyond the cap of their bank. */
let overCap = 0;
beforeAll(async () => {
  database = await createTestDatabase({ poolMax: 2 });
  rig = open();
  await rig.queue.start({ handsOut: false });
});
beforeEach(async () => {
  await database.db.query('delete from pgboss.job');
  await database.db.query('delete from engram.banks');
  await database.db.query('delete from engram.events');
  rig.scorer.acts(async () => undefined);
  rig.scorer.rests(null);
  overCap = 0;
});
afterAll(async () => {
  await rig.queue.stop();
  await database.drop();
});

function open() {
  const { db } = database;
  const scorer = createFakeScorer(db);
  const { queue } = createRig(db, { significance: scorer });
  /** Looks ten times as often. */
  const clock = { ...systemClock, sleep: (ms: number, signal?: AbortSignal) => systemClock.sleep(ms / 10, signal) };
  const databaseNow = async () => (await readServerFacts(db)).now;
  return { scorer, queue, step: createScoreStep({ db, queue, clock, databaseNow, keepPinCaps: async () => overCap }) };
}

async function addUnscored(bankId: string, count: number): Promise<void> {
  await addMemories(database.db, bankId, { count, ageSeconds: 60, scored: false });
  await database.db.query("update engram.memories set state = 'consolidated' where bank_id = $1", [bankId]);
}

const pinIn = (bankId: string) =>
  database.db.query(
    `insert into engram.events (bank_id, kind, detail) values ($1, 'memory.pinned', '{"pin":"auto"}'),
       ($1, 'memory.evicted', '{}')`,
    [bankId],
  );

describe('the step', () => {
  test('scores what is left, over all banks, and says what it came to', async () => {
    const { scorer, step, queue } = rig;
    for (const bank of ['a', 'b', 'c']) await addUnscored(bank, 14);
    let pinned = 0;
    scorer.acts(async (bankId) => {
      pinned += 1;
      if (pinned <= 3) await pinIn(bankId);
    });
    const context = stepContext();
    expect(await step.run(context)).toEqual({ kind: 'done', note: '42 scored, 3 pinned' });
    expect(await timesScored(database.db)).toEqual({ 1: 42 });
    expect(context.told[0]).toEqual({ done: 0, total: 42 });
    expect(queue.isHandOutOpen()).toBe(false);
    expect((await queue.snapshot()).inFlight).toBe(0);
  });

  test('hands out nothing where nothing waits, and leaves what has to be decided alone', async () => {
    await addMemories(database.db, 'b', { count: 3, ageSeconds: 60 });
    expect(await rig.step.run(stepContext())).toEqual({ kind: 'done' });
    expect(await jobRows(database.db)).toEqual([]);
  });

  test('keeps the caps of pins also where nothing waits for its score, and says what it let go', async () => {
    overCap = 3;
    expect(await rig.step.run(stepContext())).toEqual({ kind: 'done', note: '3 pins over the cap let go' });
  });

  test('a wrong key: it is done, not failed, and says why', async () => {
    const { scorer, step } = rig;
    await addUnscored('b', 14);
    scorer.rests(new Date(Date.now() + 3_600_000));
    expect(await step.run(stepContext())).toEqual({
      kind: 'done',
      note: expect.stringContaining('the rest waits: the scorer is out of order or over its budget until '),
    });
  });

  test('a budget that is spent on the way: what was scored is told as well', async () => {
    const { scorer, step } = rig;
    await addUnscored('b', 30);
    let batches = 0;
    scorer.acts(async () => {
      batches += 1;
      if (batches > 1) throw new BudgetSpentError('spent', new Date(Date.now() + 3_600_000));
    });
    expect(await step.run(stepContext())).toEqual({
      kind: 'done',
      note: '12 scored; the rest waits: something outside failed; their job is deferred',
    });
    expect(await jobRows(database.db)).toMatchObject([{ name: 'score', trigger: 'deferred', retryCount: 0 }]);
  });

  test('interrupted, the batch in hand is called off; it goes on from its checkpoint and counts the whole night', async () => {
    const { scorer, step, queue } = rig;
    await addUnscored('b', 30);
    let isHeld = false;
    scorer.acts(async (_, signal) => {
      isHeld = isHeld || scorer.batches.length % 2 === 0;
      if (isHeld) await untilAborted(signal);
    });
    const stop = new AbortController();
    const context = stepContext({ signal: stop.signal });
    const ended = step.run(context);
    await eventually(() => expect(isHeld).toBe(true));
    stop.abort();
    expect(await ended).toEqual({ kind: 'deferred' });
    expect(queue.isHandOutOpen()).toBe(false);
    expect(await jobRows(database.db)).toMatchObject([{ bankId: 'b', state: 'created', retryCount: 0 }]);
    const before = (await timesScored(database.db))[1] ?? 0;
    expect(context.saved.at(-1)).toEqual({ since: expect.any(String), usedMs: expect.any(Number) });

    scorer.acts(async () => undefined);
    expect(await step.run(stepContext({ checkpoint: context.saved.at(-1) ?? null }))).toEqual({
      kind: 'done',
      note: '30 scored',
    });
    expect(before).toBeLessThan(30);
    expect(await timesScored(database.db)).toEqual({ 1: 30 });
  });

  test('ten minutes a night and no more; what is left is said', async () => {
    await addUnscored('b', 14);
    const checkpoint = { since: new Date().toISOString(), usedMs: 600_000 };
    expect(await rig.step.run(stepContext({ checkpoint }))).toEqual({
      kind: 'done',
      note: 'ten minutes were not enough: 14 memories wait for their score',
    });
    expect(rig.queue.isHandOutOpen()).toBe(false);
  });
});
