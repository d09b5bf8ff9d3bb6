import { randomBytes } from 'node:crypto';
import { databaseUrl } from '../db/database-url.ts';
import { type DirectSession, openDirectSession, quoteName } from '../db/direct-session.ts';
import { startThrowAwayCluster, type ThrowAwayClusterOptions } from '../db/embedded/throw-away-cluster.ts';
import { sqlState } from '../db/errors.ts';
import type { Clock } from '../telemetry/clock.ts';
import { EngramdError, errorMessage } from '../telemetry/engramd-error.ts';
import type { Log } from '../telemetry/log.ts';
import { type DatabaseLocale, likeness, readLocale } from './locale.ts';

/** The server allows no further database, and this machine runs no PostgreSQL of its own. */
export class NowhereToVerifyError extends EngramdError {
  readonly code = 'BACKUP_NOWHERE_TO_VERIFY';
}

/** A database that nobody knows of and nobody misses. */
export interface ThrowAwayDatabase {
  readonly connectionString: string;
  /** On the server that was backed up, or on one that was started for this. */
  readonly where: 'server' | 'embedded';
  drop(): Promise<void>;
}

export interface ThrowAwayOptions {
  /** Of the server itself, past a pooler. */
  readonly connectionString: string;
  readonly log: Log;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Of the database that was backed up: unique indexes rest on it. Undefined: of the one that is there now. */
  readonly locale: DatabaseLocale | undefined;
  readonly startCluster?: (options: ThrowAwayClusterOptions) => ReturnType<typeof startThrowAwayCluster>;
}

const namePrefix = 'engramd_verify_';

/**
 * Beside the database itself where its role may make one, else on a server of our own. Under the lock of backups, which is
 * one for each database: what is there by its number was left by processes that died, and goes first.
 *
 * @throws NowhereToVerifyError, errors of the server
 */
export async function openThrowAway(options: ThrowAwayOptions): Promise<ThrowAwayDatabase> {
  const { log } = options;
  const session = await openDirectSession({
    connectionString: options.connectionString,
    applicationName: 'engramd verification',
  });
  let refusal: string;
  let locale: DatabaseLocale;
  try {
    const place = await placeOf(session);
    await dropLeftovers(session, place, log);
    locale = options.locale ?? (await readLocale(session));
    const made = place.mayCreate ? await createBeside(session, place, { ...options, locale }) : place.refusal;
    if (typeof made !== 'string') return made;
    refusal = made;
  } finally {
    await session.close().catch(() => undefined);
  }
  log.info({ why: refusal }, 'the backup is verified on an embedded PostgreSQL');
  return openEmbedded({ ...options, locale }, refusal);
}

/** Where a database would be made. */
interface Place {
  readonly mayCreate: boolean;
  readonly refusal: string;
  /** Told apart by the database that it is for: several of one server may be at it. */
  readonly prefix: string;
}

async function placeOf(session: DirectSession): Promise<Place> {
  // Indexes pg_roles by name, pg_database by name.
  const { rows } = await session.query<{ mayCreate: boolean; role: string; oid: string }>(
    `select r.rolcreatedb or r.rolsuper as "mayCreate", quote_ident(current_user) as role, d.oid::text as oid
     from pg_roles r, pg_database d where r.rolname = current_user and d.datname = current_database()`,
  );
  const [row] = rows;
  if (!row) throw new Error('the server answered a query for one row with none');
  const { role, oid, mayCreate } = row;
  return {
    mayCreate,
    refusal: `the role ${role} may not make a database (ALTER ROLE ${role} CREATEDB)`,
    prefix: `${namePrefix}${oid}_`,
  };
}

async function dropLeftovers(session: DirectSession, place: Place, log: Log): Promise<void> {
  // A handful of databases.
  const { rows } = await session.query<{ name: string }>(
    `select datname as name from pg_database where starts_with(datname, $1) and pg_has_role(datdba, 'USAGE')`,
    [place.prefix],
  );
  for (const { name } of rows) {
    log.info({ database: name }, 'dropping the database of a verification that was killed');
    await session.query(`drop database if exists ${quoteName(name)} with (force)`);
  }
}

/** The locale is of another machine, or of another build of PostgreSQL. */
const statesOfNoLocale = ['42809', '42P17', '42601', '22023', '0A000'];

/** @returns why it cannot be, where that is a matter of rights, or of locales that this server does not have */
async function createBeside(
  session: DirectSession,
  place: Place,
  options: ThrowAwayOptions & { readonly locale: DatabaseLocale },
): Promise<ThrowAwayDatabase | string> {
  const name = `${place.prefix}${randomBytes(4).toString('hex')}`;
  const connectionString = databaseUrl(options.connectionString, name);
  const drop = () => dropDatabase(options.connectionString, name);
  try {
    await session.query(`create database ${quoteName(name)} template template0 ${likeness(options.locale)}`);
  } catch (thrown) {
    if (['42501', ...statesOfNoLocale].includes(sqlState(thrown) ?? '')) return errorMessage(thrown);
    throw thrown;
  }
  try {
    const there = await openDirectSession({ connectionString, applicationName: 'engramd verification' });
    await there.close();
    return { connectionString, where: 'server', drop };
  } catch (thrown) {
    await drop();
    // pg_hba.conf may well let a role into one database and no other.
    if (sqlState(thrown)?.startsWith('28')) return errorMessage(thrown);
    throw thrown;
  }
}

/** On a connection of its own: a verification may take longer than an idle one is let live. */
async function dropDatabase(connectionString: string, name: string): Promise<void> {
  const session = await openDirectSession({ connectionString, applicationName: 'engramd verification' });
  try {
    await session.query(`drop database if exists ${quoteName(name)} with (force)`);
  } finally {
    await session.close().catch(() => undefined);
  }
}

async function openEmbedded(
  options: ThrowAwayOptions & { readonly locale: DatabaseLocale },
  refusal: string,
): Promise<ThrowAwayDatabase> {
  const { log, clock, signal, locale, startCluster = startThrowAwayCluster } = options;
  try {
    const cluster = await startCluster({ log, clock, signal });
    try {
      const connectionString = await createInside(cluster.connectionString, locale, log);
      return { connectionString, where: 'embedded', drop: () => cluster.remove() };
    } catch (thrown) {
      await cluster.remove();
      throw thrown;
    }
  } catch (cause) {
    signal.throwIfAborted();
    if (!(cause instanceof EngramdError)) throw cause;
    throw new NowhereToVerifyError(
      `there is nowhere to restore the backup to: ${refusal}, and no embedded PostgreSQL starts here (${errorMessage(cause)}). ` +
        'Give the role that right, or let an embedded PostgreSQL run here; the backup is kept, unverified',
      { cause },
    );
  }
}

/** In a cluster of our own. What it has no locale for is restored all the same: most of it fits any. */
async function createInside(connectionString: string, locale: DatabaseLocale, log: Log): Promise<string> {
  const session = await openDirectSession({ connectionString, applicationName: 'engramd verification' });
  const name = `${namePrefix}alike`;
  try {
    await session.query(`create database ${quoteName(name)} template template0 ${likeness(locale)}`);
    return databaseUrl(connectionString, name);
  } catch (thrown) {
    if (!statesOfNoLocale.includes(sqlState(thrown) ?? '')) throw thrown;
    log.warn(
      { locale, error: errorMessage(thrown) },
      'the embedded PostgreSQL has no such locale: the backup is verified in one that may tell letters apart otherwise',
    );
    return connectionString;
  } finally {
    await session.close().catch(() => undefined);
  }
}
