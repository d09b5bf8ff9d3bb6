import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Config } from '../config/schema.ts';
import { createDatabase, type Database } from '../db/database.ts';
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../db/embedded/embedded-postgres.ts';
import { connectionUrl, databaseName, embeddedLayout } from '../db/embedded/layout.ts';
import { type Migration, type MigrationReport, migrate, readMigrations } from '../db/migrate.ts';
import type { Clock } from '../telemetry/clock.ts';
import type { Log } from '../telemetry/log.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { prepareDataDir } from './data-dir.ts';
import { acquireInstanceLock } from './instance-lock.ts';
import type { Releasers } from './releasers.ts';
import { stopBoundsMs } from './stop-bounds.ts';

/** A daemon waits this long for a command at work in its data directory, and one command for another. */
const lockWaitMs = 60_000;

export interface OpenDatabaseOptions {
  readonly config: Config;
  readonly role: 'daemon' | 'cli';
  readonly log: Log;
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly random?: (() => number) | undefined;
  /** Takes what was acquired, so that a start that fails half-way gives it back too. */
  readonly releasers: Releasers;
  /** Ends the start between two steps. */
  readonly signal?: AbortSignal | undefined;
  /** For the embedded server only, e.g. `{ fsync: 'off' }`. */
  readonly extraServerSettings?: Readonly<Record<string, string>> | undefined;
}

export interface OpenDatabase {
  readonly db: Database;
  /** Undefined where DATABASE_URL names a server. */
  readonly embedded: EmbeddedPostgres | undefined;
  /** As the pool uses it. */
  readonly connectionString: string;
}

/**
 * Data directory, instance lock, server, pool. Nothing has been asked of the database yet.
 *
 * A command on DATABASE_URL touches no data directory: it may run as anybody, beside a daemon.
 */
export async function openDatabase(options: OpenDatabaseOptions): Promise<OpenDatabase> {
  const { config, role, log, clock, metrics, releasers, signal } = options;
  const { databaseUrl } = config;
  if (role === 'daemon' || databaseUrl === undefined) {
    const dataDir = prepareDataDir(config.dataDir);
    const lock = await acquireInstanceLock({ dataDir, role, waitMs: lockWaitMs, clock, signal });
    releasers.add('instance lock', stopBoundsMs.lock, () => lock.release());
    if (lock.takenOverFrom) log.warn({ died: lock.takenOverFrom }, 'the last engramd here ended without a stop');
  }
  signal?.throwIfAborted();

  let embedded: EmbeddedPostgres | undefined;
  if (databaseUrl === undefined) {
    const { dataDir } = config;
    const extraSettings = options.extraServerSettings ?? {};
    const started = await startEmbeddedPostgres({ dataDir, log, clock, signal, extraSettings });
    releasers.add('embedded database', stopBoundsMs.embeddedDatabase, () => started.stop());
    embedded = started;
  }
  signal?.throwIfAborted();

  const connectionString = databaseUrl ?? embedded?.connectionString ?? '';
  const db = createDatabase({
    connectionString,
    poolMax: config.dbPoolMax,
    applicationName: `engramd ${role}`,
    log,
    clock,
    metrics,
    ...(options.random && { random: options.random }),
  });
  releasers.add('connection pool', stopBoundsMs.pool, () => db.close());
  return { db, embedded, connectionString };
}

/**
 * The database of a daemon that runs, beside it: for looking, not for working. On the embedded server that takes a user
 * who may read its password.
 */
export function openBesideDaemon(
  options: Omit<OpenDatabaseOptions, 'role' | 'signal'>,
): Pick<OpenDatabase, 'db' | 'connectionString'> {
  const { config, log, clock, metrics, releasers } = options;
  const connectionString = config.databaseUrl ?? embeddedConnectionString(config.dataDir);
  const db = createDatabase({
    connectionString,
    poolMax: 1,
    applicationName: 'engramd cli',
    log,
    clock,
    metrics,
  });
  releasers.add('connection pool', stopBoundsMs.pool, () => db.close());
  return { db, connectionString };
}

function embeddedConnectionString(dataDir: string): string {
  const layout = embeddedLayout(dataDir);
  return connectionUrl(layout, readFileSync(layout.passwordFile, 'utf8').trim(), databaseName);
}

/** The same distance from src/daemon and dist/daemon: the build copies the files along. */
const migrationsFolder = fileURLToPath(new URL('../store/migrations', import.meta.url));

/** Those of this build, all of them. */
export function storeMigrations(): Promise<Migration[]> {
  return readMigrations(migrationsFolder);
}

/** Brings the database to the schema of this build. */
export async function migrateDatabase(db: Database): Promise<MigrationReport> {
  return migrate(db, await storeMigrations());
}

/** The schema version that this build brings. */
export async function newestSchema(): Promise<number> {
  return (await storeMigrations()).length;
}
