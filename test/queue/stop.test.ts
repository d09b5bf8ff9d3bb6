import { afterEach, beforeEach, expect, test } from 'vitest';
import { type Clock, systemClock } from '../../src/telemetry/clock.ts';
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts';
import { addMemories, consolidateAll, createRig, eventually, jobRows, type Rig } from './queue-rig.ts';
import { createScriptedEngine, untilAborted } from './scripted-engine.ts';

let database: TestDatabase;
const rigs: Rig[] = [];
beforeEach(async () => {
  database = await createTestDatabase({ poolMax: 2 });
});
afterEach(async () => {
  for (const { queue, engine } of rigs.splice(0)) {
    engine.endAll();
    await queue.stop({ graceMs: 5000 });
  }
  await database.drop();
});

function rig(overrides: Parameters<typeof createRig>[1] = {}) {
  const made = createRig(database.db, overrides);
  rigs.push(made);
  return made;
}

const obedient = async ({ signal }: { signal: AbortSignal }) => {
  await untilAborted(signal);
  return { outcome: 'aborted' } as const;
};

test('a stop calls slices off, and their banks go on elsewhere with no retry burned', async () => {
  const { queue, engine } = rig({ engine: createScriptedEngine({ script: obedient }) });
  await queue.start();
  for (const bank of ['a', 'b', 'c']) {
    await addMemories(database.db, bank, { ageSeconds: 60 });
    await queue.requestConsolidation(bank);
  }
  await eventually(() => expect(engine.calls).toHaveLength(3));
  // Longer than the test may take: only handlers that return end it.
  await queue.stop({ graceMs: 600_000 });
  expect(engine.calls.map((call) => call.signal.reason)).toEqual(['shutdown', 'shutdown', 'shutdown']);
  const jobs = await jobRows(database.db, { ended: true });
  expect(jobs.filter((job) => job.state === 'completed')).toHaveLength(3);
  expect(
    jobs.filter((job) => job.state === 'created' && job.trigger === 'successor' && job.startsIn <= 0),
  ).toHaveLength(3);
  expect(jobs.every((job) => job.retryCount === 0)).toBe(true);

  const successor = rig();
  await successor.queue.start();
  const slice = await successor.engine.next();
  expect(slice.options.trigger).toBe('successor');
  slice.end();
});

test('a slice that does not listen is handed back when the time is up, and what it does then is void', async () => {
  const { queue, engine, metrics } = rig();
  await queue.start();
  await addMemories(database.db, 'b', { ageSeconds: 60 });
  await queue.requestConsolidation('b');
  const deaf = await engine.next();
  await queue.stop({ graceMs: 50 });
  expect(await jobRows(database.db, { ended: true })).toMatchObject([
    { state: 'completed', retryCount: 0 },
    { state: 'created', trigger: 'successor', retryCount: 0 },
  ]);
  deaf.end({ outcome: 'time_up' });
  await eventually(async () => {
    const { values } = await metrics.jobs.get();
    expect(values).toMatchObject([{ labels: { queue: 'consolidate', outcome: 'handed_back' }, value: 1 }]);
  });
  expect(await jobRows(database.db)).toMatchObject([{ state: 'created', trigger: 'successor' }]);
  expect((await metrics.lostClaims.get()).values).toEqual([]);
});

test('while draining, nothing more is taken', async () => {
  const { queue, engine } = rig({ engine: createScriptedEngine({ script: obedient }) });
  await queue.start();
  await queue.drain({ graceMs: 1000 });
  await addMemories(database.db, 'b', { ageSeconds: 60 });
  await queue.requestConsolidation('b');
  await queue.stop();
  expect(engine.calls).toEqual([]);
  expect(await jobRows(database.db)).toMatchObject([{ bankId: 'b', state: 'created' }]);
});

test('it can be started again, and stopped twice', async () => {
  const { queue, engine } = rig();
  await queue.start();
  await queue.stop();
  await queue.stop();
  await addMemories(database.db, 'b', { ageSeconds: 60 });
  await queue.start();
  const slice = await engine.next();
  await consolidateAll(database.db, 'b');
  slice.end();
  await eventually(async () => expect(await jobRows(database.db)).toEqual([]));
});

test('stopped, nothing of it sleeps to wake up later', async () => {
  const asleep = new Set<Promise<void>>();
  const clock: Clock = {
    ...systemClock,
    sleep(ms, signal) {
      const slept = systemClock.sleep(ms, signal);
      asleep.add(slept);
      void slept.then(() => asleep.delete(slept));
      return slept;
    },
  };
  const { queue, engine } = rig({ clock, engine: createScriptedEngine({ script: obedient }) });
  await queue.start();
  await addMemories(database.db, 'b', { ageSeconds: 60 });
  await queue.hint('b');
  await eventually(() => expect(engine.calls).toHaveLength(1));
  expect(asleep.size).toBeGreaterThan(0);
  await queue.stop();
  expect(asleep.size).toBe(0);
});
