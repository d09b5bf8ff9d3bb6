import { v7 as uuid } from 'uuid';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createBank } from '../../src/store/banks.ts';
import { insertMemories } from '../../src/store/memories.ts';
import { eraseVerdicts, findVerdict, storeVerdict } from '../../src/store/verdicts.ts';
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts';
import { newMemory } from './victim-bank.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());

let bankId: string;
let held: string;
let offered: string;
beforeEach(async () => {
  const { db } = database;
  bankId = `bank-${uuid()}`;
  [held, offered] = [uuid(), uuid()];
  await db.tx({ label: 'test' }, async (tx) => {
    await createBank(tx, bankId);
    await insertMemories(tx, bankId, [newMemory(held, 'tea'), newMemory(offered, 'coffee')]);
  });
});

const key = Buffer.from('pair');
const store = (subjectIds: readonly string[], verdict = 'different') =>
  database.db.tx({ label: 'test' }, (tx) =>
    storeVerdict(tx, bankId, { key, subjectIds, verdict, reason: `coffee is no tea, so ${verdict}` }),
  );
const find = (subjectIds: readonly string[]) => findVerdict(database.db, bankId, { key, subjectIds });
const row = async () =>
  (
    await database.db.query<{ subject_ids: string[]; age: number }>(
      `select subject_ids, extract(epoch from now() - used_at)::float8 as age from engram.verdicts where bank_id = $1`,
      [bankId],
    )
  ).rows[0];
const age = (interval: string) =>
  database.db.query('update engram.verdicts set used_at = now() - $2::interval where bank_id = $1', [bankId, interval]);

describe('a verdict', () => {
  it('is found again under its key', async () => {
    expect(await find([held, offered])).toBeUndefined();
    expect(await store([held, offered])).toBe(true);
    expect(await find([held, offered])).toEqual({
      verdict: 'different',
      reason: 'coffee is no tea, so different',
    });
  });

  it('stays the first of two', async () => {
    await store([held, offered]);
    await store([held, offered], 'same');
    expect((await find([held]))?.verdict).toBe('different');
  });

  it('is not kept once a text of it is gone', async () => {
    await database.db.query('delete from engram.memories where id = $1', [offered]);
    expect(await store([held, offered])).toBe(false);
    expect(await row()).toBeUndefined();
  });

  it('is not kept without its bank', async () => {
    await database.db.query('delete from engram.banks where id = $1', [bankId]);
    expect(await store([])).toBe(false);
  });

  it('says that it was used, once a day', async () => {
    await store([held, offered]);
    await age('23 hours');
    await find([held, offered]);
    expect((await row())?.age).toBeGreaterThan(80_000);
    await age('25 hours');
    await find([held, offered]);
    expect((await row())?.age).toBeLessThan(3_600);
  });

  it('is erased with any text that it was used for', async () => {
    await store([held, offered]);
    const twin = uuid();
    await find([held, twin]);
    expect((await row())?.subject_ids.toSorted()).toEqual([held, offered, twin].toSorted());
    expect(await eraseVerdicts(database.db, bankId, [uuid()])).toBe(0);
    expect(await eraseVerdicts(database.db, bankId, [twin])).toBe(1);
    expect(await find([held, offered])).toBeUndefined();
  });
});
