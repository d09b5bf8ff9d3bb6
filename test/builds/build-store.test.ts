import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import type { BuildKey, BuildStore } from '../../src/builds/build-store.ts';
import type { Database } from '../../src/db/database.ts';
import { createBuildStore, pruneSharedBuilds } from '../../src/store/shared-builds.ts';
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts';

let database: TestDatabase;
let db: Database;
let store: BuildStore;
beforeAll(async () => {
  database = await createTestDatabase();
  db = database.db;
  store = createBuildStore(db);
});
afterAll(() => database.drop());

let key: BuildKey;
beforeEach(async () => {
  const bankId = randomUUID();
  await db.query('insert into engram.banks (id) values ($1)', [bankId]);
  key = { bankId, kind: 'test', key: 'model' };
});

const [a, b] = [randomUUID(), randomUUID()];
const minute = 60_000;
const build = (text: string, isComplete = true) => ({
  rows: 3,
  seenXid: '12345678901234567890',
  isComplete,
  payload: Buffer.from(text),
});
const runOut = () => db.query('update engram.build_leases set expires_at = now() where bank_id = $1', [key.bankId]);
const payload = async () => Buffer.from((await store.load(key))?.payload ?? []).toString();

it('gives the lease to one of many who ask at once', async () => {
  const claims = await Promise.all(Array.from({ length: 8 }, () => store.claim(key, randomUUID(), minute)));
  expect(claims.filter((claim) => claim !== 'held')).toEqual([{ fence: 1 }]);
});

it('gives a lease that ran out, or was given back, to the next with a higher fence', async () => {
  expect(await store.claim(key, a, minute)).toEqual({ fence: 1 });
  expect(await store.claim(key, a, minute)).toBe('held');
  await runOut();
  expect(await store.claim(key, b, minute)).toEqual({ fence: 2 });
  await store.release(key, a, 1);
  expect(await store.claim(key, a, minute)).toBe('held');
  await store.release(key, b, 2);
  expect(await store.claim(key, a, minute)).toEqual({ fence: 3 });
});

it('renews what is held, and neither what ran out nor what another has', async () => {
  await store.claim(key, a, minute);
  expect(await store.renew(key, a, 1, minute)).toBe(true);
  expect(await store.renew(key, b, 1, minute)).toBe(false);
  expect(await store.renew(key, a, 2, minute)).toBe(false);
  await runOut();
  expect(await store.renew(key, a, 1, minute)).toBe(false);
});

it('saves for the holder of the lease alone', async () => {
  expect(await store.load(key)).toBeNull();
  await store.claim(key, a, minute);
  expect(await store.save(key, 1, build('one'))).toBe(true);
  expect(await store.load(key)).toMatchObject({ fence: 1, rows: 3, seenXid: '12345678901234567890', isComplete: true });
  expect((await store.load(key))?.ageSeconds).toBeLessThan(60);
  expect(await store.save(key, 2, build('of no lease'))).toBe(false);
  await runOut();
  expect(await store.save(key, 1, build('too late'))).toBe(false);
  await store.claim(key, b, minute);
  expect(await store.save(key, 1, build('of the dead'))).toBe(false);
  expect(await payload()).toBe('one');
  expect(await store.save(key, 2, build('two'))).toBe(true);
  expect(await payload()).toBe('two');
});

it('a complete cache overwritten by a partial one: never, but the other way round', async () => {
  await store.claim(key, a, minute);
  expect(await store.save(key, 1, build('half', false))).toBe(true);
  expect(await store.save(key, 1, build('more', false))).toBe(true);
  expect(await store.save(key, 1, build('whole'))).toBe(true);
  expect(await store.save(key, 1, build('half again', false))).toBe(false);
  await store.release(key, a, 1);
  await store.claim(key, b, minute);
  expect(await store.save(key, 2, build('half by the next', false))).toBe(false);
  expect(await payload()).toBe('whole');
});

it('knows neither other keys and banks, nor a bank that is not there', async () => {
  await store.claim(key, a, minute);
  await store.save(key, 1, build('one'));
  for (const other of [{ bankId: randomUUID() }, { kind: 'other' }, { key: 'other' }]) {
    expect(await store.load({ ...key, ...other })).toBeNull();
    expect(await store.save({ ...key, ...other }, 1, build('strange'))).toBe(false);
    expect(await store.renew({ ...key, ...other }, a, 1, minute)).toBe(false);
  }
  expect(await store.claim({ ...key, bankId: randomUUID() }, a, minute)).toBe('gone');
  await db.query('delete from engram.banks where id = $1', [key.bankId]);
  expect(await store.claim(key, a, minute)).toBe('gone');
  expect(await store.load(key)).toBeNull();
});

it('forgets what was built thirty days ago, and what it was leased with', async () => {
  const young = { ...key, key: 'young' };
  for (const of of [key, young]) {
    await store.claim(of, a, minute);
    await store.save(of, 1, build('saved'));
    await store.release(of, a, 1);
  }
  const age = (of: BuildKey, days: number) =>
    db.query(
      'update engram.shared_builds set built_at = now() - make_interval(days => $3) where bank_id = $1 and key = $2',
      [of.bankId, of.key, days],
    );
  await age(key, 31);
  await age(young, 29);
  expect(await pruneSharedBuilds(db)).toBe(1);
  expect([await store.load(key), (await store.load(young))?.rows]).toEqual([null, 3]);
  expect(await store.claim(key, b, minute)).toEqual({ fence: 1 });
});
