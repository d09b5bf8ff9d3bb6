import type { BackupProgress } from './backup-store.ts';

/** What status tells of backups. Always answered from memory. */
export interface BackupView {
  /** When one of all there is was last verified, or nothing had changed since; null: never, or not read yet. */
  readonly lastGoodAt: Date | null;
  /** The last look found nothing to take. */
  readonly isUnchanged: boolean;
  /** Of the files of the last verified one. */
  readonly bytes: number | null;
  /** Null: not read yet. */
  readonly nextDueAt: Date | null;
  /** The one that this process is at. */
  readonly running: (BackupProgress & { readonly startedAt: Date }) | null;
  /** Why the last one since then came to nothing. A stop is no failure. */
  readonly lastFailure: {
    readonly at: Date;
    readonly host: string;
    readonly code: string;
    readonly message: string;
  } | null;
}

export interface BackupsForStatus {
  view(): BackupView;
  /** Reads what {@link view} tells of the database, and sets its gauges. */
  refresh(): Promise<void>;
}
