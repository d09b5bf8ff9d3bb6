import { afterEach, beforeEach, expect, test } from 'vitest';
import { createBoss } from '../../src/queue/boss.ts';
import { emptyQueues } from '../../src/queue/empty-queues.ts';
import { bankQueues } from '../../src/queue/queues.ts';
import { silentLog } from '../../src/telemetry/log.ts';
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts';

let database: TestDatabase;
beforeEach(async () => {
  database = await createTestDatabase({ poolMax: 2 });
});
afterEach(() => database.drop());

test('deletes the jobs of our queues, and nothing of another program that uses pg-boss here', async () => {
  const { db } = database;
  expect(await emptyQueues(db)).toBe(0);
  const boss = createBoss({ db, log: silentLog });
  await boss.start();
  for (const { name } of bankQueues) {
    await boss.send(db, name, { bankId: 'b', trigger: 'hint' }, new Date(0));
  }
  await boss.stop();
  await db.query(`select pgboss.create_queue('theirs', '{"policy": "standard"}'::jsonb)`);
  await db.query(`insert into pgboss.job (name, data) values ('theirs', '{}')`);
  expect(await emptyQueues(db)).toBe(bankQueues.length);
  expect((await db.query('select name from pgboss.job')).rows).toEqual([{ name: 'theirs' }]);
});
