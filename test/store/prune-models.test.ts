import { afterAll, beforeAll, expect, test } from 'vitest';
import { openBreaker } from '../../src/store/model-breakers.ts';
import { pruneModelAnswers, pruneModelBreakers, pruneVerdicts } from '../../src/store/prune.ts';
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
  await database.db.query("insert into engram.banks (id) values ('b')");
});
afterAll(() => database.drop());

const keys = async (table: 'model_answers' | 'verdicts'): Promise<string[]> => {
  const { rows } =
    table === 'verdicts'
      ? await database.db.query<{ key: Buffer }>('select key from engram.verdicts order by key')
      : await database.db.query<{ key: Buffer }>('select request_hash as key from engram.model_answers order by 1');
  return rows.map(({ key }) => String(key));
};

test('answers go after seven days', async () => {
  await database.db.query(
    `insert into engram.model_answers (bank_id, request_hash, answer, subject_ids, created_at)
     values ('b', 'old', '1', '{}', now() - interval '7 days 1 hour'), ('b', 'young', '1', '{}', now() - interval '6 days 23 hours')`,
  );
  expect(await pruneModelAnswers(database.db)).toBe(1);
  expect(await keys('model_answers')).toEqual(['young']);
});

test('verdicts go ninety days after they were asked for, however old they are', async () => {
  await database.db.query(
    `insert into engram.verdicts (bank_id, key, verdict, subject_ids, created_at, used_at)
     values ('b', 'unused', 'same', '{}', now() - interval '91 days', now() - interval '91 days'),
       ('b', 'used', 'same', '{}', now() - interval '400 days', now() - interval '89 days')`,
  );
  expect(await pruneVerdicts(database.db)).toBe(1);
  expect(await keys('verdicts')).toEqual(['used']);
});

test('breakers go that nobody has tried for a day', async () => {
  const now = new Date();
  const agoMs = (hours: number) => new Date(now.getTime() - hours * 3_600_000);
  for (const [model, hours] of [
    ['left', 25],
    ['idle', 23],
    ['resting', -23],
  ] as const) {
    const failure = { errorClass: 'auth', message: '', now, reopensAt: agoMs(hours), isNamed: false } as const;
    await openBreaker(database.db, { endpoint: 'http://x/v1', model }, failure);
  }
  expect(await pruneModelBreakers(database.db)).toBe(1);
  const { rows } = await database.db.query('select model from engram.model_breakers order by model');
  expect(rows).toEqual([{ model: 'idle' }, { model: 'resting' }]);
});
