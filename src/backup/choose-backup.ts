import { BackupNotFoundError } from './backup-errors.ts';
import type { StoredBackup } from './backup-store.ts';

/** Whose backups a command means that names none. */
export interface ChoosingStore {
  /** Of engram.store. */
  readonly store: string;
  readonly directory: string;
}

/** The newest of a store that can be read. @throws BackupNotFoundError */
export function chooseToVerify(backups: readonly StoredBackup[], { store, directory }: ChoosingStore): StoredBackup {
  const own = backups.filter((backup) => backup.store === store);
  const newest = own.find(({ standing }) => standing !== 'damaged' && standing !== 'unreadable') ?? own[0];
  if (newest) return newest;
  throw new BackupNotFoundError(nothingOf(backups, directory));
}

/**
 * The newest verified one of a store. Into a database that holds nothing, which may be there for a lost one, also that of
 * another store, where there is but one that it can be.
 *
 * @param backups newest first
 * @throws BackupNotFoundError with the names to choose from
 */
export function chooseToRestore(
  backups: readonly StoredBackup[],
  { store, directory, isEmpty }: ChoosingStore & { readonly isEmpty: boolean },
): StoredBackup {
  const verified = backups.filter(({ standing }) => standing === 'verified');
  const own = verified.find((backup) => backup.store === store);
  if (own) return own;
  const newestOfEach = [...new Set(verified.map((backup) => backup.store))].flatMap(
    (one) => verified.find((backup) => backup.store === one) ?? [],
  );
  const [only, ...others] = newestOfEach;
  if (isEmpty && only && others.length === 0) return only;
  if (backups.some((backup) => backup.store === store)) throw new BackupNotFoundError(nothingVerified(directory));
  if (!only)
    throw new BackupNotFoundError(backups.length === 0 ? nothingOf([], directory) : nothingVerified(directory));
  const names = newestOfEach.map(({ name }) => name).join(', ');
  throw new BackupNotFoundError(
    `${nothingOf(backups, directory)}. Name the one to restore; the newest of each: ${names}`,
  );
}

function nothingVerified(directory: string): string {
  return `no backup in ${directory} was ever restored and compared: \`engramd backup verify\` does it, or name the one to restore`;
}

function nothingOf(backups: readonly StoredBackup[], directory: string): string {
  return backups.length === 0
    ? `there is no backup in ${directory} (ENGRAMD_BACKUP_DIR)`
    : `no backup in ${directory} (ENGRAMD_BACKUP_DIR) is of this database; \`engramd backup list\` shows those there are, and each can be named`;
}
