import type { Queryable } from '../db/database.ts';
import { type DirectSession, openDirectSession, quoteName } from '../db/direct-session.ts';
import { explainDatabaseError } from '../db/errors.ts';
import { type Migration, migrationLockKey } from '../db/migrate.ts';
import { type StoreUser, tryHoldStore, whoSharesStore } from '../db/store-lock.ts';
import type { Erasure } from '../store/erasures-due.ts';
import type { Racepoints } from '../telemetry/racepoints.ts';
import { RestoreRefusedError } from './backup-errors.ts';
import { holdBackupLock } from './backup-lock.ts';
import type { OnProgress } from './backup-store.ts';
import { assertCanGiveBack, giveBack } from './belongings.ts';
import { keptTables } from './kept-tables.ts';
import { assertNotNewer, bringToNewest, loadBackup } from './load-backup.ts';
import type { Manifest } from './manifest.ts';
import { settleRestored } from './restored-store.ts';
import { checkFiles } from './table-files.ts';
import { dropStore, keepAside, lockStore, ownNames, readTarget, type TargetStore } from './target-store.ts';

export interface RestoreOptions {
  /** Of the server itself, past a pooler: locks of the session hold whoever works on the store off. */
  readonly connectionString: string;
  readonly folder: string;
  /** Its checksum holds. */
  readonly manifest: Manifest;
  /** Puts it in the place of what is there. */
  readonly replace: boolean;
  /** The log beside the backups; the target's own are taken along as well. */
  readonly erasures: readonly Erasure[];
  /** Whose the tables are to be where there are none yet: the role of the pool. Null: of whoever restores. */
  readonly owner: string | null;
  /** Of this build, all of them. */
  readonly migrations: readonly Migration[];
  /** Deletes the jobs of our queues, where there are any: they are about what is there no more. */
  readonly emptyQueues: (tx: Queryable) => Promise<number>;
  readonly racepoints: Racepoints;
  /** How long whoever is at work on a table may take to come to an end; default 30 s. */
  readonly lockWaitMs?: number;
  readonly signal: AbortSignal;
  readonly onProgress: OnProgress;
}

export interface RestoreReport {
  /** Of the store from now on. */
  readonly epoch: number;
  readonly rows: number;
  /** What was there before. */
  readonly replaced: { readonly banks: number; readonly memories: number };
  /** Forgotten after the backup was taken: to be erased again before anybody is answered. */
  readonly erasuresDue: number;
  readonly jobsDeleted: number;
  /** Sequences of the target that had run too far to go on from there: they go on from the backup. */
  readonly sequencesLeft: readonly string[];
}

const longestLockWaitMs = 30_000;

/**
 * Puts a backup in the place of the store, in one transaction: until its commit, and after any failure, the target is as
 * it was. Every file is read and compared with the manifest before anything is touched.
 *
 * @throws BackupDamagedError, BackupNewerError, RestoreRefusedError, BackupBusyError, errors of the server, the reason of
 *   the signal
 */
export async function restoreStore(options: RestoreOptions): Promise<RestoreReport> {
  const { folder, manifest, migrations, signal, onProgress } = options;
  assertNotNewer(manifest, migrations);
  await checkFiles({ folder, manifest }, signal, ({ name }) =>
    onProgress({ phase: 'restore', table: name, rows: 0, totalRows: null }),
  );
  const session = await openDirectSession({
    connectionString: options.connectionString,
    applicationName: 'engramd restore',
  }).catch((thrown) => {
    throw explainDatabaseError(thrown);
  });
  const end = () => void session.close().catch(() => undefined);
  try {
    signal.throwIfAborted();
    signal.addEventListener('abort', end, { once: true });
    return await restoreAlone(session, options, () => signal.removeEventListener('abort', end));
  } catch (thrown) {
    signal.throwIfAborted();
    throw explainDatabaseError(thrown);
  } finally {
    signal.removeEventListener('abort', end);
    await session.close().catch(() => undefined);
  }
}

/** @param commits called before the commit, which nothing calls off any more */
async function restoreAlone(
  session: DirectSession,
  options: RestoreOptions,
  commits: () => void,
): Promise<RestoreReport> {
  const { folder, manifest, migrations, racepoints, signal, onProgress } = options;
  // A statement that nobody waits for any more ends, and its locks with it. Not every system can tell.
  await session.query("set client_connection_check_interval = '1s'").catch(() => undefined);
  await holdBackupLock(session);
  if (!(await tryHoldStore(session))) throw inUse(await whoSharesStore(session));

  await session.query('begin');
  await session.query("set local lock_timeout = '60s'");
  await session.query('select pg_advisory_xact_lock($1)', [migrationLockKey]);
  const lockWaitMs = options.lockWaitMs ?? longestLockWaitMs;
  const found = await readTarget(session, migrations, options.owner);
  if (!options.replace) assertEmpty(found);
  await assertCanGiveBack(session, found.belongings);
  await lockStore(session, lockWaitMs);
  // Once more: whoever was at writing has come to an end, and may have forgotten something.
  const target = await readTarget(session, migrations, options.owner);
  if (!options.replace) assertEmpty(target);
  await keepAside(session, target, { newest: migrations.length, snapshotAt: manifest.snapshotAt });
  await dropStore(session, target, { migrations, lockWaitMs });
  await loadBackup(session, { folder, manifest }, { migrations, signal, onProgress });
  await bringToNewest(session, manifest, migrations);
  await racepoints.reach('restore:loaded', { folder });

  const settled = await settleRestored(session, target, { manifest, erasures: options.erasures });
  await giveBack(session, ownNames(migrations), target.belongings);
  const jobsDeleted = await options.emptyQueues(session);
  // The first searches would otherwise be planned as for empty tables.
  for (const table of keptTables) await session.query(`analyze engram.${quoteName(table)}`);
  await session.query("select pg_notify('engramd_life', 'restored')");
  await racepoints.reach('restore:before-commit', { folder });
  signal.throwIfAborted();
  commits();
  await session.query('commit');
  await racepoints.reach('restore:committed', { folder });
  return {
    ...settled,
    rows: manifest.tables.reduce((sum, { rows }) => sum + rows, 0),
    replaced: { banks: target.banks, memories: target.memories },
    jobsDeleted,
  };
}

function inUse(users: readonly StoreUser[]): RestoreRefusedError {
  const named = users.map(
    ({ applicationName, address, pid }) =>
      `${applicationName || 'a connection'} from ${address ?? 'this machine'} (backend ${pid})`,
  );
  return new RestoreRefusedError(
    `the database is at work: ${named.join(', ') || 'somebody came and went'}. Stop every engramd that uses it, then restore; nothing was changed`,
  );
}

function assertEmpty({ banks, memories }: TargetStore): void {
  if (banks === 0 && memories === 0) return;
  throw new RestoreRefusedError(
    `the database holds ${count(memories, 'memory', 'memories')} in ${count(banks, 'bank', 'banks')}, and a restore takes their place: ` +
      'say --replace if that is meant, or restore into an empty database; nothing was changed',
  );
}

function count(number: number, one: string, many: string): string {
  return `${number} ${number === 1 ? one : many}`;
}
