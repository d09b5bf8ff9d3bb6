import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { hasNewWork } from '../../src/store/demand.ts';
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
  await database.db.query(
    "insert into engram.embedding_models (id, provider, dimensions, is_active) values ('m', 'fake', 2, true)",
  );
});
beforeEach(async () => {
  await database.db.query('delete from engram.banks');
  await database.db.query("insert into engram.banks (id) values ('b')");
});
afterAll(() => database.drop());

/** When, from now: `-1 hour`. */
const remember = (at: string) =>
  database.db.query(
    "insert into engram.memories (bank_id, id, text, created_at) values ('b', gen_random_uuid(), 'a', now() + $1::interval)",
    [at],
  );
const observe = (replanAt: string) =>
  database.db.query(
    `insert into engram.observations (bank_id, id, text, tags, embedding, embedding_model, scope_epoch, needs_replan_at)
     values ('b', gen_random_uuid(), 't', '{}', '{1,0}', 'm', 0, now() + $1::interval)`,
    [replanAt],
  );
const isNew = (state: 'drowsy' | 'sleep' | 'hibernation') =>
  hasNewWork(database.db, { state, since: new Date(Date.now() - 60_000) });

test.each(['drowsy', 'sleep', 'hibernation'] as const)(
  'a memory that came in %s is new, one from before is not',
  async (state) => {
    await remember('-1 hour');
    expect(await isNew(state)).toBe(false);
    await remember('-1 second');
    expect(await isNew(state)).toBe(true);
  },
);

test('a memory that was edited is new, one that was taken back is not', async () => {
  await remember('-1 hour');
  await database.db.query('update engram.memories set edited_at = now(), version = version + 1');
  expect(await isNew('hibernation')).toBe(true);
  await database.db.query('update engram.memories set invalidated_at = now()');
  expect(await isNew('hibernation')).toBe(false);
});

test('evidence that was lost is new in HIBERNATION, and no work of a night (law L10)', async () => {
  await observe('-1 second');
  expect(await isNew('hibernation')).toBe(true);
  expect(await isNew('sleep')).toBe(false);
});

test('a replan from before, or that was put off, is not new', async () => {
  await observe('-1 hour');
  await observe('1 hour');
  expect(await isNew('hibernation')).toBe(false);
});
