import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Database, Tx } from './database.ts';
import { DatabaseNewerError, DatabaseReadOnlyError, DatabaseTooOldError, explainDatabaseError, MigrationChangedError } from './errors.ts';

/** PostgreSQL 15 is the oldest server the test suite runs against. */
const oldestServerVersion = 150_000;

/** Any constant will do, as long as nobody else's advisory lock has it: "engramd" in hex. */
export const migrationLockKey = '28550363227450724';

export interface Migration {
  readonly version: number;
  readonly name: string;
  readonly sql: string;
  /** SHA-256 of the file, line ends normalised. */
  readonly checksum: string;
}

export interface MigrationReport {
  readonly applied: readonly string[];
  readonly version: number;
}

/** Reads `NNNN-name.sql` files, in order. Throws if a number is missing or double: history is a line. */
export async function readMigrations(directory: string): Promise<Migration[]> {
  const names = (await readdir(directory)).filter((name) => name.endsWith('.sql')).sort();
  return Promise.all(
    names.map(async (name, index) => {
      const version = Number(/^(\d{4})-/.exec(name)?.[1]);
      if (version !== index + 1) throw new Error(`migration ${name} should carry the number ${index + 1}`);
      const sql = (await readFile(join(directory, name), 'utf8')).replaceAll('\r\n', '\n');
      return { version, name, sql, checksum: createHash('sha256').update(sql).digest('hex') };
    }),
  );
}

/**
 * Brings the schema to the newest version of this build, or does nothing. One transaction, forward only, under a
 * transaction-level advisory lock, so that daemons that start together take turns and a pooler is no obstacle.
 *
 * @throws DatabaseTooOldError, DatabaseNewerError, DatabaseReadOnlyError, DatabasePrivilegeError, MigrationChangedError
 */
export async function migrate(db: Database, migrations: readonly Migration[]): Promise<MigrationReport> {
  try {
    await assertServer(db);
    return await db.tx({ label: 'migrate' }, (tx) => migrateLocked(tx, migrations));
  } catch (thrown) {
    throw explainDatabaseError(thrown);
  }
}

/** The version the database is at; 0 when engramd has never been here. */
export async function schemaVersion(db: Database): Promise<number> {
  const { rows } = await db.query<{ present: boolean }>("select to_regclass('engram.migrations') is not null as present");
  if (!rows[0]?.present) return 0;
  const { rows: versions } = await db.query<{ version: number }>(
    'select coalesce(max(version), 0)::int as version from engram.migrations',
  );
  return versions[0]?.version ?? 0;
}

async function assertServer(db: Database): Promise<void> {
  const { rows } = await db.query<{ version: number; text: string; readonly: string }>(
    `select current_setting('server_version_num')::int as version, current_setting('server_version') as text,
            case when pg_is_in_recovery() then 'on' else current_setting('transaction_read_only') end as readonly`,
  );
  const server = rows[0];
  if (!server || server.version < oldestServerVersion) {
    throw new DatabaseTooOldError(`DATABASE_URL points to PostgreSQL ${server?.text ?? 'unknown'}; engramd needs 15 or newer`);
  }
  if (server.readonly === 'on') {
    throw new DatabaseReadOnlyError(
      'DATABASE_URL points to a read-only database (a standby, or default_transaction_read_only is on); engramd needs to write',
    );
  }
}

async function migrateLocked(tx: Tx, migrations: readonly Migration[]): Promise<MigrationReport> {
  await tx.query('select pg_advisory_xact_lock($1)', [migrationLockKey]);
  const { rows } = await tx.query<{ present: boolean }>("select to_regclass('engram.migrations') is not null as present");
  if (!rows[0]?.present) {
    await tx.query(
      `create schema if not exists engram;
       create table engram.migrations (
         version integer primary key,
         name text not null,
         checksum text not null,
         applied_at timestamptz not null default now()
       )`,
    );
  }
  const done = await tx.query<{ version: number; checksum: string }>(
    'select version, checksum from engram.migrations order by version',
  );
  const newest = migrations.at(-1)?.version ?? 0;
  const current = done.rows.at(-1)?.version ?? 0;
  if (current > newest) {
    throw new DatabaseNewerError(
      `the database is at schema version ${current}, this engramd knows ${newest}: it was migrated by a newer engramd; upgrade this one`,
    );
  }
  for (const row of done.rows) {
    const migration = migrations.find((candidate) => candidate.version === row.version);
    if (migration?.checksum !== row.checksum) {
      throw new MigrationChangedError(`migration ${row.version} was applied from another text than this engramd has`);
    }
  }
  const applied: string[] = [];
  for (const migration of migrations.slice(done.rows.length)) {
    // DDL on a big table may well take longer than a transaction of ours ever should.
    await tx.query("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '60s'");
    await tx.query(migration.sql);
    await tx.query('insert into engram.migrations (version, name, checksum) values ($1, $2, $3)', [
      migration.version,
      migration.name,
      migration.checksum,
    ]);
    applied.push(migration.name);
  }
  return { applied, version: newest };
}
