import pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts';
import { addMemories, consolidateAll, createRig, eventually, jobRows, type Rig } from './queue-rig.ts';
import { createScriptedEngine, untilAborted } from './scripted-engine.ts';

let database: TestDatabase;
const rigs: Rig[] = [];
beforeAll(async () => {
  database = await createTestDatabase({ poolMax: 2 });
});
beforeEach(async () => {
  await database.db.query(
    "do $$ begin if to_regclass('pgboss.job') is not null then delete from pgboss.job; end if; end $$",
  );
  await database.db.query('delete from engram.memories');
});
afterEach(async () => {
  for (const { queue, engine } of rigs.splice(0)) {
    engine.endAll();
    await queue.stop({ graceMs: 5000 });
  }
});
afterAll(() => database.drop());

function rig(overrides: Parameters<typeof createRig>[1] = {}) {
  const made = createRig(database.db, overrides);
  rigs.push(made);
  return made;
}

async function ask({ queue }: Rig, bank: string): Promise<void> {
  await addMemories(database.db, bank, { ageSeconds: 60 });
  await queue.requestConsolidation(bank);
}

const states = async () => (await jobRows(database.db)).map(({ bankId, state }) => `${bankId} ${state}`);

test('nothing is handed out before somebody opens, hints place their jobs all the same', async () => {
  const { queue, engine } = rig();
  await addMemories(database.db, 'b', { ageSeconds: 60 });
  await queue.start({ handsOut: false });
  await queue.hint('b');
  expect(queue.isHandOutOpen()).toBe(false);
  await eventually(async () => expect(await states()).toEqual(['b created']));
  // A poller that runs has looked by then: the hint nudges it.
  await database.db.query('select pg_sleep(0.3)');
  expect(await states()).toEqual(['b created']);
  const handOut = queue.openHandOut();
  expect(queue.isHandOutOpen()).toBe(true);
  const slice = await engine.next();
  await consolidateAll(database.db, 'b');
  slice.end();
  await handOut.close({ graceMs: 60_000 });
  expect(await states()).toEqual([]);
});

test('closed, jobs in hand make room and get their time; nothing more is taken', async () => {
  const made = rig();
  const { queue, engine } = made;
  await queue.start({ handsOut: false });
  const handOut = queue.openHandOut();
  await ask(made, 'b');
  const slice = await engine.next();
  expect(await slice.options.anotherBankWaits?.()).toBe(false);
  const closed = handOut.close({ graceMs: 60_000 });
  expect(queue.isHandOutOpen()).toBe(false);
  // However young the slice is, and whoever waits.
  expect(await slice.options.anotherBankWaits?.()).toBe(true);
  await ask(made, 'c');
  expect(slice.options.signal.aborted).toBe(false);
  slice.end({ outcome: 'yielded' });
  await closed;
  expect(await states()).toEqual(['c created', 'b created']);
  expect(engine.calls).toHaveLength(1);
  // Twice is once.
  await handOut.close({ graceMs: 0 });
});

test('whoever is not done when the time is up is called off: the memories stay pending, no retry is burned', async () => {
  const made = rig({
    engine: createScriptedEngine({
      script: async ({ signal }) => {
        await untilAborted(signal);
        return { outcome: 'aborted' };
      },
    }),
  });
  const { queue, engine } = made;
  await queue.start({ handsOut: false });
  const handOut = queue.openHandOut();
  await ask(made, 'b');
  await eventually(() => expect(engine.calls).toHaveLength(1));
  await handOut.close({ graceMs: 30 });
  expect(engine.calls[0]?.signal.reason).toBe('shutdown');
  expect(await jobRows(database.db)).toMatchObject([
    { bankId: 'b', state: 'created', trigger: 'successor', retryCount: 0 },
  ]);
  // The queue goes on, and so does the bank when somebody opens again.
  queue.openHandOut();
  await eventually(() => expect(engine.calls).toHaveLength(2));
});

test('opened again while jobs get their time, they are left in peace', async () => {
  const made = rig();
  const { queue, engine } = made;
  await queue.start({ handsOut: false });
  const first = queue.openHandOut();
  await ask(made, 'b');
  const slice = await engine.next();
  const closed = first.close({ graceMs: 3_600_000 });
  const second = queue.openHandOut();
  await closed;
  expect(slice.options.signal.aborted).toBe(false);
  expect(await slice.options.anotherBankWaits?.()).toBe(false);
  await ask(made, 'c');
  const other = await engine.next();
  expect(other.options.bankId).toBe('c');
  for (const bank of ['b', 'c']) await consolidateAll(database.db, bank);
  slice.end();
  other.end();
  await second.close({ graceMs: 3_600_000 });
  expect(await states()).toEqual([]);
});

