import { join } from 'node:path';
import type { Database } from '../db/database.ts';
import { noteBackupPruned } from '../store/backup-rows.ts';
import { errorMessage } from '../telemetry/engramd-error.ts';
import type { Log } from '../telemetry/log.ts';
import type { Racepoints } from '../telemetry/racepoints.ts';
import type { BackupFiles } from './backup-files.ts';
import { type BackupPlace, removeBackup } from './backup-folder.ts';
import type { StoredBackup } from './backup-store.ts';
import { type FolderFacts, readFolderFacts } from './folder-facts.ts';
import { listBackups } from './stored-backups.ts';

export interface PruneDeps {
  readonly db: Database;
  readonly files: BackupFiles;
  readonly host: string;
  readonly log: Log;
  readonly racepoints: Racepoints;
}

/**
 * Removes what may go. What cannot be removed stays for the next time, and keeps nothing else: the new backup is none the
 * worse.
 *
 * @returns names of those that went
 */
export async function pruneBackups(
  deps: PruneDeps,
  place: BackupPlace,
  choose: (backups: readonly (StoredBackup & FolderFacts)[]) => readonly string[],
): Promise<string[]> {
  const { db, files, host, log, racepoints } = deps;
  const warn = (thrown: unknown, name: string) =>
    log.warn({ name, error: errorMessage(thrown) }, 'an old backup could not be removed');
  const pruned: string[] = [];
  const backups = await listBackups(place.directory).catch((thrown) => {
    warn(thrown, place.directory);
    return [];
  });
  for (const name of choose(await withFacts(place.directory, backups))) {
    try {
      await removeBackup(files, place, name, log);
      pruned.push(name);
      await noteBackupPruned(db, host, name);
      await racepoints.reach('backup:pruned-one', { name });
    } catch (thrown) {
      warn(thrown, name);
    }
  }
  return pruned;
}

/** Without those whose folder cannot be looked at, or is gone: they stay. */
async function withFacts(directory: string, backups: readonly StoredBackup[]) {
  const looked = await Promise.all(
    backups.map(async (backup) => {
      const facts = await readFolderFacts(join(directory, backup.name)).catch(() => null);
      return facts && { ...backup, ...facts };
    }),
  );
  return looked.filter((backup) => backup !== null);
}
