import { randomUUID } from 'node:crypto';
import { existsSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import {
  BackupBusyError,
  BackupDamagedError,
  BackupNewerError,
  BackupNotFoundError,
  BackupStorageError,
  BackupUnverifiedError,
} from '../../src/backup/backup-errors.ts';
import { holdBackupLock } from '../../src/backup/backup-lock.ts';
import type { StoredBackup } from '../../src/backup/backup-store.ts';
import { openDumpThread } from '../../src/backup/dump-thread.ts';
import { keptTables } from '../../src/backup/kept-tables.ts';
import { originTag } from '../../src/backup/ownership.ts';
import { openDirectSession } from '../../src/db/direct-session.ts';
import { DatabaseUnreachableError } from '../../src/db/errors.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { withAdmin } from '../support/admin-connection.ts';
import { type BackupsRig, createBackupsRig, differs, remember, work } from './backups-rig.ts';

let rig: BackupsRig;
beforeAll(async () => {
  rig = await createBackupsRig();
});
beforeEach(() => rig.reset());
afterAll(() => rig.close());

async function taken(): Promise<StoredBackup> {
  const outcome = await rig.take();
  if (outcome.kind !== 'verified') throw new Error(`the backup came to ${outcome.kind}`);
  return outcome.backup;
}

const pathOf = (backup: StoredBackup, file = '') => join(rig.directory, backup.name, file);

describe('taking one', () => {
  test('writes every kept table, the manifest and the mark of its verification', async () => {
    const { name, manifest, ...backup } = await taken();
    expect(name).toMatch(/^\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ-[0-9a-f]{8}$/);
    expect(backup).toMatchObject({ standing: 'verified', problem: null, verifiedAt: expect.any(Date) });
    expect(manifest?.tables.map((table) => table.name)).toEqual([...keptTables]);
    expect(manifest?.tables.find((table) => table.name === 'memories')?.rows).toBe(20);
    expect(manifest?.probe?.hits.length).toBeGreaterThan(0);
    expect(manifest?.sequences.map((sequence) => sequence.name)).toContain('events_id_seq');
    expect(rig.names()).toEqual([name]);
    expect(await rig.rows()).toEqual([{ status: 'verified', folder: name, error_code: null }]);
    expect(await rig.backups.list()).toEqual([{ name, manifest, ...backup }]);
    const { rows } = await rig.database.db.query('select bytes::float8 from engram.backups');
    expect(rows, 'status and list tell one size').toEqual([{ bytes: backup.bytes }]);
  });

  test('in a thread of its own it comes to the same', async () => {
    const here = await taken();
    const outcome = await rig.with({ openDump: openDumpThread }).take({ trigger: 'asked', force: true, ...work });
    if (outcome.kind !== 'verified') throw new Error(outcome.kind);
    expect(outcome.backup.manifest?.tables).toEqual(here.manifest?.tables);
    expect(outcome.backup.manifest?.probe).toEqual(here.manifest?.probe);
  });

  test('errors keep what they are on their way from the thread', async () => {
    const session = await openDirectSession({
      connectionString: rig.database.connectionString,
      applicationName: 'test',
    });
    await holdBackupLock(session);
    await expect(rig.take(rig.with({ openDump: openDumpThread }))).rejects.toThrow(BackupBusyError);
    await session.close();
    const elsewhere = rig.with({ openDump: openDumpThread, connectionString: 'postgres://nobody@127.0.0.1:1/none' });
    await expect(rig.take(elsewhere)).rejects.toThrow(DatabaseUnreachableError);
  });

  test('reports what it is at', async () => {
    const seen = new Set<string | null>();
    await rig.backups.take({
      trigger: 'asked',
      force: false,
      signal: work.signal,
      onProgress: ({ phase, table }) => seen.add(`${phase} ${table}`),
    });
    expect([...seen]).toEqual(keptTables.map((table) => `write ${table}`));
  });

  test('keeps as many verified ones as are to be kept, and the files of others go', async () => {
    const backups = rig.with({ keep: 2 });
    const names: string[] = [];
    for (const text of ['one', 'two', 'three']) {
      await remember(rig, text);
      const outcome = await rig.take(backups);
      if (outcome.kind !== 'verified') throw new Error(outcome.kind);
      names.push(outcome.backup.name);
      expect(outcome.pruned).toEqual(text === 'three' ? [names[0]] : []);
    }
    expect(rig.names()).toEqual(names.slice(1));
    expect((await rig.rows()).map(({ status }) => status)).toEqual(['pruned', 'verified', 'verified']);
  });

  test('a failed verification prunes nothing, and leaves the backup with what was found', async () => {
    const first = await taken();
    await remember(rig, 'more');
    const second = await taken();
    await remember(rig, 'still more');
    rig.failure = differs;
    await expect(rig.take(rig.with({ keep: 1 }))).rejects.toThrow(BackupUnverifiedError);
    const [bad, ...good] = await rig.backups.list();
    expect(good).toEqual([second, first]);
    expect(bad).toMatchObject({ standing: 'damaged', problem: differs.message, verifiedAt: null });
    expect((await rig.rows()).at(-1)).toMatchObject({ status: 'failed', error_code: 'BACKUP_UNVERIFIED' });
  });

  test('one backup at a time: another process is told so, and no row or failure is counted', async () => {
    const hold = rig.races.hold('backup:snapshot-taken');
    const metrics = createMetrics();
    const backups = rig.with({ metrics });
    const first = rig.take(backups);
    await hold.reached;
    await expect(rig.take(backups)).rejects.toThrow(BackupBusyError);
    await expect(rig.backups.verify({ name: null, ...work })).rejects.toThrow(BackupBusyError);
    hold.release();
    await first;
    expect(await rig.rows()).toHaveLength(1);
    await expect(metrics.backups.get()).resolves.toMatchObject({
      values: [{ labels: { outcome: 'verified' }, value: 1 }],
    });
  });

  test('a stop ends it at once, and leaves nothing behind', async () => {
    const stop = new AbortController();
    const hold = rig.races.hold('backup:table-written', ({ table }) => table === 'memories');
    const taking = rig.backups.take({ trigger: 'due', force: false, signal: stop.signal, onProgress: work.onProgress });
    await hold.reached;
    stop.abort(new Error('the daemon stops'));
    hold.release();
    await expect(taking).rejects.toThrow('the daemon stops');
    expect(rig.names()).toEqual([]);
    expect(await rig.rows()).toMatchObject([{ status: 'failed', error_code: 'ABORTED' }]);
    expect((await taken()).standing).toBe('verified');
  });

  test('a connection that is lost during the verification ends it: the lock is gone', async () => {
    const hold = rig.races.hold('backup:verifying');
    const failed = expect(
      rig.take(
        rig.with({
          verify: async (_folder, _manifest, { signal }) => {
            await rig.races.reach('backup:verifying');
            await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
          },
        }),
      ),
    ).rejects.toThrow(DatabaseUnreachableError);
    await hold.reached;
    hold.release();
    await withAdmin(rig.database.connectionString, (admin) =>
      admin.query(`select pg_terminate_backend(pid) from pg_stat_activity
          where application_name = 'engramd backup' and datname = current_database()`),
    );
    await failed;
    expect(await rig.rows()).toMatchObject([{ status: 'failed', error_code: 'DATABASE_UNREACHABLE' }]);
    expect((await rig.backups.list()).map(({ standing }) => standing)).toEqual(['unverified']);
  });

  test('the erasure log is brought up to date before the snapshot', async () => {
    const order: string[] = [];
    rig.races.at('backup:snapshot-taken', () => void order.push('snapshot'));
    await rig.take(rig.with({ syncErasures: async () => void order.push('erasures') }));
    expect(order).toEqual(['erasures', 'snapshot']);
  });

  test('what killed processes left goes with the next one, in the folder and in the rows', async () => {
    const first = await taken();
    await rig.database.db.query(
      `insert into engram.backups (id, instance_id, host, trigger, status)
       select gen_random_uuid(), instance_id, host, 'due', 'running' from engram.backups`,
    );
    const { store, origin } = first;
    if (store === null || origin === null) throw new Error('it does not say whose it is');
    const theirs = originTag({ ...origin, clusterId: '1' });
    const another = [`.part-${randomUUID()}-${originTag(origin)}`, `.part-${store}-${theirs}`].map(
      (prefix) => `${prefix}-2026-01-01T00-00-00Z-01234567`,
    );
    for (const prefix of [`.part-${store}-${originTag(origin)}`, `.gone-${store}-${originTag(origin)}`]) {
      writeFileSync(join(rig.directory, `${prefix}-2026-01-01T00-00-00Z-01234567`), 'left');
    }
    for (const name of another) writeFileSync(join(rig.directory, name), 'a process of another database is at it');
    await remember(rig, 'more');
    const second = await taken();
    expect(rig.names()).toEqual([...another.toSorted(), first.name, second.name]);
    expect((await rig.rows()).map(({ error_code }) => error_code)).toEqual([null, 'INTERRUPTED', null]);
  });
});

describe('a directory that cannot be used: its setting is named, nothing is left, the old ones stand', () => {
  test('a file has its place', async () => {
    writeFileSync(rig.directory, 'a file');
    await expect(rig.take()).rejects.toThrow(BackupStorageError);
    await expect(rig.take()).rejects.toThrow(/is not a directory.*ENGRAMD_BACKUP_DIR/);
    await expect(rig.backups.list()).rejects.toThrow(BackupStorageError);
    expect(readFileSync(rig.directory, 'utf8')).toBe('a file');
    expect(await rig.rows()).toMatchObject([{ error_code: 'BACKUP_STORAGE' }, { error_code: 'BACKUP_STORAGE' }]);
    rmSync(rig.directory);
  });

  test('there is none yet', async () => {
    expect(await rig.backups.list()).toEqual([]);
    await expect(rig.backups.verify({ name: null, ...work })).rejects.toThrow(BackupNotFoundError);
  });
});

describe('damage', () => {
  const damages = {
    'a truncated file': (backup: StoredBackup) => truncateSync(pathOf(backup, 'memories.copy.gz'), 40),
    'a missing file': (backup: StoredBackup) => rmSync(pathOf(backup, 'events.copy.gz')),
    'no manifest': (backup: StoredBackup) => rmSync(pathOf(backup, 'manifest.json')),
    'a manifest that is none': (backup: StoredBackup) => writeFileSync(pathOf(backup, 'manifest.json'), '{"format": 1'),
    'a manifest that was altered': (backup: StoredBackup) =>
      editManifest(backup, (text) => text.replace('"rows": 20,', '"rows": 21,')),
  };
  const problems: Record<keyof typeof damages, RegExp> = {
    'a truncated file': /memories\.copy\.gz .* truncated: 40 bytes instead of \d+/,
    'a missing file': /events\.copy\.gz .* missing/,
    'no manifest': /has no manifest/,
    'a manifest that is none': /it is not one/,
    'a manifest that was altered': /altered: its checksum/,
  };

  function editManifest(backup: StoredBackup, edit: (text: string) => string): void {
    const path = pathOf(backup, 'manifest.json');
    writeFileSync(path, edit(readFileSync(path, 'utf8')));
  }

  test.for(Object.keys(damages) as (keyof typeof damages)[])(
    '%s: listed with its problem, and verified no more',
    async (kind) => {
      const backup = await taken();
      damages[kind](backup);
      const [listed] = await rig.backups.list();
      expect(listed).toMatchObject({ name: backup.name, standing: 'damaged', manifest: null, verifiedAt: null });
      expect(listed?.problem).toMatch(problems[kind]);
      await expect(rig.backups.verify({ name: backup.name, ...work })).rejects.toThrow(BackupDamagedError);
      expect(existsSync(pathOf(backup, 'verified.json'))).toBe(false);
    },
  );

  test('a flipped byte: found by verification, and from then on listed', async () => {
    const backup = await taken();
    const path = pathOf(backup, 'memories.copy.gz');
    const bytes = readFileSync(path);
    bytes.writeUInt8(bytes.readUInt8(200) ^ 1, 200);
    writeFileSync(path, bytes);
    expect((await rig.backups.list())[0]?.standing).toBe('verified');
    await expect(rig.backups.verify({ name: null, ...work })).rejects.toThrow(BackupDamagedError);
    expect(await rig.backups.list()).toMatchObject([
      { standing: 'damaged', problem: expect.stringContaining('memories.copy.gz'), verifiedAt: null },
    ]);
    expect(await rig.rows()).toMatchObject([{ status: 'failed', error_code: 'BACKUP_DAMAGED' }]);
  });

  test('of a newer engramd: said so, not called damaged, and never pruned', async () => {
    const old = await taken();
    editManifest(old, (text) => text.replace('"format": 1', '"format": 2'));
    expect(await rig.backups.list()).toMatchObject([
      { standing: 'newer', problem: expect.stringContaining('upgrade') },
    ]);
    await expect(rig.backups.verify({ name: null, ...work })).rejects.toThrow(BackupNewerError);
    await remember(rig, 'more');
    await rig.take(rig.with({ keep: 1 }));
    expect((await rig.backups.list()).map(({ standing }) => standing)).toEqual(['verified', 'newer']);
  });
});

describe('verifying again', () => {
  test('a backup that failed and is good now is verified, and says nothing of the failure', async () => {
    rig.failure = differs;
    await expect(rig.take()).rejects.toThrow();
    rig.failure = null;
    const [failed] = await rig.backups.list();
    const verified = await rig.backups.verify({ name: failed?.name ?? '', ...work });
    expect(verified).toMatchObject({ name: failed?.name, standing: 'verified', problem: null });
    expect(await rig.rows()).toMatchObject([{ status: 'verified', error_code: null }]);
  });

  test('a name that there is not', async () => {
    await taken();
    await expect(rig.backups.verify({ name: '2020-01-01T00-00-00Z-00000000', ...work })).rejects.toThrow(
      BackupNotFoundError,
    );
  });
});
