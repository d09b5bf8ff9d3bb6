import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { holdBackupLock } from '../../src/backup/backup-lock.ts';
import { addBackup } from '../../src/cli/backup.ts';
import { openDirectSession } from '../../src/db/direct-session.ts';
import { systemClock } from '../../src/telemetry/clock.ts';
import { createVictim } from '../store/victim-bank.ts';
import { settled } from '../support/settled.ts';
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts';
import { runCommand } from './run-command.ts';

let database: TestDatabase;
let folder: string;
let directory: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'engramd-test-'));
  directory = join(folder, 'backups');
  database = await createTestDatabase();
  await createVictim(database.db, 'mine');
  // A transaction that is under way when the backup is taken may bring what was written before it to the next look.
  await settled(database.db);
});
afterAll(async () => {
  rmSync(folder, { recursive: true, force: true });
  await database.drop();
});

const run = (...args: readonly string[]) =>
  runCommand(addBackup, ['backup', ...args], {
    clock: systemClock,
    env: {
      DATABASE_URL: database.connectionString,
      ENGRAMD_DATA_DIR: join(folder, 'data'),
      ENGRAMD_BACKUP_DIR: directory,
    },
  });
const names = () => readdirSync(directory).filter((name) => name.startsWith('20'));

it('takes one, none where nothing has changed, and one all the same with --force', async () => {
  expect((await run('list')).stderr).toContain(`there is no backup in ${directory}`);
  const first = await run('now');
  expect(first).toMatchObject({ exitCode: 0, error: undefined });
  const [name = ''] = names();
  expect(first.stdout).toMatch(new RegExp(`^${name} was taken and verified: \\d+ rows, [\\d.]+ KiB\\n$`));

  const again = await run('now', '--json');
  expect(JSON.parse(again.stdout)).toMatchObject({ outcome: 'unchanged' });
  expect((await run('now')).stdout).toMatch(/^nothing has changed since the backup of \d+ s ago, .*--force/);
  expect(names()).toHaveLength(1);

  const forced = await run('now', '--force', '--json');
  expect(JSON.parse(forced.stdout)).toMatchObject({ outcome: 'verified', pruned: [], backup: { state: 'verified' } });
  expect(names()).toHaveLength(2);
});

it('lists them with what is wrong, and verifies one by its name or the newest', async () => {
  const [oldest = '', newest = ''] = names().sort();
  expect((await run('verify')).stdout).toMatch(new RegExp(`^${newest} restores to what it was taken from: \\d+ rows`));
  writeFileSync(join(directory, oldest, 'memories.copy.gz'), 'not what it was');
  expect((await run('verify', oldest)).error).toMatchObject({ code: 'BACKUP_DAMAGED' });
  const listed = await run('list');
  expect(listed.stdout.split('\n')).toEqual([
    expect.stringMatching(/^name +taken +rows +size +state$/),
    expect.stringMatching(new RegExp(`^${newest} +\\d+ s ago +\\d+ +[\\d.]+ KiB +verified \\d+ s ago$`)),
    expect.stringMatching(new RegExp(`^${oldest} .*damaged: .*memories\\.copy\\.gz.* is truncated`)),
    '',
  ]);
  const { backups } = JSON.parse((await run('list', '--json')).stdout) as {
    backups: { name: string; state: string }[];
  };
  expect(backups.map(({ name, state }) => [name, state])).toEqual([
    [newest, 'verified'],
    [oldest, 'damaged'],
  ]);
  expect((await run('verify', 'no-such-backup')).error).toMatchObject({ code: 'BACKUP_NOT_FOUND' });
});

it('tells whose they are where several databases have theirs there', async () => {
  const [, newest = ''] = names().sort();
  const theirs = '2020-01-01T03-00-00Z-01234567';
  mkdirSync(join(directory, theirs));
  const manifest = { format: 2, store: 'abcdef01-2345-4789-8abc-def012345678' };
  writeFileSync(join(directory, theirs, 'manifest.json'), JSON.stringify(manifest));
  const { stdout } = await run('list');
  expect(stdout).toMatch(/^name +taken +rows +size +database +state$/m);
  expect(stdout).toMatch(new RegExp(`^${theirs} .* abcdef01 .*a newer one wrote it`, 'm'));
  const { backups } = JSON.parse((await run('list', '--json')).stdout) as {
    backups: { name: string; store: string }[];
  };
  expect(backups.at(-1)).toMatchObject({ name: theirs, store: manifest.store });
  expect(JSON.parse((await run('verify', '--json')).stdout)).toMatchObject({ name: newest, state: 'verified' });
  rmSync(join(directory, theirs), { recursive: true });

  // The same store on another server: taken before a move, or by a drill.
  const elsewhere = '2020-01-02T03-00-00Z-01234567';
  const own = JSON.parse(readFileSync(join(directory, newest, 'manifest.json'), 'utf8')) as { origin: object };
  mkdirSync(join(directory, elsewhere));
  const moved = { ...own, origin: { ...own.origin, clusterId: '1' } };
  writeFileSync(join(directory, elsewhere, 'manifest.json'), JSON.stringify(moved));
  const labels = (JSON.parse((await run('list', '--json')).stdout) as { backups: { database: string }[] }).backups.map(
    ({ database }) => database,
  );
  expect(new Set(labels).size).toBe(2);
  expect(labels.at(-1)).toMatch(/^[0-9a-f]{8}-[0-9a-f]{8}$/);
  const list = (await run('list')).stdout;
  expect(list).toMatch(new RegExp(`^${elsewhere} .* ${labels.at(-1)} `, 'm'));
  expect(list).toMatch(new RegExp(`^${newest} .* ${labels[0]} `, 'm'));
  rmSync(join(directory, elsewhere), { recursive: true });
});

it('is refused beside another process that is at one', async () => {
  const session = await openDirectSession({ connectionString: database.connectionString, applicationName: 'other' });
  try {
    await holdBackupLock(session);
    expect((await run('now', '--force')).error).toMatchObject({ code: 'BACKUP_BUSY', exitCode: 4 });
  } finally {
    await session.close();
  }
});

it('looks where --backup-dir says', async () => {
  const listed = await run('list', '--backup-dir', join(folder, 'elsewhere'));
  expect(listed.stderr).toContain(`there is no backup in ${join(folder, 'elsewhere')}`);
});
