import { z } from 'zod';
import type { BackupProgress } from '../backup/backup-store.ts';
import type { BackupView } from '../backup/backup-view.ts';

const time = z.iso.datetime();
const count = z.int().min(0);
const phases = ['write', 'restore', 'index', 'compare'] as const satisfies BackupProgress['phase'][];

/** How safe what is stored is. Snake case; times ISO 8601 in UTC. */
export const backupStatusSchema = z
  .strictObject({
    last_verified_at: time.nullable().meta({
      description: 'When a backup of all there is was last restored and compared, or nothing had changed since.',
    }),
    unchanged: z.boolean().meta({ description: 'The last look found nothing to take.' }),
    bytes: count.nullable().meta({ description: 'Of the files of the last verified one.' }),
    next_due_at: time.nullable().meta({ description: 'Null: not read yet.' }),
    running: z
      .strictObject({
        phase: z.enum(phases),
        table: z.string().nullable(),
        rows: count,
        total_rows: count.nullable().meta({ description: 'About; null: nobody knows.' }),
        started_at: time,
      })
      .nullable()
      .meta({ description: 'The backup that this process is at.' }),
    last_failure: z
      .strictObject({ at: time, host: z.string(), code: z.string(), message: z.string() })
      .nullable()
      .meta({ description: 'Why the last one since then came to nothing, and what to change.' }),
    snapshots_at: time.nullable().meta({
      description: 'Every bank has a snapshot of what it was then, or has not changed since its last one.',
    }),
  })
  .meta({ id: 'Backups', description: 'How old what could be had back is.' });

const iso = (instant: Date | null) => instant?.toISOString() ?? null;

export function presentBackups(view: BackupView, snapshotsAt: Date | null): z.input<typeof backupStatusSchema> {
  const { running, lastFailure } = view;
  return {
    last_verified_at: iso(view.lastGoodAt),
    unchanged: view.isUnchanged,
    bytes: view.bytes,
    next_due_at: iso(view.nextDueAt),
    running: running && {
      phase: running.phase,
      table: running.table,
      rows: running.rows,
      total_rows: running.totalRows,
      started_at: running.startedAt.toISOString(),
    },
    last_failure: lastFailure && { ...lastFailure, at: lastFailure.at.toISOString() },
    snapshots_at: iso(snapshotsAt),
  };
}
