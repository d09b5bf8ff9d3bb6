import { EngramdError } from '../telemetry/engramd-error.ts';

/** The backup directory cannot be made, written or read, or is full. Nothing that stood there was touched. */
export class BackupStorageError extends EngramdError {
  readonly code = 'BACKUP_STORAGE';
  override readonly retryable = true;
}

/** Another process is at a backup, a verification or a restore of this database. */
export class BackupBusyError extends EngramdError {
  readonly code = 'BACKUP_BUSY';
  override readonly retryable = true;
  override readonly exitCode = 4;
}

/** The direct connection, which a backup is read through, leads to another database than the pool. */
export class BackupElsewhereError extends EngramdError {
  readonly code = 'BACKUP_ELSEWHERE';
  override readonly exitCode = 2;
}

/** What was noted of a backup is nothing that could be read again. */
export class ManifestInvalidError extends EngramdError {
  readonly code = 'BACKUP_MANIFEST';
}

/** There is no backup of that name. */
export class BackupNotFoundError extends EngramdError {
  readonly code = 'BACKUP_NOT_FOUND';
}

/** Truncated, altered, without a manifest, or not what its manifest says: which, the message tells. */
export class BackupDamagedError extends EngramdError {
  readonly code = 'BACKUP_DAMAGED';
}

/** Written by a newer engramd. */
export class BackupNewerError extends EngramdError {
  readonly code = 'BACKUP_NEWER';
}

/** What was restored from it differs from what it was taken from (law L16). */
export class BackupUnverifiedError extends EngramdError {
  readonly code = 'BACKUP_UNVERIFIED';
}

/** Daemons are at work on the target, or it holds memories and nobody said to replace them. Nothing was changed. */
export class RestoreRefusedError extends EngramdError {
  readonly code = 'RESTORE_REFUSED';
  override readonly exitCode = 4;
}

/** Somebody has added a column to our tables: which, and what to do, the message tells. Nothing was written. */
export class ColumnAddedError extends EngramdError {
  readonly code = 'COLUMN_ADDED';
  override readonly exitCode = 4;
}

/**
 * The database tells letters apart in another way than the one that was backed up, and its rows do not fit there: no
 * damage of the files.
 */
export class BackupLocaleError extends EngramdError {
  readonly code = 'BACKUP_LOCALE';
  override readonly exitCode = 4;
}
