import { afterEach, beforeEach, expect, test } from 'vitest';
import { createDatabase, type Database } from '../../src/db/database.ts';
import { HeldConnectionError } from '../../src/db/errors.ts';
import { migrationLockKey } from '../../src/db/migrate.ts';
import { bossSchemaVersion, createBoss } from '../../src/queue/boss.ts';
import { LostClaimError, QueueError, QueueSchemaNewerError } from '../../src/queue/errors.ts';
import { bankQueues, consolidateQueue } from '../../src/queue/queues.ts';
import { systemClock } from '../../src/telemetry/clock.ts';
import { silentLog } from '../../src/telemetry/log.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts';
import { eventually, jobRows } from './queue-rig.ts';

let database: TestDatabase;
const others: Database[] = [];
beforeEach(async () => {
  database = await createTestDatabase({ poolMax: 2 });
});
afterEach(async () => {
  for (const other of others.splice(0)) await other.close();
  await database.drop();
});

function anotherDaemon(): Database {
  const other = createDatabase({
    connectionString: database.connectionString,
    poolMax: 2,
    applicationName: 'other-daemon',
    log: silentLog,
    clock: systemClock,
    metrics: createMetrics(),
  });
  others.push(other);
  return other;
}

const payload = (bankId: string) => ({ bankId, trigger: 'hint' }) as const;
const inAnHour = () => new Date(Date.now() + 3_600_000);
const longAgo = new Date(0);

test('a fresh install is at the version that this code was written for', async () => {
  const boss = createBoss({ db: database.db, log: silentLog });
  await boss.start();
  const { rows } = await database.db.query('select version from pgboss.version');
  await boss.stop();
  expect(rows).toEqual([{ version: bossSchemaVersion }]);
});

test('two daemons start on an empty database at once', async () => {
  const left = createBoss({ db: database.db, log: silentLog });
  const right = createBoss({ db: anotherDaemon(), log: silentLog });
  await Promise.all([left.start(), right.start()]);
  expect(await left.send(database.db, 'consolidate', payload('b'), inAnHour())).not.toBeNull();
  await Promise.all([left.stop(), right.stop()]);
});

test('pg-boss migrates only under the migration lock', async () => {
  const boss = createBoss({ db: database.db, log: silentLog });
  const other = anotherDaemon();
  const locked = Promise.withResolvers<void>();
  const finish = Promise.withResolvers<void>();
  const migrating = other.tx({ label: 'another migration' }, async (tx) => {
    await tx.query('select pg_advisory_xact_lock($1)', [migrationLockKey]);
    locked.resolve();
    await finish.promise;
  });
  await locked.promise;
  const starting = boss.start();
  await eventually(async () => {
    const { rowCount } = await other.query("select from pg_locks where locktype = 'advisory' and not granted");
    expect(rowCount).toBe(1);
  });
  expect((await other.query("select to_regclass('pgboss.job') as job")).rows).toEqual([{ job: null }]);
  finish.resolve();
  await Promise.all([migrating, starting]);
  expect((await other.query('select from pgboss.job')).rowCount).toBe(0);
  await boss.stop();
});

test('a schema from the future is refused, at the start and later', async () => {
  const boss = createBoss({ db: database.db, log: silentLog });
  await boss.start();
  await database.db.query('update pgboss.version set version = version + 1');
  await expect(boss.assertSchema()).rejects.toThrow(QueueSchemaNewerError);
  await boss.stop();
  const older = createBoss({ db: database.db, log: silentLog });
  const refusal = await older.start().catch((thrown: unknown) => thrown);
  expect(refusal).toBeInstanceOf(QueueSchemaNewerError);
  expect(refusal).toMatchObject({ exitCode: 2 });
  await expect(older.fetch('consolidate', 1)).rejects.toThrow(QueueError);
});

test('options that this version changed reach queues that exist', async () => {
  const boss = createBoss({ db: database.db, log: silentLog });
  await boss.start();
  await boss.stop();
  await database.db.query('update pgboss.queue set retry_limit = 1, heartbeat_seconds = 600, expire_seconds = 7');
  await boss.start();
  const { rows } = await database.db.query<{ name: string }>(
    `select name, policy, retry_limit, heartbeat_seconds, expire_seconds, dead_letter from pgboss.queue
     where name <> 'dead-letter' and name not like '\\_\\_%' order by name`,
  );
  await boss.stop();
  expect(rows).toEqual(
    bankQueues.map((queue) => ({
      name: queue.name,
      policy: queue.policy,
      retry_limit: queue.retryLimit,
      heartbeat_seconds: queue.heartbeatSeconds,
      expire_seconds: queue.expireInSeconds,
      dead_letter: 'dead-letter',
    })),
  );
});

