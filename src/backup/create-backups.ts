import { join } from 'node:path';
import type { Database } from '../db/database.ts';
import { explainDatabaseError, isConnectionFailure } from '../db/errors.ts';
import {
  type BackupTrigger,
  failInterruptedBackups,
  insertBackup,
  noteBackupFailed,
  noteBackupUnchanged,
  noteBackupVerified,
  noteBackupWritten,
} from '../store/backup-rows.ts';
import { readStoreId, readStoreIdentity, type StoreIdentity } from '../store/store-origin.ts';
import { EngramdError, errorMessage } from '../telemetry/engramd-error.ts';
import type { BackupFailureCause, Metrics } from '../telemetry/metrics.ts';
import { BackupBusyError, BackupDamagedError, BackupStorageError, BackupUnverifiedError } from './backup-errors.ts';
import { type BackupFiles, guardFiles, nodeFiles } from './backup-files.ts';
import { type BackupPlace, markVerified, removeLeftovers } from './backup-folder.ts';
import type { BackupOutcome, Backups, OnProgress, StoredBackup, VerifyBackup } from './backup-store.ts';
import { chooseToVerify } from './choose-backup.ts';
import { type Dump, type OpenDump, openDump as openDumpHere } from './dump.ts';
import { openDumpThread } from './dump-thread.ts';
import { noteDamage } from './note-damage.ts';
import { assertSame } from './one-database.ts';
import { pruneBackups } from './prune-backups.ts';
import { backupsToPrune, spoiledToPrune } from './retention.ts';
import { bytesIn, findBackup, listBackups, readManifest } from './stored-backups.ts';
import { unchangedSince } from './unchanged-since.ts';
import { type WriteDeps, writeBackup } from './write-backup.ts';

export interface BackupsDeps extends Omit<WriteDeps, 'files'> {
  /** Of the server itself, past any pooler. */
  readonly connectionString: string;
  /** For the rows that tell of backups. */
  readonly db: Database;
  readonly keep: number;
  readonly instanceId: string;
  readonly host: string;
  readonly metrics: Metrics;
  readonly newId: () => string;
  readonly verify: VerifyBackup;
  /** Brings the erasure log beside the backups up to date: a backup that is restored brings back what it does not name. */
  readonly syncErasures: () => Promise<void>;
  readonly files?: BackupFiles;
  readonly openDump?: OpenDump;
}

interface Work {
  readonly signal: AbortSignal;
  readonly onProgress: OnProgress;
}

