import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { EngramdError, errorMessage } from '../telemetry/engramd-error.ts';
import type { Database, Queryable, Tx } from './database.ts';
import {
  DatabaseNewerError,
  DatabaseReadOnlyError,
  DatabaseTooOldError,
  explainDatabaseError,
  MigrationChangedError,
  MigrationFailedError,
} from './errors.ts';

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
 * @throws DatabaseUnreachableError, DatabaseRefusedError, DatabaseTooOldError, DatabaseReadOnlyError,
 *   DatabasePrivilegeError, DatabaseNewerError, MigrationChangedError, MigrationFailedError
 */
export async function migrate(db: Database, migrations: readonly Migration[]): Promise<MigrationReport> {
  let server: ServerFacts | undefined;
  let current: string | undefined;
  try {
    server = await readServerFacts(db);
    assertServer(server);
    return await db.tx({ label: 'migrate' }, (tx) =>
      migrateLocked(tx, migrations, (name) => {
        current = name;
      }),
    );
  } catch (thrown) {
    const explained = explainDatabaseError(thrown, server && grantAdvice(server));
    if (explained instanceof EngramdError || current === undefined) throw explained;
    throw new MigrationFailedError(`migration ${current} failed: ${errorMessage(thrown)}`, { cause: thrown });
  }
}

/** The version the database is at; 0 when engramd has never been here. */
export async function schemaVersion(db: Database): Promise<number> {
  const { rows } = await db.query<{ present: boolean }>(
    "select to_regclass('engram.migrations') is not null as present",
  );
  if (!rows[0]?.present) return 0;
  const { rows: versions } = await db.query<{ version: number }>(
    'select coalesce(max(version), 0)::int as version from engram.migrations',
  );
  return versions[0]?.version ?? 0;
}

/** What a server said of itself and of us. Names come quoted, to be pasted. */
export interface ServerFacts {
  /** As in server_version_num: 150018. */
  readonly version: number;
  readonly versionText: string;
  readonly isReadOnly: boolean;
  readonly database: string;
  readonly role: string;
  readonly canCreate: boolean;
  /** Who owns the schema engram, where that is neither us nor a role that we are a member of. */
  readonly foreignOwner: string | null;
}

async function readServerFacts(db: Database): Promise<ServerFacts> {
  // Index: pg_namespace_nspname_index.
  const { rows } = await db.query<ServerFacts>(
    `select current_setting('server_version_num')::int as version, current_setting('server_version') as "versionText",
       pg_is_in_recovery() or current_setting('transaction_read_only') = 'on' as "isReadOnly",
       quote_ident(current_database()) as database, quote_ident(current_user) as role,
       has_database_privilege(current_database(), 'CREATE') as "canCreate",
       (select quote_ident(pg_get_userbyid(nspowner)) from pg_namespace
        where nspname = 'engram' and not pg_has_role(nspowner, 'USAGE')) as "foreignOwner"`,
  );
  const server = rows[0];
  if (!server) throw new Error('the server answered a query for one row with none');
  return server;
}

/** @throws DatabaseTooOldError, DatabaseReadOnlyError */
export function assertServer(server: Pick<ServerFacts, 'version' | 'versionText' | 'isReadOnly'>): void {
  if (server.version < oldestServerVersion) {
    throw new DatabaseTooOldError(`DATABASE_URL points to PostgreSQL ${server.versionText}; engramd needs 15 or newer`);
  }
  if (server.isReadOnly) {
    throw new DatabaseReadOnlyError(
      'DATABASE_URL points to a read-only database (a standby, or default_transaction_read_only is on); engramd needs to write',
    );
  }
}

function grantAdvice(server: ServerFacts): string | undefined {
  const { database, role, foreignOwner } = server;
  if (foreignOwner !== null) return `The schema engram belongs to ${foreignOwner}: GRANT ${foreignOwner} TO ${role}`;
  if (!server.canCreate) return `engramd makes its schemas itself: GRANT CREATE ON DATABASE ${database} TO ${role}`;
  return undefined;
}

/** Tells `starts` the name of each migration before it runs. */
async function migrateLocked(
  tx: Tx,
  migrations: readonly Migration[],
  starts: (name: string) => void,
): Promise<MigrationReport> {
  // Whoever has the lock may be at DDL on a big table, which may well take longer than a transaction of ours ever should.
  await tx.query('SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0');
  await tx.query('select pg_advisory_xact_lock($1)', [migrationLockKey]);
  await tx.query("SET LOCAL lock_timeout = '60s'");
  const { rows } = await tx.query<{ present: boolean }>(
    "select to_regclass('engram.migrations') is not null as present",
  );
  if (!rows[0]?.present) await createMigrationsTable(tx);
  const done = await tx.query<{ version: number; checksum: string }>(
    'select version, checksum from engram.migrations order by version',
  );
  const newest = migrations.at(-1)?.version ?? 0;
  const current = done.rows.at(-1)?.version ?? 0;
  if (current > newest) {
    throw new DatabaseNewerError(
      `the database of DATABASE_URL is at schema version ${current}, this engramd knows ${newest}: it was migrated by a newer engramd; upgrade this one`,
    );
  }
  for (const migration of migrations.filter(({ version }) => version <= current)) {
    const row = done.rows.find(({ version }) => version === migration.version);
    if (migration.checksum !== row?.checksum) {
      throw new MigrationChangedError(
        row
          ? `migration ${migration.name} was applied to the database of DATABASE_URL from another text than this engramd has`
          : `migration ${migration.name} was left out in the database of DATABASE_URL, which is at version ${current}`,
      );
    }
  }
  const due = migrations.filter(({ version }) => version > current);
  await applyMigrations(tx, due, starts);
  return { applied: due.map(({ name }) => name), version: newest };
}

/**
 * Carries these out one after the other, in the transaction of the caller, who holds {@link migrationLockKey} and knows
 * that they are what comes next there. Where there is no schema yet, {@link createMigrationsTable} comes before them.
 */
export async function applyMigrations(
  tx: Queryable,
  migrations: readonly Migration[],
  starts: (name: string) => void = () => undefined,
): Promise<void> {
  for (const migration of migrations) {
    starts(migration.name);
    await tx.query(migration.sql);
    await tx.query('insert into engram.migrations (version, name, checksum) values ($1, $2, $3)', [
      migration.version,
      migration.name,
      migration.checksum,
    ]);
  }
}

/** And the schema, unless it is there. */
export async function createMigrationsTable(tx: Queryable): Promise<void> {
  // Not IF NOT EXISTS: that asks for CREATE on the database even where somebody has made the schema for us.
  const { rows } = await tx.query<{ present: boolean }>("select to_regnamespace('engram') is not null as present");
  if (!rows[0]?.present) await tx.query('create schema engram');
  await tx.query(
    `create table engram.migrations (
       version integer primary key,
       name text not null,
       checksum text not null,
       applied_at timestamptz not null default now()
     )`,
  );
}
