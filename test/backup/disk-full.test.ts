import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { BackupStorageError } from '../../src/backup/backup-errors.ts';
import { type BackupFiles, nodeFiles } from '../../src/backup/backup-files.ts';
import type { Backups, StoredBackup } from '../../src/backup/backup-store.ts';
import { openDump } from '../../src/backup/dump.ts';
import { keptTables } from '../../src/backup/kept-tables.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { type BackupsRig, createBackupsRig } from './backups-rig.ts';

let rig: BackupsRig;
beforeAll(async () => {
  rig = await createBackupsRig();
});
beforeEach(() => rig.reset());
afterAll(() => rig.close());

interface FailingFiles extends BackupFiles {
  /** What was done, in order. */
  readonly steps: string[];
}

/** Fails from a step on, as a disk does that is full: what takes no room still works. */
function failingFiles(code: string, fails: (step: string, index: number) => boolean): FailingFiles {
  const steps: string[] = [];
  const step = (name: string) => {
    steps.push(name);
    if (fails(name, steps.length - 1)) throw Object.assign(new Error(`${code}: injected at ${name}`), { code });
  };
  return {
    ...nodeFiles,
    steps,
    async makeFolder(path) {
      step('make folder');
      await nodeFiles.makeFolder(path);
    },
    async create(path) {
      step('create');
      const file = await nodeFiles.create(path);
      return {
        async write(bytes) {
          // As much as there was room for.
          await file.write(bytes.subarray(0, bytes.length / 2));
          step('write');
          await file.write(bytes.subarray(bytes.length / 2));
        },
        async sync() {
          step('sync');
          await file.sync();
        },
        close: () => file.close(),
      };
    },
    async rename(from, to) {
      step('rename');
      await nodeFiles.rename(from, to);
    },
    async syncFolder(path) {
      step('sync folder');
      await nodeFiles.syncFolder(path);
    },
  };
}

const using = (files: BackupFiles, metrics = createMetrics()): Backups =>
  rig.with({ files, metrics, keep: 1, openDump: (options) => openDump({ ...options, files }) });

const takeOver = (backups: Backups) =>
  backups.take({
    trigger: 'due',
    force: true,
    signal: new AbortController().signal,
    onProgress: () => undefined,
  });

/** The old set, whole, or the new one. */
function expectOneSet(old: StoredBackup, list: readonly StoredBackup[], at: string): void {
  for (const { name, manifest } of list) {
    for (const { file, fileBytes } of manifest?.tables ?? []) {
      expect(readFileSync(join(rig.directory, name, file)).length, at).toBe(fileBytes);
    }
  }
  expect(
    list.some(({ standing }) => standing === 'verified'),
    at,
  ).toBe(true);
  if (!list.some(({ name }) => name === old.name)) expect(list[0]?.standing, at).toBe('verified');
}

test('full at any step: the old set or the new one stands, never neither, and the setting is named', {
  timeout: 60_000,
}, async () => {
  const sound = failingFiles('ENOSPC', () => false);
  await takeOver(using(sound));
  const file = ['create', 'write', 'sync'];
  // Its header comes by itself.
  const table = ['create', 'write', 'write', 'sync'];
  const tables = keptTables.flatMap(() => table);
  expect(sound.steps).toEqual([
    'make folder',
    'make folder',
    ...tables,
    ...[...file, 'sync folder', 'rename', 'sync folder'],
    ...[...file, 'rename', 'sync folder'],
  ]);
  // Of the tables the first two and the last are enough: all are written alike.
  const places = [...sound.steps.keys()].filter(
    (index) => index < 2 + 2 * table.length || index >= 2 + tables.length - table.length,
  );
  await rig.reset();
  const outcome = await rig.take();
  if (outcome.kind !== 'verified') throw new Error(outcome.kind);
  for (const place of places) {
    const at = `step ${place}, ${sound.steps[place]}`;
    const failed = takeOver(using(failingFiles('ENOSPC', (_, index) => index >= place)));
    await expect(failed, at).rejects.toThrow(BackupStorageError);
    await expect(failed, at).rejects.toThrow(/is full.*ENGRAMD_BACKUP_DIR/);
    const list = await rig.backups.list();
    expect(list.at(-1), at).toEqual(outcome.backup);
    expectOneSet(outcome.backup, list, at);
    expect(
      rig.names().filter((name) => name.startsWith('.')),
      at,
    ).toEqual([]);
    expect((await rig.rows()).at(-1), at).toMatchObject({ status: 'failed', error_code: 'BACKUP_STORAGE' });
    for (const { name } of list.slice(0, -1)) rmSync(join(rig.directory, name), { recursive: true });
  }
});

test('full while old ones are pruned: the new one is verified all the same, and the old ones go with the next', async () => {
  const old = await rig.take();
  if (old.kind !== 'verified') throw new Error(old.kind);
  let renames = 0;
  const files = failingFiles('EIO', (step) => {
    if (step === 'rename') renames += 1;
    return step === 'rename' && renames === 3;
  });
  const outcome = await takeOver(using(files));
  expect(outcome).toMatchObject({ kind: 'verified', pruned: [], backup: { standing: 'verified' } });
  expect((await rig.backups.list()).map(({ standing }) => standing)).toEqual(['verified', 'verified']);
  expect(await takeOver(using(nodeFiles))).toMatchObject({ pruned: expect.arrayContaining([old.backup.name]) });
  expect(await rig.backups.list()).toHaveLength(1);
});

test.for([
  ['EACCES', /may not be read or written by this user/],
  ['EROFS', /may not be read or written by this user/],
  ['ENOTDIR', /is not a directory/],
  ['EDQUOT', /is full/],
  ['EIO', /EIO: injected/],
] as const)('%s is said in words that help', async ([code, said]) => {
  const metrics = createMetrics();
  mkdirSync(rig.directory, { recursive: true });
  const failed = takeOver(
    using(
      failingFiles(code, () => true),
      metrics,
    ),
  );
  await expect(failed).rejects.toThrow(said);
  await expect(failed).rejects.toThrow(/ENGRAMD_BACKUP_DIR/);
  expect((await metrics.backupFailures.get()).values.map(({ labels, value }) => [labels.cause, value])).toEqual([
    ['storage', 1],
    ['damaged', 0],
    ['unverified', 0],
    ['database', 0],
    ['other', 0],
  ]);
});
