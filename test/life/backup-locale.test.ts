import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { v7 as uuid } from 'uuid';
import { afterAll, beforeAll, beforeEach, describe, expect, inject, test } from 'vitest';
import { BackupDamagedError, BackupLocaleError } from '../../src/backup/backup-errors.ts';
import type { DatabaseLocale } from '../../src/backup/locale.ts';
import { readManifest } from '../../src/backup/stored-backups.ts';
import type { ThrowAwayOptions } from '../../src/backup/throwaway-database.ts';
import { databaseUrl } from '../../src/db/database-url.ts';
import { startThrowAwayCluster } from '../../src/db/embedded/throw-away-cluster.ts';
import { applyMigrations, createMigrationsTable } from '../../src/db/migrate.ts';
import {
  contentsOf,
  migrations,
  onSession,
  restore,
  rewriteManifest,
  type TakenBackup,
  takeBackup,
  verify,
} from '../backup/backup-bench.ts';
import { withAdmin } from '../support/admin-connection.ts';
import { createScratchFolder, removeScratchFolder } from '../support/scratch-folder.ts';
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts';

/** A store in a database to which Ö and ö are two letters, as lc_ctype C has it, and its backups elsewhere. */

const name = `locale_${process.pid}_${Date.now()}`;
const role = `${name}_plain`;
const byteByByte: DatabaseLocale = { encoding: 'UTF8', provider: 'c', collate: 'C', ctype: 'C', locale: null };
let url: string;
let folder: string;
let original: TakenBackup;
/** A copy, to be written over. */
let backup: TakenBackup;
let copies = 0;
/** Where letters are those of Unicode. */
let unicode: TestDatabase;

beforeAll(async () => {
  await withAdmin(inject('postgres').adminUrl, async (admin) => {
    await admin.query(
      `create database ${name} template template0 encoding 'UTF8' lc_collate 'C' lc_ctype 'C' locale_provider libc`,
    );
    await admin.query(`create role ${role} login password 'plain'`);
    url = admin.urlOf(name);
  });
  await onSession(url, async (session) => {
    await session.query('begin');
    await createMigrationsTable(session);
    await applyMigrations(session, migrations);
    await session.query('commit');
    await session.query(`insert into engram.banks (id) values ('b')`);
    for (const entity of ['Österreich', 'österreich']) {
      await session.query(`insert into engram.entities (bank_id, id, name) values ('b', $1, $2)`, [uuid(), entity]);
    }
    for (const text of ['ÖSTERREICHISCHE Post', 'österreichische Bahn', 'österreichische Post']) {
      await session.query(`insert into engram.memories (bank_id, id, text) values ('b', $1, $2)`, [uuid(), text]);
    }
  });
  folder = createScratchFolder();
  original = await takeBackup(url, folder);
  unicode = await createTestDatabase();
});
afterAll(async () => {
  removeScratchFolder(folder);
  await unicode.drop();
  await withAdmin(inject('postgres').adminUrl, async (admin) => {
    await admin.query(`drop database ${name} with (force)`);
    await admin.query(`drop role ${role}`);
  });
});
beforeEach(() => {
  copies += 1;
  const copy = join(folder, `copy-${copies}`);
  cpSync(original.folder, copy, { recursive: true });
  backup = { folder: copy, manifest: original.manifest };
});

/** Of a role that may make no database. */
function plainUrl(connectionString: string): string {
  const plain = new URL(connectionString);
  [plain.username, plain.password] = [role, 'plain'];
  return plain.href;
}

/** An embedded PostgreSQL, and the databases that were in it. */
function embedded(): { startCluster: NonNullable<ThrowAwayOptions['startCluster']>; databases: string[] } {
  const databases: string[] = [];
  return {
    databases,
    async startCluster(options) {
      const parent = createScratchFolder();
      const cluster = await startThrowAwayCluster({ ...options, parent });
      return {
        ...cluster,
        async remove() {
          const { rows } = await onSession(databaseUrl(cluster.connectionString, 'postgres'), (session) =>
            session.query<{ found: string }>(
              `select concat_ws(' ', datname, datlocprovider, datctype) as found from pg_database
               where not datistemplate and datname <> 'postgres' order by 1`,
            ),
          );
          databases.push(...rows.map(({ found }) => found));
          await cluster.remove();
          removeScratchFolder(parent);
        },
      };
    },
  };
}

const failureOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => expect.unreachable('it should have failed'),
    (thrown: unknown) => thrown,
  );

test('a manifest tells the locale, and one that does not is read as well', async () => {
  expect(backup.manifest.locale).toEqual(byteByByte);
  expect((await readManifest(backup.folder)).locale).toEqual(byteByByte);
  const { locale: _, ...manifest } = backup.manifest;
  const first = rewriteManifest({ folder: backup.folder, manifest }, {});
  expect(await readManifest(first.folder)).toEqual(first.manifest);
  await verify(first, { connectionString: url });
});

describe('a verification', () => {
  test('on an embedded PostgreSQL happens in a database like the one that was backed up', async () => {
    const { startCluster, databases } = embedded();
    await verify(backup, { connectionString: plainUrl(url), startCluster });
    expect(databases).toEqual(['engramd b C', 'engramd_verify_alike c C']);
  });

  test('beside a database of another locale does so too', async () => {
    await verify(backup, { connectionString: unicode.connectionString });
  });

  test('where no server has that locale tells what it can: rows and not what a search finds', async () => {
    const { probe } = backup.manifest;
    expect(probe?.hits).not.toEqual([]);
    // In which there is nothing to be found.
    const small = await takeBackup(unicode.connectionString, join(folder, `unicode-${copies}`));
    const locale: DatabaseLocale = { ...byteByByte, ctype: 'xx_XX.UTF-8', collate: 'xx_XX.UTF-8' };
    const { startCluster, databases } = embedded();
    const elsewhere = rewriteManifest(small, { locale, probe });
    await verify(elsewhere, { connectionString: unicode.connectionString, startCluster });
    expect(databases).toEqual(['engramd b C']);
    // Of this one the names do not fit: no damage, and no word of one beside it.
    const failure = await failureOf(
      verify(rewriteManifest(backup, { locale }), { connectionString: url, startCluster: embedded().startCluster }),
    );
    expect(failure).toBeInstanceOf(BackupLocaleError);
  });
});

describe('a restore to a database of another locale', () => {
  test('that takes two names for one says so, names both and changes nothing', async () => {
    const before = await contentsOf(unicode.connectionString);
    const failure = await failureOf(restore(backup, { connectionString: unicode.connectionString }));
    expect(failure).toBeInstanceOf(BackupLocaleError);
    expect(failure).toMatchObject({ code: 'BACKUP_LOCALE', exitCode: 4 });
    expect(String(failure)).toMatch(
      /by lc_ctype C \(libc, UTF8\), and this one does by .+: .*entities_name.*no damage of the backup/,
    );
    expect(String(failure)).toContain(
      `(CREATE DATABASE … TEMPLATE template0 encoding 'UTF8' lc_collate 'C' lc_ctype 'C' locale_provider libc)`,
    );
    expect(await contentsOf(unicode.connectionString)).toEqual(before);
  });

  test('is still damaged where the rows fit nowhere', async () => {
    const tables = backup.manifest.tables.filter((table) => table.name !== 'banks' && table.name !== 'entities');
    const failure = await failureOf(
      restore(rewriteManifest(backup, { tables }), { connectionString: unicode.connectionString }),
    );
    expect(failure).toBeInstanceOf(BackupDamagedError);
  });
});
