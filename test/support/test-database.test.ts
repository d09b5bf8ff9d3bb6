import { afterAll, beforeAll, expect, test } from 'vitest';
import { createTestDatabase, type TestDatabase } from './test-database.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());

test('a test database is migrated and empty', async () => {
  const { rows } = await database.db.query<{ n: number }>('select count(*)::int as n from engram.memories');
  expect(rows).toEqual([{ n: 0 }]);
});

test('two test databases do not see each other', async () => {
  const other = await createTestDatabase();
  await other.db.query("insert into engram.banks (id) values ('elsewhere')");
  const { rowCount } = await database.db.query('select from engram.banks');
  expect(rowCount).toBe(0);
  await other.drop();
});

test('dropping a database while a connection is checked out fails', async () => {
  const leaky = await createTestDatabase();
  const { promise: never, resolve: letGo } = Promise.withResolvers<void>();
  const { promise: started, resolve: start } = Promise.withResolvers<void>();
  const held = leaky.db.tx({ label: 'leak' }, async () => {
    start();
    await never;
  });
  const outcome = held.catch((thrown: unknown) => thrown);
  await started;
  await expect(leaky.drop()).rejects.toThrow(/1 connections checked out/);
  letGo();
  expect(await outcome).toBeInstanceOf(Error);
});
