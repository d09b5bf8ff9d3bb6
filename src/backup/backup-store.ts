import type { StoreOrigin } from '../store/store-origin.ts';
import type { Manifest } from './manifest.ts';

/**
 * What the files of a backup tell of it without their being read: `verified` when it was restored and compared, `damaged`
 * where they are not what the manifest says or where a verification found that, `newer` of a newer engramd, `unreadable`
 * where nobody can tell: files of another user, a disk that fails.
 */
export type BackupStanding = 'verified' | 'unverified' | 'damaged' | 'newer' | 'unreadable';

/** One backup of this host, as its folder tells. */
export interface StoredBackup {
  /** Name of its folder: what commands call it. Sorts by time. */
  readonly name: string;
  readonly standing: BackupStanding;
  /** Whose it is, as engram.store names it; null: nobody can tell. */
  readonly store: string | null;
  /** Of which of the databases that hold that store; null: nobody can tell. */
  readonly origin: StoreOrigin | null;
  /** Null: cannot be read; `problem` says why. */
  readonly manifest: Manifest | null;
  readonly problem: string | null;
  /** When it was last restored and compared; null: never, or it failed since. */
  readonly verifiedAt: Date | null;
  /** When its files were last read and found what the manifest says. */
  readonly checkedAt: Date | null;
  readonly bytes: number;
}

/** How far a backup, its verification or a restore is. `total` null: nobody knows. */
export interface BackupProgress {
  readonly phase: 'write' | 'restore' | 'index' | 'compare';
  readonly table: string | null;
  readonly rows: number;
  readonly totalRows: number | null;
}

export type OnProgress = (progress: BackupProgress) => void;

/**
 * Restores a backup into a throw-away database and compares. The manifest was read, and its checksum holds; no file of a
 * table was.
 *
 * @throws BackupDamagedError where a file is not what the manifest says, BackupUnverifiedError where what was restored
 *   differs, BackupNewerError, errors of the server, the reason of the signal
 */
export type VerifyBackup = (
  folder: string,
  manifest: Manifest,
  options: { readonly signal: AbortSignal; readonly onProgress: OnProgress },
) => Promise<void>;

export type BackupOutcome =
  | { readonly kind: 'verified'; readonly backup: StoredBackup; readonly pruned: readonly string[] }
  /** Nothing has changed since the last verified one, whose files stand. */
  | { readonly kind: 'unchanged'; readonly since: Date };

/** Backups of one database on one host. Every call opens connections of its own, past the pool. */
export interface Backups {
  /**
   * Takes one, restores it into a throw-away database, compares, and only then prunes (law L16).
   *
   * @param options.force although nothing has changed
   * @throws BackupStorageError, BackupBusyError, BackupElsewhereError, BackupUnverifiedError, BackupDamagedError, errors of
   *   the server
   */
  take(options: {
    readonly trigger: 'due' | 'asked';
    readonly force: boolean;
    readonly signal: AbortSignal;
    readonly onProgress: OnProgress;
  }): Promise<BackupOutcome>;
  /** Newest first, damaged ones and those of other databases among them. Reads files only. */
  list(): Promise<readonly StoredBackup[]>;
  /** Restores one into a throw-away database and compares, and says so beside it. `name` null: the newest of this database. */
  verify(options: {
    readonly name: string | null;
    readonly signal: AbortSignal;
    readonly onProgress: OnProgress;
  }): Promise<StoredBackup>;
}