test('it cannot be started while a connection is held', async () => {
  const boss = createBoss({ db: database.db, log: silentLog });
  const refusal = await database.db.tx({ label: 'holder' }, () => boss.start().catch((thrown: unknown) => thrown));
  expect(refusal).toBeInstanceOf(HeldConnectionError);
  expect(refusal).toMatchObject({ message: expect.stringContaining('starting the job queue') });
});

test('from the start it works inside a transaction without a second connection', async () => {
  const boss = createBoss({ db: database.db, log: silentLog });
  await boss.start();
  await database.db.tx({ label: 'first of all' }, async (tx) => {
    expect(await boss.send(tx, 'embed', payload('b'), longAgo)).not.toBeNull();
    expect(await boss.send(tx, 'consolidate', payload('b'), longAgo)).not.toBeNull();
    await boss.deleteDeadLetters(tx, ['00000000-0000-4000-8000-000000000000']);
  });
  expect(await jobRows(database.db)).toHaveLength(2);
  await boss.stop();
});

test("a script of pg-boss that fails leaves the pool's connections usable", async () => {
  const single = createDatabase({
    connectionString: database.connectionString,
    poolMax: 1,
    applicationName: 'single',
    log: silentLog,
    clock: systemClock,
    metrics: createMetrics(),
  });
  others.push(single);
  const boss = createBoss({ db: single, log: silentLog });
  await boss.start();
  await single.query('alter table pgboss.job rename column heartbeat_on to gone');
  await expect(boss.supervise()).rejects.toMatchObject({ code: '42703' });
  expect(await single.query('select 1 as one')).toMatchObject({ rows: [{ one: 1 }] });
  await boss.stop();
});

test('a job settles by its attempt: one that was taken over refuses, and the transaction with it', async () => {
  const boss = createBoss({ db: database.db, log: silentLog });
  await boss.start();
  await boss.send(database.db, 'consolidate', payload('b'), longAgo);
  const [first] = await boss.fetch('consolidate', 5);
  if (!first) throw new Error('nothing fetched');
  // A lapsed heartbeat: pg-boss gives the job to somebody else.
  await database.db.query("update pgboss.job set state = 'retry', start_after = now() where id = $1", [first.id]);
  const [second] = await boss.fetch('consolidate', 5);
  expect(second).toMatchObject({ id: first.id, retryCount: 1 });
  expect(await boss.touch('consolidate', [first])).toEqual(new Set());
  expect(await boss.fail('consolidate', first, {})).toBe(false);
  const refusal = await database.db
    .tx({ label: 'settle' }, async (tx) => {
      await tx.query("insert into engram.banks (id) values ('written beside')");
      await boss.complete(tx, 'consolidate', first, {});
    })
    .catch((thrown: unknown) => thrown);
  expect(refusal).toBeInstanceOf(LostClaimError);
  expect((await database.db.query('select from engram.banks')).rowCount).toBe(0);
  expect(await jobRows(database.db)).toMatchObject([{ state: 'active', retryCount: 1 }]);
  await boss.stop();
});

test('one job a bank in created, retry or active, and a delayed one swallows the next', async () => {
  const boss = createBoss({ db: database.db, log: silentLog });
  await boss.start();
  const send = () => boss.send(database.db, 'consolidate', payload('b'), longAgo);
  expect(await send()).not.toBeNull();
  expect(await send()).toBeNull();
  const [job] = await boss.fetch('consolidate', 5);
  if (!job) throw new Error('nothing fetched');
  expect(await send()).toBeNull();
  expect(await boss.send(database.db, 'consolidate', payload('another'), longAgo)).not.toBeNull();
  expect(await boss.fail('consolidate', job, { message: 'no' })).toBe(true);
  expect(await jobRows(database.db)).toMatchObject([{ bankId: 'b', state: 'retry' }, { bankId: 'another' }]);
  expect(await send()).toBeNull();
  const [retry] = await jobRows(database.db);
  expect(retry?.startsIn).toBeGreaterThan(consolidateQueue.retryDelay - 1);
  await boss.stop();
});

test('what pg-boss refuses comes as an error of ours', async () => {
  const boss = createBoss({ db: database.db, log: silentLog });
  await boss.start();
  await expect(boss.fetch('consolidate', -1)).rejects.toThrow(QueueError);
  await boss.stop();
});
