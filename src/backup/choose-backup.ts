import type { StoreIdentity } from '../store/store-origin.ts';
import { BackupNotFoundError } from './backup-errors.ts';
import type { StoredBackup } from './backup-store.ts';
import { areOfOne, type BackupOwner } from './ownership.ts';

/** Whose backups a command means that names none. */
export interface ChoosingDatabase extends BackupOwner {
  readonly directory: string;
}

/** The newest of a database that can be read. @throws BackupNotFoundError */
export function chooseToVerify(backups: readonly StoredBackup[], choosing: ChoosingDatabase): StoredBackup {
  const own = backups.filter((backup) => areOfOne(backup, choosing));
  const newest = own.find(({ standing }) => standing !== 'damaged' && standing !== 'unreadable') ?? own[0];
  if (newest) return newest;
  throw new BackupNotFoundError(nothingOf(backups, choosing.directory));
}

/**
 * The newest verified one of a database. Into a database that holds nothing, which may be there for a lost one, also that of
 * another one, where there is but one that it can be.
 *
 * @param backups newest first
 * @param into.store null: there is none yet
 * @throws BackupNotFoundError with the names to choose from
 */
export function chooseToRestore(
  backups: readonly StoredBackup[],
  into: StoreIdentity & { readonly isEmpty: boolean; readonly directory: string },
): StoredBackup {
  const { isEmpty, directory } = into;
  assertSomeVerified(backups, directory);
  const verified = backups.filter(({ standing }) => standing === 'verified');
  const own = verified.find((backup) => areOfOne(backup, into));
  if (own) return own;
  const newestOfEach = verified.filter(
    (backup, index) => verified.findIndex((other) => areOfOne(other, backup)) === index,
  );
  const [only, ...others] = newestOfEach;
  if (isEmpty && only && others.length === 0) return only;
  const names = newestOfEach.map(({ name }) => name).join(', ');
  throw new BackupNotFoundError(
    `no backup in ${directory} (ENGRAMD_BACKUP_DIR) that was verified is of this database. Name the one to restore; the newest of each other database: ${names}`,
  );
}

/** @throws BackupNotFoundError */
export function assertSomeVerified(backups: readonly StoredBackup[], directory: string): void {
  if (backups.some(({ standing }) => standing === 'verified')) return;
  throw new BackupNotFoundError(
    backups.length === 0
      ? nothingOf(backups, directory)
      : `no backup in ${directory} was ever restored and compared: \`engramd backup verify\` does it, or name the one to restore`,
  );
}

function nothingOf(backups: readonly StoredBackup[], directory: string): string {
  return backups.length === 0
    ? `there is no backup in ${directory} (ENGRAMD_BACKUP_DIR)`
    : `no backup in ${directory} (ENGRAMD_BACKUP_DIR) is of this database; \`engramd backup list\` shows those there are, and each can be named`;
}
