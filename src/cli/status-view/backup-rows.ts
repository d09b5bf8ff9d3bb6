import type { Status } from '../api-types.ts';
import { showBackupProgress } from '../backup-progress.ts';
import { showBytes } from '../bytes.ts';
import { secondsBetween, showSeconds } from '../duration.ts';
import type { Row } from './life-rows.ts';
import type { Paint } from './life-words.ts';

/** Older than any night: a day of 25 hours, and one to take it in. */
const staleSeconds = 26 * 3600;

/** What could be had back, and why not more. */
export function backupRows({ backups }: Status, now: Date, paint: Paint): Row[] {
  if (!backups) return [];
  const { running, last_failure: failure, snapshots_at: snapshotsAt } = backups;
  const rows: Row[] = [['backup', lastText(backups, now, paint)]];
  if (running) {
    const since = showSeconds(secondsBetween(running.started_at, now));
    const progress = showBackupProgress({ ...running, totalRows: running.total_rows });
    rows.push(['', `${paint.cyan('taking one')} for ${since}: ${progress}`]);
  }
  if (failure) {
    const ago = showSeconds(secondsBetween(failure.at, now));
    rows.push(['', paint.red(`failed ${ago} ago on ${failure.host}: ${failure.message}`)]);
  }
  if (snapshotsAt !== null)
    rows.push(['snapshots', `of what was ${showSeconds(secondsBetween(snapshotsAt, now))} ago`]);
  return rows;
}

function lastText(backups: NonNullable<Status['backups']>, now: Date, paint: Paint): string {
  const { last_verified_at: last, next_due_at: due, unchanged, bytes } = backups;
  const parts: string[] = [];
  if (last === null) {
    parts.push(due === null ? 'not read yet' : paint.yellow('none yet'));
  } else {
    const age = secondsBetween(last, now);
    const text = `${unchanged ? 'nothing new since the last one' : 'verified'} ${showSeconds(age)} ago`;
    parts.push(age > staleSeconds ? paint.yellow(text) : text);
    if (bytes !== null) parts.push(showBytes(bytes));
  }
  if (due !== null) parts.push(now >= new Date(due) ? 'due now' : `next in ${showSeconds(secondsBetween(now, due))}`);
  return parts.join(', ');
}
