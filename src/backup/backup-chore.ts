import type { Database } from '../db/database.ts';
import { backupDue, believedAheadMs } from '../lifecycle/backup-due.ts';
import { type BackupHistory, readBackupHistory } from '../store/backup-freshness.ts';
import type { Clock } from '../telemetry/clock.ts';
import type { Log } from '../telemetry/log.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { BackupBusyError } from './backup-errors.ts';
import type { BackupProgress, Backups } from './backup-store.ts';
import type { BackupsForStatus, BackupView } from './backup-view.ts';

/** As the leader's tick wants it (daemon/life/chore.ts), which this room does not know. */
export interface BackupChore {
  readonly name: 'backup';
  nextAt(now: Date): Promise<Date | null>;
  /** @throws what taking one throws */
  run(signal: AbortSignal): Promise<void>;
  isElsewhere(thrown: unknown): boolean;
}

export interface BackupChoreDeps {
  readonly db: Database;
  readonly backups: Pick<Backups, 'take'>;
  /** ENGRAMD_BACKUP_AT, minutes since local midnight. */
  readonly atMinute: number;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Pick<Metrics, 'lastVerifiedBackup' | 'backupBytes'>;
}

/** Ended by who asked for it, or with the process: nothing to be looked into. */
const stopCodes: ReadonlySet<string> = new Set(['ABORTED', 'INTERRUPTED']);

/** The nightly backup at its time, and what is known of it. Freshness is the database's: whoever took the last one. */
export function createBackupChore(deps: BackupChoreDeps): { readonly chore: BackupChore } & BackupsForStatus {
  const { db, atMinute, clock, log, metrics } = deps;
  let known: { readonly history: BackupHistory; readonly nextDueAt: Date } | undefined;
  let running: BackupView['running'] = null;

  async function read(asOf: Date | null): Promise<Date> {
    const history = await readBackupHistory(db, { asOf, aheadMs: believedAheadMs });
    const { now, lastGood, since, bornAt, bytes } = history;
    const decision = backupDue({
      now,
      atMinute,
      attempts: [
        ...(lastGood ? [{ ...lastGood, isGood: true }] : []),
        ...since.map(({ startedAt, finishedAt }) => ({ startedAt, finishedAt, isGood: false })),
      ],
      bornAt,
    });
    const nextDueAt = decision.kind === 'due' ? now : decision.until;
    known = { history, nextDueAt };
    metrics.lastVerifiedBackup.set((lastGood?.finishedAt ?? bornAt).getTime() / 1000);
    if (bytes !== null) metrics.backupBytes.set(bytes);
    return nextDueAt;
  }

  async function refresh(): Promise<void> {
    await read(null);
  }

  async function run(signal: AbortSignal): Promise<void> {
    const startedAt = clock.now();
    const onProgress = (progress: BackupProgress) => {
      running = { ...progress, startedAt };
    };
    onProgress({ phase: 'write', table: null, rows: 0, totalRows: null });
    try {
      const outcome = await deps.backups.take({ trigger: 'due', force: false, signal, onProgress });
      const told = outcome.kind === 'verified' ? { name: outcome.backup.name, pruned: outcome.pruned } : outcome;
      log.info(
        told,
        outcome.kind === 'verified' ? 'backup taken and verified' : 'nothing to back up since the last one',
      );
    } finally {
      running = null;
      // What is said of it next is how it ended; a database that does not answer says so at the next look.
      await refresh().catch(() => undefined);
    }
  }

  return {
    chore: { name: 'backup', nextAt: read, run, isElsewhere: (thrown) => thrown instanceof BackupBusyError },
    refresh,
    view() {
      const { history, nextDueAt = null } = known ?? {};
      const failed = history?.since.find(({ error }) => error !== null && !stopCodes.has(error.code));
      return {
        lastGoodAt: history?.lastGood?.finishedAt ?? null,
        isUnchanged: history?.lastGood?.isUnchanged ?? false,
        bytes: history?.bytes ?? null,
        nextDueAt,
        running,
        lastFailure: failed?.error
          ? { at: failed.finishedAt ?? failed.startedAt, host: failed.host, ...failed.error }
          : null,
      };
    },
  };
}
