import { onNextDay } from './local-time.ts';

/** One that was tried, whoever did it, by the database's clock. */
export interface BackupAttempt {
  readonly startedAt: Date;
  /** Null: under way, or left by somebody who died at it. */
  readonly finishedAt: Date | null;
  /** Verified, or found that nothing had changed since one that was (as good as a new one). */
  readonly isGood: boolean;
}

export interface BackupDueFacts {
  readonly now: Date;
  /** ENGRAMD_BACKUP_AT, minutes since local midnight. */
  readonly atMinute: number;
  /** The latest ones, in any order. */
  readonly attempts: readonly BackupAttempt[];
  /** Of the database: one that never had a backup is counted from there. */
  readonly bornAt: Date;
}

export type BackupDue = { readonly kind: 'due' } | { readonly kind: 'wait'; readonly until: Date };

const minuteMs = 60_000;
const hourMs = 60 * minuteMs;
/** As far as a day's clocks may be from 24 h. What was taken at another hour comes back to its own by an hour a day. */
const soonestMs = 23 * hourMs;
const latestMs = 25 * hourMs;
/** What lies further ahead than this was written by a clock that was wrong. */
export const believedAheadMs = 24 * hourMs;
const firstPauseMs = 10 * minuteMs;
const longestPauseMs = 6 * hourMs;

/**
 * Whether a backup is due: once a local day, at its time or, where nobody was there, at once afterwards. A clock that is set
 * back finds that day's backup before it; one that was far ahead does not hold up those to come. What fails is tried again
 * after a pause that doubles.
 */
export function backupDue(facts: BackupDueFacts): BackupDue {
  const { now, atMinute, attempts, bornAt } = facts;
  const believed = attempts.filter(({ startedAt }) => isBelieved(startedAt, now));
  const good = latest(believed.filter(({ isGood }) => isGood).map(({ startedAt }) => startedAt));
  const last = good ?? (isBelieved(bornAt, now) ? bornAt : null);
  // Nobody knows since when: now is not too early.
  if (last === null) return { kind: 'due' };
  const lastMs = last.getTime();
  const atMs = Math.min(onNextDay(atMinute, last).getTime(), lastMs + latestMs);
  // A birth is no backup: the first night is not too soon.
  const freshUntilMs = good === null ? lastMs : lastMs + soonestMs;
  const dueMs = Math.max(atMs, freshUntilMs, retryMs(believed, last, now));
  return dueMs <= now.getTime() ? { kind: 'due' } : { kind: 'wait', until: new Date(dueMs) };
}

/** When to try again after those that came to nothing since the last good one. */
function retryMs(attempts: readonly BackupAttempt[], last: Date, now: Date): number {
  const endsMs = attempts
    .filter(({ isGood, startedAt }) => !isGood && startedAt > last)
    .map(({ startedAt, finishedAt }) => (finishedAt ?? startedAt).getTime())
    // A clock was set back since: what has not happened yet is not waited out.
    .filter((endMs) => endMs <= now.getTime());
  if (endsMs.length === 0) return Number.NEGATIVE_INFINITY;
  return Math.max(...endsMs) + Math.min(longestPauseMs, firstPauseMs * 2 ** (endsMs.length - 1));
}

function isBelieved(time: Date, now: Date): boolean {
  return time.getTime() <= now.getTime() + believedAheadMs;
}

function latest(times: readonly Date[]): Date | null {
  return times.length === 0 ? null : new Date(Math.max(...times.map((time) => time.getTime())));
}
