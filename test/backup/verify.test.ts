import { cpSync, existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, inject, test } from 'vitest';
import { BackupDamagedError, BackupNewerError, BackupUnverifiedError } from '../../src/backup/backup-errors.ts';
import type { BackupProgress } from '../../src/backup/backup-store.ts';
import { keptTables } from '../../src/backup/kept-tables.ts';
import { NowhereToVerifyError } from '../../src/backup/throwaway-database.ts';
import { UnsupportedPlatformError } from '../../src/db/embedded/embedded-errors.ts';
import { withAdmin } from '../support/admin-connection.ts';
import { createRaceControl } from '../support/race-control.ts';
import { createScratchFolder, removeScratchFolder } from '../support/scratch-folder.ts';
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts';
import { alterFile, rewriteManifest, type TakenBackup, takeBackup, verify } from './backup-bench.ts';
import { seedStore } from './seeded-store.ts';

let database: TestDatabase;
let folder: string;
let original: TakenBackup;
/** A copy, to be damaged. */
let backup: TakenBackup;
let copies = 0;

beforeAll(async () => {
  database = await createTestDatabase();
  folder = createScratchFolder();
  await seedStore(database.db, { banks: 2, memories: 300 });
  original = await takeBackup(database.connectionString, folder);
});
afterAll(async () => {
  removeScratchFolder(folder);
  await database.drop();
});
beforeEach(() => {
  copies += 1;
  const copy = join(folder, `copy-${copies}`);
  cpSync(original.folder, copy, { recursive: true });
  backup = { folder: copy, manifest: original.manifest };
});

const connection = () => ({ connectionString: database.connectionString });

/** Databases of verifications that are on the server now. */
async function throwAways(): Promise<string[]> {
  const { rows } = await database.db.query<{ name: string }>(
    `select d.datname as name from pg_database d
     where starts_with(d.datname, 'engramd_verify_' || (select oid from pg_database where datname = current_database()))`,
  );
  return rows.map(({ name }) => name);
}

const failureOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => expect.unreachable('it should have failed'),
    (thrown: unknown) => thrown,
  );

test('the seeded store has something in every table that a backup holds', () => {
  expect(original.manifest.tables.filter(({ rows }) => rows === 0).map(({ name }) => name)).toEqual([]);
  expect(original.manifest.tables.map(({ name }) => name)).toEqual([...keptTables]);
});

describe('a backup', () => {
  test('that restores to what it was taken from is verified, and nothing of the throw-away database stays', async () => {
    const told: BackupProgress[] = [];
    await verify(backup, connection(), { onProgress: (progress) => told.push(progress) });
    expect(new Set(told.map(({ phase }) => phase))).toEqual(new Set(['restore', 'index', 'compare']));
    const rows = told.filter(({ phase }) => phase === 'compare').map((each) => each.rows);
    expect(rows).toEqual([...rows].sort((a, b) => a - b));
    expect(await throwAways()).toEqual([]);
  });

  test('with a file that was cut off is damaged, and which file is said', async () => {
    alterFile(backup, 'memories.copy.gz', (bytes) => bytes.subarray(0, bytes.length - 100));
    const failure = await failureOf(verify(backup, connection()));
    expect(failure).toBeInstanceOf(BackupDamagedError);
    expect(String(failure)).toMatch(/memories\.copy\.gz of the backup .* is truncated: \d+ bytes instead of \d+/);
    expect(await throwAways()).toEqual([]);
  });

  test.each([
    ['in the middle of its compressed rows', (bytes: Buffer) => bytes.length >> 1],
    ['in the time stamp of its compression, which changes no row', () => 5],
    ['in the checksum of its compression', (bytes: Buffer) => bytes.length - 6],
  ])('with a byte that was flipped %s is damaged, and which file is said', async (_, placeIn) => {
    alterFile(backup, 'observations.copy.gz', (bytes) => {
      const place = placeIn(bytes);
      bytes[place] = (bytes[place] ?? 0) ^ 1;
      return bytes;
    });
    const failure = await failureOf(verify(backup, connection()));
    expect(failure).toBeInstanceOf(BackupDamagedError);
    expect(String(failure)).toMatch(/observations\.copy\.gz of the backup .* was altered: its SHA-256 does not fit/);
    expect(await throwAways()).toEqual([]);
  });

  test('without one of its files is damaged, and which file is said', async () => {
    rmSync(join(backup.folder, 'events.copy.gz'));
    const failure = await failureOf(verify(backup, connection()));
    expect(failure).toBeInstanceOf(BackupDamagedError);
    expect(String(failure)).toMatch(/events\.copy\.gz of the backup .* is missing/);
  });

  test('of a newer engramd is refused before anything is made for it', async () => {
    const newer = rewriteManifest(backup, { schema: 99, engramd: '9.9.9' });
    const failure = await failureOf(verify(newer, { connectionString: 'postgresql://nobody@127.0.0.1:1/none' }));
    expect(failure).toBeInstanceOf(BackupNewerError);
    expect(String(failure)).toMatch(/has schema version 99, this engramd knows \d+: engramd 9\.9\.9 wrote it; upgrade/);
  });

  test('whose rows come back with another content is unverified, and the table is named', async () => {
    const tables = backup.manifest.tables.map((table) =>
      table.name === 'scopes' ? { ...table, contentHash: '0'.repeat(64) } : table,
    );
    const failure = await failureOf(verify(rewriteManifest(backup, { tables }), connection()));
    expect(failure).toBeInstanceOf(BackupUnverifiedError);
    expect(String(failure)).toContain('rows of scopes came back with another content');
  });

  test('of which fewer rows come back is unverified, and says how many', async () => {
    const tables = backup.manifest.tables.map((table) =>
      table.name === 'memories' ? { ...table, rows: table.rows + 1 } : table,
    );
    const failure = await failureOf(verify(rewriteManifest(backup, { tables }), connection()));
    expect(failure).toBeInstanceOf(BackupUnverifiedError);
    expect(String(failure)).toContain('600 rows of memories came back of 601');
  });

  test('in which a search finds something else is unverified', async () => {
    const { probe } = backup.manifest;
    expect(probe?.hits).not.toEqual([]);
    if (!probe) return;
    const failure = await failureOf(
      verify(rewriteManifest(backup, { probe: { ...probe, hits: probe.hits.slice(1) } }), connection()),
    );
    expect(failure).toBeInstanceOf(BackupUnverifiedError);
    expect(String(failure)).toContain(`a search in bank ${probe.bankId} finds`);
  });

  test('whose rows do not fit together is damaged', async () => {
    // Links whose memories are in no file.
    const tables = backup.manifest.tables.filter(({ name }) => name !== 'memories');
    const failure = await failureOf(verify(rewriteManifest(backup, { tables }), connection()));
    expect(failure).toBeInstanceOf(BackupDamagedError);
    expect(String(failure)).toMatch(/does not fit the tables of schema \d+: .*foreign key/);
  });

  test('with a table that its schema does not have is damaged', async () => {
    const tables = backup.manifest.tables.map((table) =>
      table.name === 'scopes' ? { ...table, name: 'store' } : table,
    );
    const failure = await failureOf(verify(rewriteManifest(backup, { tables }), connection()));
    expect(failure).toBeInstanceOf(BackupDamagedError);
    expect(String(failure)).toContain('is of a table that schema');
  });
});

