import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Database } from '../../src/db/database.ts';
import { DatabaseNewerError, MigrationChangedError, MigrationFailedError } from '../../src/db/errors.ts';
import { type Migration, migrate, migrationLockKey, readMigrations, schemaVersion } from '../../src/db/migrate.ts';
import { createScratchFolder, removeScratchFolder } from '../support/scratch-folder.ts';
import { type BlankDatabase, createBlankDatabase } from './blank-database.ts';

const migrationsFolder = new URL('../../src/store/migrations', import.meta.url).pathname;

let blank: BlankDatabase;
let db: Database;
let folder: string;
beforeEach(async () => {
  folder = createScratchFolder();
  blank = await createBlankDatabase();
  db = blank.open();
});
afterEach(async () => {
  removeScratchFolder(folder);
  await blank.drop();
});

/** Migrations from files of these texts, numbered from 1. */
function migrationsOf(...texts: string[]): Promise<Migration[]> {
  for (const [index, text] of texts.entries()) writeFileSync(join(folder, `000${index + 1}-step.sql`), text);
  return readMigrations(folder);
}

const failureOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => expect.unreachable('it should have failed'),
    (thrown: unknown) => thrown,
  );

async function tables(): Promise<string[]> {
  const { rows } = await db.query<{ name: string }>(
    "select schemaname || '.' || tablename as name from pg_tables where schemaname in ('engram', 'public') order by name",
  );
  return rows.map(({ name }) => name);
}

const history = async () => (await db.query('select *, xmin::text from engram.migrations order by version')).rows;

describe('the migrations of this build', () => {
  test('make the schema in an empty database, once', async () => {
    const migrations = await readMigrations(migrationsFolder);
    const names = migrations.map(({ name }) => name);
    expect(await schemaVersion(db)).toBe(0);
    expect(await migrate(db, migrations)).toEqual({ applied: names, version: names.length });
    expect(await schemaVersion(db)).toBe(names.length);
    expect(await tables()).toEqual(expect.arrayContaining(['engram.banks', 'engram.memories', 'engram.observations']));
    expect((await history()).map(({ name, checksum }) => ({ name, checksum }))).toEqual(
      migrations.map(({ name, checksum }) => ({ name, checksum })),
    );

    const [tablesBefore, historyBefore] = [await tables(), await history()];
    expect(await migrate(db, migrations)).toEqual({ applied: [], version: names.length });
    expect(await tables()).toEqual(tablesBefore);
    expect(await history()).toEqual(historyBefore);
  });

  test('run by two daemons at once are applied by one of them; the other waits and does nothing', async () => {
    const migrations = await readMigrations(migrationsFolder);
    const others = [blank.open(), blank.open()];
    const release = Promise.withResolvers<void>();
    const held = Promise.withResolvers<void>();
    const holder = db.tx({ label: 'hold' }, async (tx) => {
      await tx.query('select pg_advisory_xact_lock($1)', [migrationLockKey]);
      held.resolve();
      await release.promise;
    });
    await held.promise;
    const both = Promise.all(others.map((other) => migrate(other, migrations)));
    const waiting = `select from pg_locks where locktype = 'advisory' and not granted
      and database = (select oid from pg_database where datname = current_database())`;
    try {
      await expect.poll(async () => (await db.query(waiting)).rowCount).toBe(2);
    } finally {
      release.resolve();
    }
    await holder;
    const names = migrations.map(({ name }) => name);
    expect((await both).map(({ applied }) => applied).sort((a, b) => a.length - b.length)).toEqual([[], names]);
    expect(await history()).toHaveLength(names.length);
  });
});

describe('a database', () => {
  test('is taken from any version to the newest', async () => {
    expect(await migrate(db, await migrationsOf('create table public.first ()'))).toMatchObject({ version: 1 });
    const more = await migrationsOf(
      'create table public.first ()',
      'create table public.second ()',
      'create table public.third ()',
    );
    expect(await migrate(db, more)).toEqual({ applied: ['0002-step.sql', '0003-step.sql'], version: 3 });
    expect(await tables()).toEqual(['engram.migrations', 'public.first', 'public.second', 'public.third']);
  });

  test('whose schema somebody has made beforehand is taken as well', async () => {
    await db.query('create schema engram');
    expect(await migrate(db, await migrationsOf('create table engram.first ()'))).toMatchObject({ version: 1 });
  });

  test('of a newer engramd is left alone', async () => {
    const migrations = await migrationsOf('create table public.first ()', 'create table public.second ()');
    await migrate(db, migrations);
    const before = await history();
    const failure = await failureOf(migrate(db, migrations.slice(0, 1)));
    expect(failure).toBeInstanceOf(DatabaseNewerError);
    expect(failure).toMatchObject({ code: 'DATABASE_NEWER', exitCode: 2, retryable: false });
    expect(String(failure)).toMatch(/DATABASE_URL is at schema version 2, this engramd knows 1.*upgrade/);
    expect(await history()).toEqual(before);
    expect(await schemaVersion(db)).toBe(2);
  });

  test('migrated from another text is left alone', async () => {
    await migrate(db, await migrationsOf('create table public.first ()'));
    const changed = await migrationsOf('create table public.first (n int)', 'create table public.second ()');
    const failure = await failureOf(migrate(db, changed));
    expect(failure).toBeInstanceOf(MigrationChangedError);
    expect(failure).toMatchObject({ code: 'MIGRATION_CHANGED', exitCode: 2, retryable: false });
    expect(String(failure)).toContain('0001-step.sql was applied');
    expect(await tables()).toEqual(['engram.migrations', 'public.first']);
  });

  test('in which a migration is missing between others is left alone', async () => {
    const migrations = await migrationsOf('create table public.first ()', 'create table public.second ()');
    await migrate(db, migrations);
    await db.query('delete from engram.migrations where version = 1');
    const failure = await failureOf(
      migrate(
        db,
        await migrationsOf(
          'create table public.first ()',
          'create table public.second ()',
          'create table public.third ()',
        ),
      ),
    );
    expect(failure).toBeInstanceOf(MigrationChangedError);
    expect(String(failure)).toContain('0001-step.sql was left out');
    expect(await tables()).toEqual(['engram.migrations', 'public.first', 'public.second']);
  });
});

