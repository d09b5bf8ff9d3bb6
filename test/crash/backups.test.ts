import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { StoredBackup } from '../../src/backup/backup-store.ts';
import { keptTables } from '../../src/backup/kept-tables.ts';
import { checkFiles } from '../../src/backup/table-files.ts';
import { createVerifyBackup } from '../../src/backup/verify.ts';
import { type RacepointName, racepointNames } from '../../src/telemetry/racepoints.ts';
import { migrations } from '../backup/backup-bench.ts';
import { type BackupsRig, createBackupsRig } from '../backup/backups-rig.ts';
import type { DyingBackup } from './dying-backup.ts';

/*
 * SIGKILL of a backup at every racepoint, with its thread, its verification and all. Two verified backups stand, of which
 * one is to be kept.
 */

const entry = new URL('./dying-backup.ts', import.meta.url).pathname;
const compileCache = new URL('../../node_modules/.cache/engramd-test', import.meta.url).pathname;
const backupPoints = racepointNames.filter((name) => name.startsWith('backup:'));

let rig: BackupsRig;
beforeAll(async () => {
  rig = await createBackupsRig();
});
afterAll(() => rig.close());

interface Death {
  readonly point: RacepointName;
  readonly table: string;
  /** What it leaves: the two that stood, and how far the new one came. */
  readonly leaves: readonly StoredBackup['standing'][];
  readonly row: 'running' | 'written' | 'verified';
}

const old = ['verified', 'verified'] as const;
const deaths: readonly Death[] = [
  { point: 'backup:snapshot-taken', table: '', leaves: old, row: 'running' },
  ...[keptTables[0], 'memories', keptTables.at(-1) ?? ''].map(
    (table): Death => ({ point: 'backup:table-written', table, leaves: old, row: 'running' }),
  ),
  { point: 'backup:before-manifest', table: '', leaves: old, row: 'running' },
  { point: 'backup:before-rename', table: '', leaves: old, row: 'running' },
  { point: 'backup:renamed', table: '', leaves: ['unverified', ...old], row: 'running' },
  { point: 'backup:verifying', table: '', leaves: ['unverified', ...old], row: 'written' },
  { point: 'backup:before-prune', table: '', leaves: ['verified', ...old], row: 'verified' },
  { point: 'backup:pruned-one', table: '', leaves: ['verified', 'verified'], row: 'verified' },
];

test('every racepoint of a backup is died at', () => {
  expect([...new Set(deaths.map(({ point }) => point))]).toEqual(backupPoints);
});

async function dieAt(order: Pick<DyingBackup, 'point' | 'table'>): Promise<void> {
  const settings: DyingBackup = {
    connectionString: rig.database.connectionString,
    directory: rig.directory,
    keep: 1,
    ...order,
  };
  const child = fork(entry, [JSON.stringify(settings)], {
    execArgv: [],
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    env: { PATH: process.env.PATH, NODE_COMPILE_CACHE: compileCache },
  });
  child.disconnect();
  expect(await once(child, 'exit')).toEqual([null, 'SIGKILL']);
}

/** The server has taken note of its end, and the lock is free. */
const nobodyElse = () =>
  expect
    .poll(async () => {
      const { rowCount } = await rig.database.db.query(
        `select from pg_stat_activity where datname = current_database() and application_name = 'engramd backup'`,
      );
      return rowCount;
    })
    .toBe(0);

async function expectWhole(backups: readonly StoredBackup[]): Promise<void> {
  for (const { name, manifest } of backups) {
    if (!manifest) throw new Error(`${name} has no manifest`);
    await checkFiles({ folder: join(rig.directory, name), manifest }, new AbortController().signal);
  }
}

const names = (backups: readonly StoredBackup[]) => backups.map(({ name }) => name);

test.for(deaths)(
  'SIGKILL at $point $table: the old set or the new one stands, and the next one goes through',
  {
    timeout: 60_000,
  },
  async ({ point, table, leaves, row }) => {
    await rig.reset();
    const stood: string[] = [];
    for (const _ of old) {
      const outcome = await rig.backups.take({
        trigger: 'due',
        force: true,
        signal: new AbortController().signal,
        onProgress: () => undefined,
      });
      if (outcome.kind === 'verified') stood.unshift(outcome.backup.name);
    }

    await dieAt({ point, table });
    const left = await rig.backups.list();
    expect(left.map(({ standing }) => standing)).toEqual(leaves);
    await expectWhole(left);
    // Before its own is verified nothing has gone; after that, the oldest at most.
    expect(names(left).filter((name) => stood.includes(name))).toEqual(
      point === 'backup:pruned-one' ? stood.slice(0, 1) : stood,
    );
    expect((await rig.rows()).at(-1)?.status).toBe(row);

    await nobodyElse();
    // The real one, where it has to clear away what the killed one left on the server.
    const verify = createVerifyBackup({ ...rig.deps, migrations: async () => migrations });
    const next = await rig.with({ keep: 1, ...(point === 'backup:verifying' && { verify }) }).take({
      trigger: 'due',
      force: true,
      signal: new AbortController().signal,
      onProgress: () => undefined,
    });
    if (next.kind !== 'verified') throw new Error(next.kind);
    const unverified = left.filter(({ standing }) => standing === 'unverified');
    expect(rig.names()).toEqual([...names(unverified), next.backup.name]);
    const ended = (await rig.rows()).at(-2);
    if (row !== 'verified') expect(ended).toMatchObject({ status: 'failed', error_code: 'INTERRUPTED' });
  },
);