describe('a verification', () => {
  test('that is called off ends at once and leaves no database behind', async () => {
    const races = createRaceControl();
    const stop = new AbortController();
    const hold = races.hold('backup:verifying');
    const failure = failureOf(verify(backup, { ...connection(), racepoints: races }, { signal: stop.signal }));
    await hold.reached;
    expect(await throwAways()).toHaveLength(1);
    stop.abort(new Error('called off'));
    expect(await failure).toEqual(new Error('called off'));
    hold.release();
    expect(await throwAways()).toEqual([]);
  });

  test('that is called off while rows are on their way ends as well', async () => {
    const stop = new AbortController();
    const onProgress = () => stop.abort(new Error('called off'));
    expect(await failureOf(verify(backup, connection(), { signal: stop.signal, onProgress }))).toEqual(
      new Error('called off'),
    );
    expect(await throwAways()).toEqual([]);
  });

  test('drops what one that was killed has left, and nothing of another database', async () => {
    const { rows } = await database.db.query<{ mine: string }>(
      `select 'engramd_verify_' || oid || '_dead' as mine from pg_database where datname = current_database()`,
    );
    const mine = rows[0]?.mine ?? '';
    const others = 'engramd_verify_1_alive';
    await withAdmin(inject('postgres').adminUrl, async (admin) => {
      await admin.query(`create database ${mine}`);
      await admin.query(`drop database if exists ${others}`);
      await admin.query(`create database ${others}`);
    });
    await verify(backup, connection());
    const { rows: left } = await database.db.query<{ name: string }>(
      'select datname as name from pg_database where datname = any($1)',
      [[mine, others]],
    );
    await withAdmin(inject('postgres').adminUrl, (admin) => admin.query(`drop database ${others}`));
    expect(left).toEqual([{ name: others }]);
  });

  test('where the role may make no database happens on an embedded PostgreSQL, which is gone afterwards', async () => {
    const role = `plain_${process.pid}`;
    await withAdmin(inject('postgres').adminUrl, (admin) => admin.query(`create role ${role} login password 'plain'`));
    try {
      const url = new URL(database.connectionString);
      url.username = role;
      url.password = 'plain';
      let started = 0;
      let removed = 0;
      const parent = createScratchFolder();
      const { startThrowAwayCluster } = await import('../../src/db/embedded/throw-away-cluster.ts');
      await verify(backup, {
        connectionString: url.href,
        startCluster: async (options) => {
          started += 1;
          const cluster = await startThrowAwayCluster({ ...options, parent });
          return {
            ...cluster,
            async remove() {
              await cluster.remove();
              removed += 1;
            },
          };
        },
      });
      expect([started, removed]).toEqual([1, 1]);
      expect(existsSync(parent)).toBe(true);
      removeScratchFolder(parent);

      const failure = await failureOf(
        verify(backup, {
          connectionString: url.href,
          startCluster: () => Promise.reject(new UnsupportedPlatformError('there is none for this machine')),
        }),
      );
      expect(failure).toBeInstanceOf(NowhereToVerifyError);
      expect(String(failure)).toMatch(
        new RegExp(`ALTER ROLE ${role} CREATEDB.*there is none for this machine.*kept, unverified`),
      );
    } finally {
      await withAdmin(inject('postgres').adminUrl, (admin) => admin.query(`drop role ${role}`));
    }
  });
});