test('what one holder closes stays open for another: a drain that ends takes nothing from a daemon that woke', async () => {
  const made = rig();
  const { queue, engine } = made;
  await queue.start({ handsOut: false });
  const drain = queue.openHandOut();
  const awake = queue.openHandOut();
  await ask(made, 'b');
  const slice = await engine.next();
  await drain.close({ graceMs: 0 });
  expect(queue.isHandOutOpen()).toBe(true);
  expect(slice.options.signal.aborted).toBe(false);
  slice.end({ outcome: 'yielded' });
  (await engine.next()).end({ outcome: 'aborted' });
  await awake.close({ graceMs: 0 });
  expect(queue.isHandOutOpen()).toBe(false);
});

test('vectors: a job in hand makes no further batch once hand-out is closed', async () => {
  let batches = 0;
  const batch = Promise.withResolvers<void>();
  const inBatch = Promise.withResolvers<void>();
  const made = rig({
    embedPending: async () => {
      batches += 1;
      inBatch.resolve();
      await batch.promise;
      return { embedded: 1, remaining: 1 };
    },
  });
  await made.queue.start({ handsOut: false });
  const handOut = made.queue.openHandOut();
  await addMemories(database.db, 'b', { embedded: false });
  await made.queue.hint('b');
  await inBatch.promise;
  const closed = handOut.close({ graceMs: 60_000 });
  batch.resolve();
  await closed;
  expect(batches).toBe(1);
  expect(await jobRows(database.db, { queue: 'embed' })).toMatchObject([{ state: 'created', trigger: 'successor' }]);
});

test('what is open at a stop is open again after the next start; a stop in the middle of a close ends it', async () => {
  const made = rig();
  const { queue, engine } = made;
  await queue.start({ handsOut: false });
  const handOut = queue.openHandOut();
  await queue.stop();
  expect(queue.isHandOutOpen()).toBe(false);
  await queue.start({ handsOut: false });
  expect(queue.isHandOutOpen()).toBe(true);
  await ask(made, 'b');
  const slice = await engine.next();
  const closed = handOut.close({ graceMs: 3_600_000 });
  const stopped = queue.stop({ graceMs: 3_600_000 });
  await untilAborted(slice.options.signal);
  slice.end({ outcome: 'aborted' });
  await Promise.all([closed, stopped]);
  expect(await jobRows(database.db)).toMatchObject([{ bankId: 'b', state: 'created', retryCount: 0 }]);
});

test('parked and unparked twenty times it leaves no timer, no connection and no job behind', async () => {
  const { queue } = rig();
  const timers = () => process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length;
  const waiting: unknown[] = [];
  const onWarning = (warning: unknown) => waiting.push(warning);
  process.on('warning', onWarning);
  await queue.start({ handsOut: false });
  await queue.stop();
  await database.db.rest();
  const before = timers();
  for (let round = 0; round < 20; round += 1) {
    await queue.start({ handsOut: false });
    const handOut = queue.openHandOut();
    await queue.hint('nobody');
    await handOut.close({ graceMs: 1000 });
    await queue.stop();
    await database.db.rest();
    expect(database.db.poolCounts()).toEqual({ used: 0, idle: 0, waiting: 0 });
  }
  expect(timers()).toBeLessThanOrEqual(before);
  process.off('warning', onWarning);
  expect(waiting).toEqual([]);
  expect(await jobRows(database.db)).toEqual([]);
});

test('a queue that never runs tells whoever listens: a command’s memory wakes a parked daemon', async () => {
  const client = new pg.Client({ connectionString: database.connectionString });
  await client.connect();
  try {
    const heard: (string | undefined)[] = [];
    client.on('notification', ({ payload }) => heard.push(payload));
    await client.query('listen engramd_work');
    await rig({ tellsOthers: true }).queue.hint('b');
    await expect.poll(() => heard).toEqual(['b']);
    // A daemon that is parked listens itself and would answer its own call for ever.
    await rig().queue.hint('c');
    await client.query('select 1');
    expect(heard).toEqual(['b']);
  } finally {
    await client.end();
  }
});

test('a hint while stopped never throws, whatever the database does', async () => {
  const down = { ...database.db, query: async () => Promise.reject(new Error('down')) };
  const { queue } = createRig(down, { tellsOthers: true });
  await queue.hint('b');
});
