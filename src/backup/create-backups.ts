import { join } from 'node:path';
import type { Database } from '../db/database.ts';
import { explainDatabaseError, isConnectionFailure } from '../db/errors.ts';
import {
  type BackupTrigger,
  failInterruptedBackups,
  insertBackup,
  knowsVerifiedBackup,
  noteBackupFailed,
  noteBackupPruned,
  noteBackupUnchanged,
  noteBackupVerified,
  noteBackupWritten,
} from '../store/backup-rows.ts';
import { hasChangedSince } from '../store/changed-since.ts';
import { EngramdError, errorMessage } from '../telemetry/engramd-error.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { BackupBusyError, BackupDamagedError, BackupStorageError, BackupUnverifiedError } from './backup-errors.ts';
import { type BackupFiles, guardFiles, nodeFiles } from './backup-files.ts';
import { markProblem, markVerified, removeBackup, removeLeftovers } from './backup-folder.ts';
import type { BackupOutcome, Backups, OnProgress, StoredBackup, VerifyBackup } from './backup-store.ts';
import { type Dump, type OpenDump, openDump as openDumpHere } from './dump.ts';
import { openDumpThread } from './dump-thread.ts';
import { backupsToPrune } from './retention.ts';
import { findBackup, listBackups, readManifest } from './stored-backups.ts';
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
  const { db, directory, clock, log, metrics, racepoints } = deps;
  const files = guardFiles(deps.files ?? nodeFiles, directory);
  const openDump = deps.openDump ?? openDumpThread;
  const connection = { connectionString: deps.connectionString, directory };

  /** Works under the lock, until the signal or the loss of the connection ends it. */
  async function underLock<T>(dump: Dump, signal: AbortSignal, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const end = () => void dump.close();
    signal.addEventListener('abort', end, { once: true });
    try {
      signal.throwIfAborted();
      await dump.lock();
      return await work(AbortSignal.any([signal, dump.lost]));
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

  /** The newest verified backup, where it holds all there is. */
  async function unchangedSince(): Promise<Date | null> {
    const newest = (await listBackups(directory)).find(({ standing }) => standing === 'verified');
    if (!newest?.manifest || !(await knowsVerifiedBackup(db, newest.manifest.id))) return null;
    const { seenXid, epoch, tables, snapshotAt } = newest.manifest;
    const banks = tables.find(({ name }) => name === 'banks')?.rows ?? 0;
    return (await hasChangedSince(db, { seenXid, epoch, banks })) ? null : new Date(snapshotAt);
  }

  /** @throws what the verification throws; damage and differences are also noted beside the files */
  async function verifyFolder(folder: string, work: Work): Promise<string> {
    try {
      const manifest = await readManifest(folder);
      await timed('verify', () => deps.verify(folder, manifest, work));
      await markVerified(files, folder, clock.now());
      return manifest.id;
    } catch (thrown) {
      if (thrown instanceof BackupDamagedError || thrown instanceof BackupUnverifiedError) {
        const problem = { code: thrown.code, message: thrown.message, foundAt: clock.now() };
        await markProblem(files, folder, problem).catch((error) =>
          log.warn({ error: errorMessage(error), folder }, 'a damaged backup could not be marked'),
        );
      }
      throw thrown;
    }
  }

  /** What cannot be removed stays for the next time: the new backup is none the worse. */
  async function prune(): Promise<string[]> {
    const pruned: string[] = [];
    try {
      for (const name of backupsToPrune(await listBackups(directory), deps)) {
        await removeBackup(files, directory, name);
        pruned.push(name);
        await noteBackupPruned(db, deps.host, name);
        await racepoints.reach('backup:pruned-one', { name });
      }
    } catch (thrown) {
      log.warn({ error: errorMessage(thrown) }, 'an old backup could not be removed');
    }
    return pruned;
  }

  async function takeLocked(dump: Dump, id: string, force: boolean, work: Work): Promise<BackupOutcome> {
    await files.makeFolder(directory);
    await removeLeftovers(files, directory);
    await deps.syncErasures();
    const since = force ? null : await unchangedSince();
    if (since) {
      await noteBackupUnchanged(db, id);
      return { kind: 'unchanged', since };
    }
    const { name, folder, manifest } = await timed('write', () =>
      writeBackup({ ...deps, files }, dump, { id, ...work }),
    );
    const rows = manifest.tables.reduce((sum, table) => sum + table.rows, 0);
    const bytes = manifest.tables.reduce((sum, table) => sum + table.fileBytes, 0);
    await noteBackupWritten(db, id, { folder: name, seenXid: manifest.seenXid, rows, bytes });
    await verifyFolder(folder, work);
    await noteBackupVerified(db, id);
    await racepoints.reach('backup:before-prune');
    const pruned = await prune();
    return { kind: 'verified', backup: await findBackup(directory, name), pruned };
  }

  async function tryTake(
    dump: Dump,
    options: { readonly trigger: BackupTrigger; readonly force: boolean; readonly signal: AbortSignal },
    work: Work,
  ): Promise<BackupOutcome> {
    await failInterruptedBackups(db);
    const id = deps.newId();
    await insertBackup(db, { id, instanceId: deps.instanceId, host: deps.host, trigger: options.trigger });
    try {
      return await takeLocked(dump, id, options.force, work);
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
        const outcome = await underLock(dump, signal, (ended) => tryTake(dump, options, { signal: ended, onProgress }));
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
      return underLock(dump, signal, async (ended): Promise<StoredBackup> => {
        const found = await findBackup(directory, name);
        const folder = join(directory, found.name);
        try {
          await noteBackupVerified(db, await verifyFolder(folder, { signal: ended, onProgress }));
        } catch (thrown) {
          const isBad = thrown instanceof BackupDamagedError || thrown instanceof BackupUnverifiedError;
          if (isBad && found.manifest) {
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

function codeOf(thrown: unknown): string {
  return thrown instanceof EngramdError ? thrown.code : 'UNKNOWN';
}

/** Why a backup failed, for a label: few values, each with somebody to look into it. */
function causeOf(thrown: unknown): 'storage' | 'damaged' | 'unverified' | 'database' | 'other' {
  if (thrown instanceof BackupStorageError) return 'storage';
  if (thrown instanceof BackupDamagedError) return 'damaged';
  if (thrown instanceof BackupUnverifiedError) return 'unverified';
  return isConnectionFailure(thrown) ? 'database' : 'other';
}
