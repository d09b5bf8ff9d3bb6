import { v7 as uuid } from 'uuid';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createBank } from '../../src/store/banks.ts';
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());

test('an invalidation that takes an automatic pin says so, behind itself; whoever else takes one tells of it', async () => {
  const { db } = database;
  await createBank(db, 'b');
  const [auto = '', manual = '', bare = ''] = [uuid(), uuid(), uuid()];
  await db.query(
    `insert into engram.memories (bank_id, id, text, pin, pinned_at)
     select 'b', id, 'x', pin, case when pin is not null then now() end from unnest($1::uuid[], $2::text[]) as m(id, pin)`,
    [
      [auto, manual, bare],
      ['auto', 'manual', null],
    ],
  );
  const told = async (statement: string) => {
    await db.query('delete from engram.events');
    await db.query(statement);
    const { rows } = await db.query<{ kind: string; memory_id: string; detail: unknown }>(
      'select kind, memory_id, detail from engram.events order by change_xid, id',
    );
    return rows.map((row) => [row.memory_id, row.kind, row.detail]);
  };
  const all = [auto, manual, bare];

  expect(await told("update engram.memories set text = 'y'")).toEqual(
    all.map((id) => [id, 'memory.edited', { version: 2 }]),
  );
  expect(await told('update engram.memories set invalidated_at = now()')).toEqual([
    [auto, 'memory.invalidated', { version: 3 }],
    [auto, 'memory.unpinned', { pin: 'auto' }],
    [manual, 'memory.invalidated', { version: 3 }],
    [bare, 'memory.invalidated', { version: 3 }],
  ]);
  expect(await told('update engram.memories set invalidated_at = null')).toEqual(
    all.map((id) => [id, 'memory.restored', { version: 4 }]),
  );
  // An eviction.
  await db.query("update engram.memories set pin = 'auto', pinned_at = now() where pin is null");
  expect(await told("update engram.memories set pin = null, pinned_at = null where pin = 'auto'")).toEqual([]);
});
