import { join } from 'node:path';
import type { Database } from '../db/database.ts';
import { knowsVerifiedBackup, noteBackupFailed } from '../store/backup-rows.ts';
import { hasChangedSince } from '../store/changed-since.ts';
import type { Clock } from '../telemetry/clock.ts';
import { errorMessage } from '../telemetry/engramd-error.ts';
import type { Log } from '../telemetry/log.ts';
import { BackupDamagedError, BackupStorageError } from './backup-errors.ts';
import type { BackupFiles } from './backup-files.ts';
import { type BackupPlace, markChecked } from './backup-folder.ts';
import type { StoredBackup } from './backup-store.ts';
import { noteDamage } from './note-damage.ts';
import { areOfOne } from './ownership.ts';
import { listBackups } from './stored-backups.ts';
import { checkFiles } from './table-files.ts';

/** A store that never changes has one backup, and nobody else reads its files. */
const longestUncheckedMs = 7 * 86_400_000;

export interface UnchangedDeps {
  readonly db: Database;
  readonly files: BackupFiles;
  readonly clock: Clock;
  readonly log: Log;
}

/** The instant of the newest verified backup, where it holds all there is and its files stand; null: a new one is due. */
export async function unchangedSince(deps: UnchangedDeps, place: BackupPlace, signal: AbortSignal) {
  const { db } = deps;
  const newest = (await listBackups(place.directory)).find(
    (backup) => backup.standing === 'verified' && areOfOne(backup, place),
  );
  if (!newest?.manifest || !(await knowsVerifiedBackup(db, newest.manifest.id))) return null;
  const { seenXid, epoch, origin, tables, snapshotAt } = newest.manifest;
  const banks = tables.find(({ name }) => name === 'banks')?.rows ?? 0;
  if (await hasChangedSince(db, { seenXid, epoch, origin, banks })) return null;
  return (await stillStands(deps, place, newest, signal)) ? new Date(snapshotAt) : null;
}

/** Its files have their lengths; what is in them is read again once it was long ago. */
async function stillStands(
  deps: UnchangedDeps,
  { directory }: BackupPlace,
  { name, manifest, verifiedAt, checkedAt }: StoredBackup,
  signal: AbortSignal,
): Promise<boolean> {
  const { db, files, clock, log } = deps;
  if (!manifest || !verifiedAt || !checkedAt) return false;
  const uncheckedMs = clock.now().getTime() - checkedAt.getTime();
  if (uncheckedMs >= 0 && uncheckedMs < longestUncheckedMs) return true;
  const folder = join(directory, name);
  try {
    await checkFiles({ folder, manifest }, signal);
    await markChecked(files, folder, { verifiedAt, checkedAt: clock.now() });
    return true;
  } catch (thrown) {
    if (thrown instanceof BackupDamagedError) {
      await noteDamage({ files, clock, log }, folder, thrown);
      await noteBackupFailed(db, manifest.id, { code: thrown.code, message: thrown.message });
    } else if (!(thrown instanceof BackupStorageError)) {
      throw thrown;
    }
    log.warn(
      { folder, error: errorMessage(thrown) },
      'nothing has changed, but the last backup does not stand: a new one',
    );
    return false;
  }
}