describe('a migration that fails', () => {
  test('leaves nothing behind, is named, and can be tried again', async () => {
    const bad = await migrationsOf('create table public.first ()', 'create table public.second (); select 1 / 0');
    const failure = await failureOf(migrate(db, bad));
    expect(failure).toBeInstanceOf(MigrationFailedError);
    expect(failure).toMatchObject({
      code: 'MIGRATION_FAILED',
      exitCode: 1,
      message: 'migration 0002-step.sql failed: division by zero',
    });
    expect(await tables()).toEqual([]);
    expect((await db.query("select to_regnamespace('engram') as schema")).rows).toEqual([{ schema: null }]);

    const good = await migrationsOf('create table public.first ()', 'create table public.second ()');
    expect(await migrate(db, good)).toMatchObject({ version: 2 });
  });

  test('leaves what earlier calls have done', async () => {
    await migrate(db, await migrationsOf('create table public.first ()'));
    const before = await history();
    await failureOf(
      migrate(db, await migrationsOf('create table public.first ()', 'create table public.second (); select 1 / 0')),
    );
    expect(await tables()).toEqual(['engram.migrations', 'public.first']);
    expect(await history()).toEqual(before);
  });

  test('because it met another transaction is tried again', async () => {
    await db.query('create sequence public.tries');
    const migrations = await migrationsOf(`do $$ begin
        if nextval('public.tries') < 3 then raise exception 'met' using errcode = '40P01'; end if;
      end $$; create table public.first ()`);
    expect(await migrate(db, migrations)).toEqual({ applied: ['0001-step.sql'], version: 1 });
    expect(await tables()).toEqual(['engram.migrations', 'public.first']);
  });
});

test('a migration may take as long as it takes, but waits a minute at most for a lock', async () => {
  const show = (name: string) => `insert into public.seen values ('${name}', current_setting('${name}'))`;
  await migrate(
    db,
    await migrationsOf(
      `create table public.seen (name text, value text); ${show('statement_timeout')}; ${show('lock_timeout')}`,
    ),
  );
  const { rows } = await db.query('select * from public.seen');
  expect(rows).toEqual([
    { name: 'statement_timeout', value: '0' },
    { name: 'lock_timeout', value: '1min' },
  ]);
});

describe('the files', () => {
  const write = (name: string, text = 'select 1') => writeFileSync(join(folder, name), text);

  test('are read in order, whatever else lies there', async () => {
    for (const name of ['0002-b.sql', 'README.md', '0001-a.sql', '0010-not-sql.txt']) write(name);
    const migrations = await readMigrations(folder);
    expect(migrations.map(({ version, name }) => ({ version, name }))).toEqual([
      { version: 1, name: '0001-a.sql' },
      { version: 2, name: '0002-b.sql' },
    ]);
  });

  test.each([
    ['a gap', ['0001-a.sql', '0003-c.sql'], /0003-c\.sql should carry the number 2/],
    ['a number used twice', ['0001-a.sql', '0001-b.sql'], /0001-b\.sql should carry the number 2/],
    ['a start above 1', ['0002-a.sql'], /0002-a\.sql should carry the number 1/],
    ['no number', ['0001-a.sql', 'later.sql'], /later\.sql should carry the number 2/],
    ['a number of another length', ['0001-a.sql', '2-b.sql'], /2-b\.sql should carry the number 2/],
  ])('with %s are refused', async (_, names, reason) => {
    for (const name of names) write(name);
    await expect(readMigrations(folder)).rejects.toThrow(reason);
  });

  test('have the same checksum whatever git makes of their line ends, and another for any other change', async () => {
    const checksumOf = async (text: string) => {
      write('0001-a.sql', text);
      return (await readMigrations(folder))[0]?.checksum;
    };
    const plain = await checksumOf('select 1;\nselect 2;\n');
    expect(plain).toMatch(/^[0-9a-f]{64}$/);
    expect(await checksumOf('select 1;\r\nselect 2;\r\n')).toBe(plain);
    expect(await checksumOf('select 1;\nselect 3;\n')).not.toBe(plain);
    expect(await checksumOf('select 1;\nselect 2; \n')).not.toBe(plain);
  });
});
