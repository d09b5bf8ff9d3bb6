import { afterAll, beforeAll, expect, test } from 'vitest';
import { createDrainStep } from '../../src/sleep/steps/drain-step.ts';
import { readServerFacts } from '../../src/store/server-facts.ts';
import { systemClock } from '../../src/telemetry/clock.ts';
import { addMemories, consolidateAll, createRig, jobRows, type Rig } from '../queue/queue-rig.ts';
import { createScriptedEngine, untilAborted } from '../queue/scripted-engine.ts';
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts';
import { stepContext } from './step-context.ts';

/* The drain step on the real queue, which hands out nothing by itself. */

let database: TestDatabase;
let rig: Rig;
const engine = createScriptedEngine({
  script: async ({ bankId, signal }) => {
    if (bankId === 'held') await untilAborted(signal);
    else await consolidateAll(database.db, bankId);
    return { outcome: signal.aborted ? 'aborted' : 'drained' };
  },
});
/** Looks ten times as often. */
const clock = { ...systemClock, sleep: (ms: number, signal?: AbortSignal) => systemClock.sleep(ms / 10, signal) };
const databaseNow = async () => (await readServerFacts(database.db)).now;
beforeAll(async () => {
  database = await createTestDatabase({ poolMax: 3 });
  rig = createRig(database.db, { engine });
  await rig.queue.start({ handsOut: false });
});
afterAll(async () => {
  await rig.queue.stop();
  await database.drop();
});

const pending = async () =>
  (
    await database.db.query<{ bank: string; n: number }>(
      `select bank_id as bank, count(*) as n from engram.memories where state = 'pending' group by 1 order by 1`,
    )
  ).rows;

test('every bank is worked off, and then nothing is handed out any more', async () => {
  for (const bank of ['a', 'b', 'c']) await addMemories(database.db, bank, { count: 4, ageSeconds: 60 });
  const step = createDrainStep({ queue: rig.queue, clock, databaseNow });
  expect(await step.run(stepContext())).toEqual({ kind: 'done', note: '12 rows worked off' });
  expect(await pending()).toEqual([]);
  expect(rig.queue.isHandOutOpen()).toBe(false);
  expect((await rig.queue.snapshot()).inFlight).toBe(0);
});

test('interrupted, the slice in hand is called off: its memories stay pending, its job waits, no retry is burned', async () => {
  await addMemories(database.db, 'held', { count: 3, ageSeconds: 60 });
  const stop = new AbortController();
  const step = createDrainStep({ queue: rig.queue, clock: systemClock, databaseNow });
  const ended = step.run(stepContext({ signal: stop.signal }));
  for (const before = engine.calls.length; engine.calls.length === before; ) await systemClock.sleep(10);
  stop.abort();
  expect(await ended).toEqual({ kind: 'deferred' });
  expect(rig.queue.isHandOutOpen()).toBe(false);
  expect((await rig.queue.snapshot()).inFlight).toBe(0);
  expect(await pending()).toEqual([{ bank: 'held', n: 3 }]);
  expect(await jobRows(database.db)).toMatchObject([{ bankId: 'held', state: 'created', retryCount: 0 }]);
});
