import { fork } from 'node:child_process';
import { once } from 'node:events';
import { expect, it } from 'vitest';
import { createBank } from '../../src/store/banks.ts';
import { listSnapshots } from '../../src/store/snapshots.ts';
import { createTestDatabase } from '../support/test-database.ts';

const entry = new URL('./dying-snapshot.ts', import.meta.url).pathname;

it('a SIGKILL around the commit of a snapshot leaves the old set or the new one, whole', async () => {
  const test = await createTestDatabase();
  const { db } = test;
  await createBank(db, 'b');
  await db.query(
    `insert into engram.memories (bank_id, id, text) select 'b', gen_random_uuid(), 'memory ' || n from generate_series(1, 50) as n`,
  );
  const takeAndDie = async (death: 'before' | 'after') => {
    const child = fork(entry, [test.connectionString, 'b', death], { stdio: 'ignore' });
    const [, signal] = await once(child, 'exit');
    expect(signal).toBe('SIGKILL');
  };
  const ids = async () => (await listSnapshots(db, 'b')).map(({ id }) => id);
  const rows = async () =>
    (
      await db.query<{ snapshot_id: string; n: number }>(
        'select snapshot_id, count(*)::int as n from engram.snapshot_rows group by 1',
      )
    ).rows;
  await takeAndDie('after');
  await takeAndDie('after');
  const before = await ids();
  expect(before).toHaveLength(2);
  await takeAndDie('before');
  expect(await ids()).toEqual(before);
  await takeAndDie('after');
  const after = await ids();
  expect(after).toHaveLength(2);
  expect(after[1]).toBe(before[0]);
  expect((await rows()).map(({ n }) => n)).toEqual([50, 50]);
  await test.drop();
});
