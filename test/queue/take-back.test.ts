import { randomUUID } from 'node:crypto';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createBoss } from '../../src/queue/boss.ts';
import { finishInstance, insertInstance } from '../../src/store/instances.ts';
import { silentLog } from '../../src/telemetry/log.ts';
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts';
import { addMemories, consolidateAll, createRig, eventually, jobRows, type Rig } from './queue-rig.ts';

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

async function addInstance(): Promise<string> {
  const id = randomUUID();
  await insertInstance(database.db, { id, role: 'daemon', host: 'here', pid: 1, version: '0' });
  return id;
}

/** What a process leaves behind that is killed in a slice. */
async function killedInSlice(bankId: string): Promise<void> {
  const boss = createBoss({ db: database.db, log: silentLog });
  await boss.start();
  await addMemories(database.db, bankId, { ageSeconds: 60 });
  await boss.send(database.db, 'consolidate', { bankId, trigger: 'hint' }, new Date(0));
  expect(await boss.fetch('consolidate', 1)).toHaveLength(1);
  await boss.stop();
}

async function startRig(instanceId: string): Promise<Rig> {
  const rig = createRig(database.db, { instanceId });
  rigs.push(rig);
  await rig.queue.start();
  return rig;
}

const died = (id: string) => finishInstance(database.db, id, 'killed');

test('a restart goes on at once with the job of the process that died', async () => {
  const dead = await addInstance();
  await killedInSlice('b');
  await died(dead);
  const { engine } = await startRig(await addInstance());
  const slice = await engine.next();
  expect(slice.options.bankId).toBe('b');
  expect(await jobRows(database.db)).toMatchObject([{ state: 'active', retryCount: 1 }]);
  await consolidateAll(database.db, 'b');
  slice.end();
  await eventually(async () => expect(await jobRows(database.db)).toEqual([]));
});

test('a silent process counts as dead as soon as its heartbeat would', async () => {
  const silent = await addInstance();
  await killedInSlice('b');
  await database.db.query("update engram.instances set seen_at = now() - interval '31 seconds' where id = $1", [
    silent,
  ]);
  const { engine } = await startRig(await addInstance());
  expect((await engine.next()).options.bankId).toBe('b');
});

test('the second death of a job waits out its pause', async () => {
  const dead = await addInstance();
  await killedInSlice('b');
  await database.db.query("update pgboss.job set retry_count = 1 where state = 'active'");
  await died(dead);
  await startRig(await addInstance());
  const [paused] = await jobRows(database.db);
  expect(paused).toMatchObject({ state: 'retry', retryCount: 1 });
  expect(paused?.startsIn).toBeGreaterThan(5);
});

test('a job of a process that lives is left alone', async () => {
  await addInstance();
  await killedInSlice('b');
  const { queue, engine } = await startRig(await addInstance());
  await queue.reconcile();
  expect(await jobRows(database.db)).toMatchObject([{ state: 'active', retryCount: 0 }]);
  expect(engine.calls).toEqual([]);
});

test('a process that is parked holds no job: what is still active is somebody’s who died', async () => {
  const parked = await addInstance();
  await killedInSlice('b');
  await database.db.query('update engram.instances set parked_at = now() where id = $1', [parked]);
  const { engine } = await startRig(await addInstance());
  expect((await engine.next()).options.bankId).toBe('b');
});
