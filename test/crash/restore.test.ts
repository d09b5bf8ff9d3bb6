import { fork } from 'node:child_process';
import { once } from 'node:events';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { catalogOf, contentsOf, restore, type TakenBackup, takeBackup, verify } from '../backup/backup-bench.ts';
import { seedStore } from '../backup/seeded-store.ts';
import { createScratchFolder, removeScratchFolder } from '../support/scratch-folder.ts';
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts';
import type { DyingRestore } from './dying-restore.ts';

const entry = new URL('./dying-restore.ts', import.meta.url).pathname;

let source: TestDatabase;
let target: TestDatabase;
let folder: string;
let backup: TakenBackup;
beforeAll(async () => {
  source = await createTestDatabase({ poolMax: 1 });
  target = await createTestDatabase({ poolMax: 2 });
  folder = createScratchFolder();
  await seedStore(source.db, { banks: 1, memories: 100 });
  backup = await takeBackup(source.connectionString, folder);
  await target.db.query(`insert into engram.banks (id) values ('mine')`);
  await target.db.query(
    `insert into engram.memories (bank_id, id, text) values ('mine', gen_random_uuid(), 'stands here')`,
  );
});
afterAll(async () => {
  removeScratchFolder(folder);
  await target.drop();
  await source.drop();
});

/** Starts it, waits until it stands at the point, and kills it there. */
async function killAt(order: Omit<DyingRestore, 'backup'>): Promise<void> {
  const child = fork(entry, [JSON.stringify({ ...order, backup } satisfies DyingRestore)], {
    execArgv: [],
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  const gone = once(child, 'exit');
  const first = await Promise.race([once(child, 'message'), gone]);
  expect(first).toEqual(['held', undefined]);
  child.kill('SIGKILL');
  await gone;
}

/** What the killed process left at work on the server has taken note of its end. */
const nobodyElse = () =>
  expect
    .poll(
      async () => {
        const { rowCount } = await target.db.query(
          `select from pg_stat_activity where datname = current_database() and application_name = 'engramd restore'`,
        );
        return rowCount;
      },
      { timeout: 20_000 },
    )
    .toBe(0);

test.each(['restore:loaded', 'restore:before-commit'])(
  'SIGKILL of a restore at %s leaves the target as it was',
  async (point) => {
    const { connectionString } = target;
    const [contents, catalog] = [await contentsOf(connectionString), await catalogOf(connectionString)];
    await killAt({ what: 'restore', point, connectionString });
    await nobodyElse();
    expect(await contentsOf(connectionString)).toEqual(contents);
    expect(await catalogOf(connectionString)).toEqual(catalog);
    expect((await target.db.query('select epoch from engram.store')).rows).toEqual([{ epoch: 1 }]);
  },
);

test('SIGKILL of a restore right after its commit: it was carried out, once', async () => {
  const { connectionString } = target;
  await killAt({ what: 'restore', point: 'restore:committed', connectionString });
  await nobodyElse();
  const { rows } = await target.db.query(
    'select (select epoch from engram.store) as epoch, (select count(*)::int from engram.memories) as memories',
  );
  expect(rows).toEqual([{ epoch: 2, memories: 100 }]);
  expect(await restore(backup, { connectionString, replace: true })).toMatchObject({ epoch: 3 });
});

test('SIGKILL of a verification leaves a database that the next one drops', async () => {
  const { connectionString } = source;
  const left = async () => {
    const { rows } = await source.db.query<{ name: string }>(
      `select d.datname as name from pg_database d, pg_database own
       where own.datname = current_database() and starts_with(d.datname, 'engramd_verify_' || own.oid || '_')`,
    );
    return rows.map(({ name }) => name);
  };
  await killAt({ what: 'verify', point: 'backup:verifying', connectionString });
  expect(await left()).toHaveLength(1);
  await verify(backup, { connectionString });
  expect(await left()).toEqual([]);
});
