import { randomBytes } from 'node:crypto';
import { databaseUrl } from '../db/database-url.ts';
import { type DirectSession, openDirectSession, quoteName } from '../db/direct-session.ts';
import { startThrowAwayCluster, type ThrowAwayClusterOptions } from '../db/embedded/throw-away-cluster.ts';
import { sqlState } from '../db/errors.ts';
import type { Clock } from '../telemetry/clock.ts';
import { EngramdError, errorMessage } from '../telemetry/engramd-error.ts';
import type { Log } from '../telemetry/log.ts';

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
  try {
    const place = await placeOf(session);
    await dropLeftovers(session, place, log);
    const made = place.mayCreate ? await createBeside(session, place, options) : place.refusal;
    if (typeof made !== 'string') return made;
    refusal = made;
  } finally {
    await session.close().catch(() => undefined);
  }
  log.info({ why: refusal }, 'the backup is verified on an embedded PostgreSQL');
  return openEmbedded(options, refusal);
}

/** Where a database would be made, and like what. */
interface Place {
  readonly mayCreate: boolean;
  readonly refusal: string;
  /** Told apart by the database that it is for: several of one server may be at it. */
  readonly prefix: string;
  readonly encoding: string;
  readonly provider: 'b' | 'c' | 'i';
  readonly collate: string;
  readonly ctype: string;
  /** Of ICU or the builtin provider. */
  readonly locale: string | null;
}

async function placeOf(session: DirectSession): Promise<Place> {
  // Indexes pg_roles by name, pg_database by name. The locale's column has another name before 17.
  const { rows } = await session.query<Omit<Place, 'refusal' | 'prefix'> & { role: string; oid: string }>(
    `select r.rolcreatedb or r.rolsuper as "mayCreate", quote_ident(current_user) as role, d.oid::text as oid,
       pg_encoding_to_char(d.encoding) as encoding, d.datlocprovider as provider, d.datcollate as "collate",
       d.datctype as ctype, coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale') as locale
     from pg_roles r, pg_database d where r.rolname = current_user and d.datname = current_database()`,
  );
  const [row] = rows;
  if (!row) throw new Error('the server answered a query for one row with none');
  const { role, oid, ...place } = row;
  return {
    ...place,
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

/** @returns why it cannot be, where that is a matter of rights */
async function createBeside(
  session: DirectSession,
  place: Place,
  options: ThrowAwayOptions,
): Promise<ThrowAwayDatabase | string> {
  const name = `${place.prefix}${randomBytes(4).toString('hex')}`;
  const connectionString = databaseUrl(options.connectionString, name);
  const drop = () => dropDatabase(options.connectionString, name);
  try {
    await session.query(`create database ${quoteName(name)} template template0 ${likeness(place)}`);
  } catch (thrown) {
    if (sqlState(thrown) === '42501') return errorMessage(thrown);
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

/** The encoding, and what folds case and sorts: unique indexes rest on it. */
function likeness({ encoding, provider, collate, ctype, locale }: Place): string {
  const common = `encoding ${literal(encoding)} lc_collate ${literal(collate)} lc_ctype ${literal(ctype)}`;
  switch (provider) {
    case 'c':
      return `${common} locale_provider libc`;
    case 'i':
      return `${common} locale_provider icu icu_locale ${literal(locale ?? '')}`;
    case 'b':
      return `${common} locale_provider builtin builtin_locale ${literal(locale ?? '')}`;
    default:
      return provider satisfies never;
  }
}

/** Names of locales and encodings, as the catalog has them; no parameter may stand in such a statement. */
const literal = (text: string) => `'${text.replaceAll("'", "''")}'`;

/** On a connection of its own: a verification may take longer than an idle one is let live. */
async function dropDatabase(connectionString: string, name: string): Promise<void> {
  const session = await openDirectSession({ connectionString, applicationName: 'engramd verification' });
  try {
    await session.query(`drop database if exists ${quoteName(name)} with (force)`);
  } finally {
    await session.close().catch(() => undefined);
  }
}

async function openEmbedded(options: ThrowAwayOptions, refusal: string): Promise<ThrowAwayDatabase> {
  const { log, clock, signal, startCluster = startThrowAwayCluster } = options;
  try {
    const cluster = await startCluster({ log, clock, signal });
    return { connectionString: cluster.connectionString, where: 'embedded', drop: () => cluster.remove() };
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
