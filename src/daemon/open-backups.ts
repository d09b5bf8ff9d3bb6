import { hostname } from 'node:os';
import { createBackupChore } from '../backup/backup-chore.ts';
import type { Backups } from '../backup/backup-store.ts';
import type { BackupsForStatus } from '../backup/backup-view.ts';
import { createBackups } from '../backup/create-backups.ts';
import { syncErasures } from '../backup/erasure-log.ts';
import { createSnapshotChore } from '../backup/snapshots/snapshot-chore.ts';
import { createVerifyBackup } from '../backup/verify.ts';
import type { Config } from '../config/schema.ts';
import type { Database } from '../db/database.ts';
import type { Clock } from '../telemetry/clock.ts';
import type { Log } from '../telemetry/log.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { Racepoints } from '../telemetry/racepoints.ts';
import type { Chore } from './life/chore.ts';
import { storeMigrations } from './open-database.ts';
import { version } from './version.ts';

export interface OpenBackupsOptions {
  readonly config: Config;
  readonly db: Database;
  /** Of the server itself, past a pooler. */
  readonly connectionString: string;
  readonly instanceId: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly racepoints: Racepoints;
  readonly newId: () => string;
}

/** Backups of the configured database into this host's directory. Nothing is done or opened yet. */
export function openBackups(options: OpenBackupsOptions): Backups {
  const { config, db } = options;
  const directory = config.backupDir;
  return createBackups({
    ...options,
    directory,
    keep: config.backupKeep,
    host: hostname(),
    version,
    verify: createVerifyBackup({ ...options, migrations: storeMigrations }),
    syncErasures: async () => void (await syncErasures(db, directory)),
  });
}

/** What the leader does at its time beside the sleep cycle, and what status tells of it. */
export function openChores(options: OpenBackupsOptions): {
  readonly chores: readonly Chore[];
  readonly backups: BackupsForStatus;
} {
  const { config } = options;
  const backup = createBackupChore({ ...options, backups: openBackups(options), atMinute: config.backupAtMinute });
  const snapshot = createSnapshotChore({ ...options, keep: config.snapshotKeep });
  return { chores: [backup.chore, snapshot], backups: backup };
}