export function createBackups(deps: BackupsDeps): Backups {
  const { db, directory, keep, clock, log, metrics, racepoints } = deps;
  const files = guardFiles(deps.files ?? nodeFiles, directory);
  const openDump = deps.openDump ?? openDumpThread;
  const connection = { connectionString: deps.connectionString, directory };

  /** Works under the lock, until the signal or the loss of the connection ends it. */
  async function underLock<T>(
    dump: Dump,
    signal: AbortSignal,
    work: (locked: StoreIdentity, signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const end = () => void dump.close();
    signal.addEventListener('abort', end, { once: true });
    try {
      signal.throwIfAborted();
      const locked = await dump.lock();
      return await work(locked, AbortSignal.any([signal, dump.lost]));
    } catch (thrown) {
      throw explain(thrown, dump, signal);
    } finally {
      signal.removeEventListener('abort', end);
      await dump.close();
    }
  }

  async function timed<T>(phase: 'write' | 'verify', work: () => Promise<T>): Promise<T> {
    const startedMs = clock.monotonicMs();
    const result = await work();
    metrics.backupSeconds.observe({ phase }, (clock.monotonicMs() - startedMs) / 1000);
    return result;
  }

  /** Of the one database that both connections lead to. @throws BackupElsewhereError */
  async function placeOf(locked: StoreIdentity): Promise<BackupPlace> {
    assertSame(await readStoreIdentity(db), locked);
    return { directory, store: await readStoreId(db), origin: locked.origin };
  }

  /** @throws what the verification throws; damage and differences are also noted beside the files */
  async function verifyFolder(folder: string, work: Work): Promise<string> {
    try {
      const manifest = await readManifest(folder);
      await timed('verify', () => deps.verify(folder, manifest, work));
      await markVerified(files, folder, clock.now());
      return manifest.id;
    } catch (thrown) {
      if (isBad(thrown)) await noteDamage({ files, clock, log }, folder, thrown);
      throw thrown;
    }
  }

  /** Failures night after night do not fill the disk. */
  async function pruneSpoiled(place: BackupPlace): Promise<void> {
    await pruneBackups({ ...deps, files }, place, (backups) => spoiledToPrune(backups, { ...place, now: clock.now() }));
  }

  async function prune(place: BackupPlace): Promise<string[]> {
    return pruneBackups({ ...deps, files }, place, (backups) =>
      backupsToPrune(backups, { ...place, keep, now: clock.now() }),
    );
  }

  /** A backup is none the worse for it: what the log lacks, the database has, and the next backup puts there. */
  async function syncErasures(): Promise<void> {
    await deps.syncErasures().catch((thrown) => {
      if (!(thrown instanceof BackupStorageError)) throw thrown;
      log.warn(
        { error: thrown.message },
        'the log of what was forgotten is not up to date: what is missing in it would come back with a restore of an older backup',
      );
    });
  }

  async function takeLocked(
    dump: Dump,
    locked: StoreIdentity,
    options: { readonly id: string; readonly force: boolean },
    work: Work,
  ): Promise<BackupOutcome> {
    const { id, force } = options;
    const place = await placeOf(locked);
    await files.makeFolder(directory);
    await removeLeftovers(files, place, log);
    await pruneSpoiled(place);
    await syncErasures();
    const since = force ? null : await unchangedSince({ db, files, clock, log }, place, work.signal);
    if (since) {
      await noteBackupUnchanged(db, id);
      return { kind: 'unchanged', since };
    }
    const { name, folder, manifest } = await timed('write', () =>
      writeBackup({ ...deps, files }, dump, { id, ...work }),
    );
    const rows = manifest.tables.reduce((sum, table) => sum + table.rows, 0);
    await noteBackupWritten(db, id, { folder: name, seenXid: manifest.seenXid, rows });
    try {
      await verifyFolder(folder, work);
    } catch (thrown) {
      // Without the lock, somebody else may be at one of them.
      if (!work.signal.aborted) await pruneSpoiled(place).catch(() => undefined);
      throw thrown;
    }
    await noteBackupVerified(db, id, await bytesIn(folder));
    await racepoints.reach('backup:before-prune');
    const pruned = await prune(place);
    return { kind: 'verified', backup: await findBackup(directory, name), pruned };
  }

  async function tryTake(
    dump: Dump,
    locked: StoreIdentity,
    options: { readonly trigger: BackupTrigger; readonly force: boolean; readonly signal: AbortSignal },
    work: Work,
  ): Promise<BackupOutcome> {
    await failInterruptedBackups(db);
    const id = deps.newId();
    await insertBackup(db, { id, instanceId: deps.instanceId, host: deps.host, trigger: options.trigger });
    try {
      return await takeLocked(dump, locked, { id, force: options.force }, work);
    } catch (thrown) {
      const cause = explain(thrown, dump, options.signal);
      const code = options.signal.aborted ? 'ABORTED' : codeOf(cause);
      await noteBackupFailed(db, id, { code, message: errorMessage(cause) }).catch((error) =>
        log.warn({ error: errorMessage(error) }, 'the end of a backup could not be noted'),
      );
      throw cause;
    }
  }

  return {
    async take(options) {
      const { signal, onProgress } = options;
      try {
        const dump = openDump(connection);
        const outcome = await underLock(dump, signal, (locked, ended) =>
          tryTake(dump, locked, options, { signal: ended, onProgress }),
        );
        metrics.backups.inc({ outcome: outcome.kind });
        return outcome;
      } catch (thrown) {
        if (!signal.aborted && !(thrown instanceof BackupBusyError)) {
          metrics.backups.inc({ outcome: 'failed' });
          metrics.backupFailures.inc({ cause: causeOf(thrown) });
        }
        throw thrown;
      }
    },
    list: () => listBackups(directory),
    verify({ name, signal, onProgress }) {
      const dump = openDumpHere({ ...connection, files });
      return underLock(dump, signal, async (locked, ended): Promise<StoredBackup> => {
        const place = await placeOf(locked);
        const found =
          name === null ? chooseToVerify(await listBackups(directory), place) : await findBackup(directory, name);
        const folder = join(directory, found.name);
        try {
          const id = await verifyFolder(folder, { signal: ended, onProgress });
          await noteBackupVerified(db, id, await bytesIn(folder));
        } catch (thrown) {
          if (isBad(thrown) && found.manifest) {
            await noteBackupFailed(db, found.manifest.id, { code: thrown.code, message: thrown.message });
          }
          throw thrown;
        }
        return findBackup(directory, found.name);
      });
    },
  };
}

/** Whoever is stopped says only that it was; the signal, and the connection, say why. */
function explain(thrown: unknown, dump: Dump, signal: AbortSignal): unknown {
  if (signal.aborted) return signal.reason;
  return explainDatabaseError(dump.lost.aborted && !(thrown instanceof EngramdError) ? dump.lost.reason : thrown);
}

/** It is the backup that is at fault, and not what somebody tried to read it with. */
function isBad(thrown: unknown): thrown is BackupDamagedError | BackupUnverifiedError {
  return thrown instanceof BackupDamagedError || thrown instanceof BackupUnverifiedError;
}

function codeOf(thrown: unknown): string {
  return thrown instanceof EngramdError ? thrown.code : 'UNKNOWN';
}

/** Why a backup failed, for a label: few values, each with somebody to look into it. */
function causeOf(thrown: unknown): BackupFailureCause {
  if (thrown instanceof BackupStorageError) return 'storage';
  if (thrown instanceof BackupDamagedError) return 'damaged';
  if (thrown instanceof BackupUnverifiedError) return 'unverified';
  return isConnectionFailure(thrown) ? 'database' : 'other';
}
