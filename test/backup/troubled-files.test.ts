import {
  appendFileSync,
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { v7 as uuid } from 'uuid';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { BackupStorageError, BackupUnverifiedError } from '../../src/backup/backup-errors.ts';
import { nodeFiles } from '../../src/backup/backup-files.ts';
import { writeManifest } from '../../src/backup/backup-folder.ts';
import type { StoredBackup } from '../../src/backup/backup-store.ts';
import { erasureLogFile, readErasures, syncErasures } from '../../src/backup/erasure-log.ts';
import { originTag } from '../../src/backup/ownership.ts';
import { checkFiles } from '../../src/backup/table-files.ts';
import { readBackupHistory } from '../../src/store/backup-freshness.ts';
import { systemClock } from '../../src/telemetry/clock.ts';
import { type BackupsRig, createBackupsRig, differs, remember, work } from './backups-rig.ts';

let rig: BackupsRig;
beforeAll(async () => {
  rig = await createBackupsRig();
});
beforeEach(() => rig.reset());
afterAll(() => rig.close());

async function taken(backups = rig.backups): Promise<StoredBackup> {
  const outcome = await backups.take({ trigger: 'asked', force: true, ...work });
  if (outcome.kind !== 'verified') throw new Error(outcome.kind);
  return outcome.backup;
}

const pathOf = (backup: StoredBackup, file = '') => join(rig.directory, backup.name, file);
const standings = async () => (await rig.backups.list()).map(({ standing }) => standing);

/** Nobody can open it, the superuser neither: what a disk, or too many open files, or another owner may come to. */
function makeUnreadable(path: string): void {
  rmSync(path, { recursive: true, force: true });
  symlinkSync(path, path);
}

/** As if nobody had written to any of them for hours, and they had come hours apart. */
function leaveAlone(): void {
  for (const [index, name] of rig.names().toReversed().entries()) {
    const at = new Date(Date.now() - (index + 1) * 2 * 3_600_000);
    const folder = join(rig.directory, name);
    for (const file of readdirSync(folder)) utimesSync(join(folder, file), at, at);
    utimesSync(folder, at, at);
  }
}

const daysLater = (days: number) => ({ ...systemClock, now: () => new Date(Date.now() + days * 86_400_000) });

describe('what cannot be read is no damage', () => {
  test.for(['manifest.json', 'memories.copy.gz', 'verified.json', 'problem.json'])(
    '%s: listed as unreadable with its path, not marked, not pruned, and no backup of an unchanged store',
    async (file) => {
      const backup = await taken();
      makeUnreadable(pathOf(backup, file));
      const [listed] = await rig.backups.list();
      expect(listed).toMatchObject({ standing: 'unreadable', verifiedAt: null });
      expect(listed?.problem).toContain(pathOf(backup, file));
      expect(await rig.take(rig.with({ keep: 1 }))).toMatchObject({ kind: 'verified', pruned: [] });
      expect(await standings()).toEqual(['verified', 'unreadable']);
    },
  );

  test('its verification fails for the storage, and says nothing of it beside the files', async () => {
    const backup = await taken();
    makeUnreadable(pathOf(backup, 'events.copy.gz'));
    const source = { folder: pathOf(backup), manifest: backup.manifest ?? expect.fail('no manifest') };
    await expect(checkFiles(source, work.signal)).rejects.toThrow(BackupStorageError);
    await expect(rig.backups.verify({ name: backup.name, ...work })).rejects.toThrow(BackupStorageError);
    expect(readFileSync(pathOf(backup, 'verified.json'), 'utf8')).toContain('verifiedAt');
    expect(await rig.rows()).toMatchObject([{ status: 'verified', error_code: null }]);
  });
});

describe('files of another user', () => {
  test('leftovers and old backups that may not be removed are a warning', async () => {
    const old = await taken();
    if (old.store === null || old.origin === null) throw new Error('it does not say whose it is');
    const whose = `${old.store}-${originTag(old.origin)}`;
    const leftover = `.part-${whose}-2026-01-01T00-00-00Z-01234567`;
    mkdirSync(join(rig.directory, leftover));
    const forbid = async (path: string) => {
      throw Object.assign(new Error(`EACCES: permission denied, rmdir '${path}'`), { code: 'EACCES' });
    };
    const files = {
      ...nodeFiles,
      remove: (path: string) => (/\.(part|gone)-/.test(path) ? forbid(path) : nodeFiles.remove(path)),
    };
    const outcome = await rig.with({ files, keep: 1 }).take({ trigger: 'asked', force: true, ...work });
    expect(outcome).toMatchObject({ kind: 'verified', pruned: [old.name] });
    expect(rig.names()).toEqual([`.gone-${whose}-${old.name}`, leftover, expect.not.stringMatching(/^\./)]);
    await taken();
    expect(rig.names()).toEqual([expect.not.stringMatching(/^\./), expect.not.stringMatching(/^\./)]);
  });

  test('one that may not be pruned keeps no other', async () => {
    const [first, second] = [await taken(), await taken()];
    const files = {
      ...nodeFiles,
      async rename(from: string, to: string) {
        if (from === pathOf(first)) throw Object.assign(new Error(`EACCES: ${from}`), { code: 'EACCES' });
        await nodeFiles.rename(from, to);
      },
    };
    const outcome = await rig.with({ files, keep: 1 }).take({ trigger: 'asked', force: true, ...work });
    expect(outcome).toMatchObject({ kind: 'verified', pruned: [second.name] });
  });

  test('a log of what was forgotten that cannot be written keeps no backup from being taken', async () => {
    const { db } = rig.database;
    makeUnreadable(join(mkdirSync(rig.directory, { recursive: true }) ?? rig.directory, erasureLogFile));
    const sync = async () => void (await syncErasures(db, rig.directory));
    await expect(sync()).rejects.toThrow(BackupStorageError);
    await expect(sync()).rejects.toThrow(erasureLogFile);
    expect(await rig.take(rig.with({ syncErasures: sync }))).toMatchObject({ kind: 'verified' });
  });
});

describe('an unchanged store', () => {
  const flipByte = (path: string) => {
    const bytes = readFileSync(path);
    bytes.writeUInt8(bytes.readUInt8(200) ^ 1, 200);
    writeFileSync(path, bytes);
  };

  test('the files that it leans on are read again once a week, and stand', async () => {
    const backup = await taken();
    expect(await rig.take(rig.with({ clock: daysLater(6) }))).toMatchObject({ kind: 'unchanged' });
    expect((await rig.backups.list())[0]).toMatchObject({ checkedAt: backup.verifiedAt });
    expect(await rig.take(rig.with({ clock: daysLater(8) }))).toMatchObject({ kind: 'unchanged' });
    const [checked] = await rig.backups.list();
    expect(checked).toMatchObject({ standing: 'verified', verifiedAt: backup.verifiedAt });
    expect(checked?.checkedAt?.getTime()).toBeGreaterThan(Date.now() + 7 * 86_400_000);
  });

  test('an altered file is found by then, the backup marked, and a new one taken', async () => {
    const backup = await taken();
    flipByte(pathOf(backup, 'memories.copy.gz'));
    expect(await rig.take(rig.with({ clock: daysLater(6) }))).toMatchObject({ kind: 'unchanged' });
    expect(await rig.take(rig.with({ clock: daysLater(8) }))).toMatchObject({ kind: 'verified' });
    expect(await standings()).toEqual(['verified', 'damaged']);
    expect(await rig.rows()).toMatchObject([
      { status: 'failed', folder: backup.name, error_code: 'BACKUP_DAMAGED' },
      { status: 'unchanged' },
      { status: 'verified' },
    ]);
  });

  test('a file of another length is damage at once', async () => {
    const backup = await taken();
    appendFileSync(pathOf(backup, 'memories.copy.gz'), 'more');
    expect(await rig.take()).toMatchObject({ kind: 'verified' });
    expect(await standings()).toEqual(['verified', 'damaged']);
  });
});

test('failed verifications do not pile up: the newest two stay, and what was verified', async () => {
  const good = await taken();
  rig.failure = differs;
  for (const text of ['one', 'two', 'three', 'four']) {
    leaveAlone();
    await remember(rig, text);
    await expect(rig.take()).rejects.toThrow(BackupUnverifiedError);
  }
  expect(await standings()).toEqual(['damaged', 'damaged', 'verified']);
  expect((await rig.backups.list()).at(-1)).toEqual(good);
  // Their files are gone, and none of them is forgotten as a failure: the pause grows.
  const failed = (await rig.rows()).slice(1);
  expect(failed.map(({ status, folder }) => [status, folder !== null])).toEqual([
    ['failed', false],
    ['failed', false],
    ['failed', true],
    ['failed', true],
  ]);
  expect((await readBackupHistory(rig.database.db, { asOf: null, aheadMs: 0 })).since).toHaveLength(4);
});

test('processes that were killed while they verified leave no more than two either', async () => {
  for (const text of ['one', 'two', 'three', 'four']) {
    await remember(rig, text);
    const stop = new AbortController();
    const hold = rig.races.hold('backup:verifying');
    const taking = rig.backups.take({ trigger: 'due', force: false, signal: stop.signal, onProgress: () => undefined });
    await hold.reached;
    stop.abort(new Error('the daemon stops'));
    hold.release();
    await expect(taking).rejects.toThrow('the daemon stops');
    leaveAlone();
  }
  expect(await standings()).toEqual(['unverified', 'unverified', 'unverified']);
  await taken();
  expect(await standings()).toEqual(['verified', 'unverified', 'unverified']);
});

describe('what was verified once', () => {
  test('stays through failures whatever has become of its files, and goes by its age', async () => {
    const once: StoredBackup[] = [];
    for (let taking = 0; taking < 4; taking += 1) once.unshift(await taken());
    for (const backup of once) truncateSync(pathOf(backup, 'digests.copy.gz'), 10);
    leaveAlone();
    rig.failure = differs;
    await expect(taken()).rejects.toThrow(BackupUnverifiedError);
    const names = (await rig.backups.list()).map(({ name }) => name);
    expect(names.slice(1)).toEqual(once.map(({ name }) => name));
    rig.failure = null;
    const backups = rig.with({ keep: 2 });
    await taken(backups);
    leaveAlone();
    expect((await rig.backups.list()).map(({ name }) => name)).toEqual(expect.arrayContaining(names));
    const last = await taken(backups);
    const [newest, second, ...others] = await rig.backups.list();
    expect([newest, second?.standing, others.map(({ name }) => name)]).toEqual([last, 'verified', names.slice(0, 1)]);
  });

  test('and of which a verification then says that it is damaged, or differs: neither does it go for that', async () => {
    const first = await taken();
    rig.failure = differs;
    await expect(rig.backups.verify({ name: first.name, ...work })).rejects.toThrow(BackupUnverifiedError);
    for (const _ of ['one', 'two', 'three']) {
      leaveAlone();
      await expect(taken()).rejects.toThrow(BackupUnverifiedError);
    }
    expect(await standings()).toEqual(['damaged', 'damaged', 'damaged']);
    expect((await rig.backups.list()).at(-1)).toMatchObject({ name: first.name, verifiedAt: null });
    rig.failure = null;
    await rig.backups.verify({ name: first.name, ...work });
    expect(readdirSync(pathOf(first)).filter((name) => /verified|problem/.test(name))).toEqual(['verified.json']);
  });

  test('on a disk that takes no mark of the damage', async () => {
    const first = await taken();
    const files = {
      ...nodeFiles,
      create: (path: string) => Promise.reject(Object.assign(new Error(`ENOSPC: ${path}`), { code: 'ENOSPC' })),
    };
    rig.failure = differs;
    await expect(rig.with({ files }).verify({ name: first.name, ...work })).rejects.toThrow(BackupUnverifiedError);
    expect(await rig.backups.list()).toMatchObject([{ standing: 'unverified', verifiedAt: null }]);
    for (const _ of ['one', 'two', 'three']) {
      leaveAlone();
      await expect(taken()).rejects.toThrow(BackupUnverifiedError);
    }
    expect(await standings()).toEqual(['damaged', 'damaged', 'unverified']);
  });
});

test('an old one that somebody is copying there stays until he is done, and it stands', async () => {
  const kept = await taken();
  const elsewhere = join(rig.directory, '..', 'elsewhere');
  cpSync(pathOf(kept), elsewhere, { recursive: true });
  const old = { ...kept, name: `2020-01-01T00-00-00Z-${kept.name.slice(-8)}` };
  await taken();
  leaveAlone();
  // The manifest came first, and keeps its time, as those of most files so far.
  mkdirSync(pathOf(old));
  const manifest = pathOf(old, 'manifest.json');
  cpSync(join(elsewhere, 'manifest.json'), manifest);
  utimesSync(manifest, 0, 0);
  rig.failure = differs;
  await expect(taken()).rejects.toThrow(BackupUnverifiedError);
  rig.failure = null;
  await taken(rig.with({ clock: daysLater(3) }));
  expect(rig.names()).toContain(old.name);
  cpSync(elsewhere, pathOf(old), { recursive: true });
  rmSync(elsewhere, { recursive: true });
  expect((await rig.backups.list()).find(({ name }) => name === old.name)).toEqual(old);
});

describe('what PostgreSQL takes', () => {
  test('an id that is of no version is backed up, found by the search, and in the log once it is forgotten', async () => {
    const { db } = rig.database;
    const { rows } = await db.query<{ id: string }>(
      `insert into engram.memories (bank_id, id, text) values ('bank-1', md5('x1')::uuid, 'zyxwvut4711 is here') returning id`,
    );
    const { manifest } = await taken();
    expect(manifest?.probe?.hits.map(({ id }) => id)).toContain(rows[0]?.id);
    await db.query(
      `insert into engram.erasures (bank_id, memory_id, observation_ids) values ('bank-1', md5('x1')::uuid, '{}')`,
    );
    await syncErasures(db, rig.directory);
    expect((await readErasures(rig.directory)).erasures.map(({ memoryId }) => memoryId)).toContain(rows[0]?.id);
    expect(await syncErasures(db, rig.directory)).toBe(0);
    await db.query(`delete from engram.erasures where memory_id = md5('x1')::uuid`);
    await db.query(`delete from engram.memories where id = md5('x1')::uuid`);
  });

  test('a sequence that is far on', async () => {
    const { db } = rig.database;
    const { rows } = await db.query<{ value: string }>('select last_value::text as value from engram.events_id_seq');
    await db.query(`select setval('engram.events_id_seq', 9223372036854775807)::text`);
    const { manifest, standing } = await taken();
    await db.query(`select setval('engram.events_id_seq', $1::bigint)::text`, [rows[0]?.value]);
    expect(standing).toBe('verified');
    expect(manifest?.sequences).toContainEqual({ name: 'events_id_seq', lastValue: '9223372036854775807' });
  });
});

test('a manifest that nobody could read again is not written', async () => {
  const { manifest } = await taken();
  if (!manifest) throw new Error('no manifest');
  const { checksum: _, ...body } = manifest;
  const part = join(rig.directory, uuid());
  mkdirSync(part);
  await expect(writeManifest(nodeFiles, part, { ...body, epoch: 2 ** 60 })).rejects.toThrow(
    /a fault of engramd.*epoch/s,
  );
});
