import type { Queryable } from '../db/database.ts';

/** What the rows of backups say of how fresh the last good one is, over all hosts. Times are the database's. */
export interface BackupHistory {
  /** What is told is of this instant. */
  readonly now: Date;
  /** Of the database. */
  readonly bornAt: Date;
  /** Verified, or found that nothing had changed since one that was. Null: none yet. */
  readonly lastGood: {
    readonly startedAt: Date;
    readonly finishedAt: Date;
    readonly isUnchanged: boolean;
  } | null;
  /** Those begun since the last good one that are not good, newest first; so many at most as anybody counts. */
  readonly since: readonly UnfinishedBackup[];
  /** Of the files of the last one that was verified; null: there is none. */
  readonly bytes: number | null;
}

export interface UnfinishedBackup {
  readonly startedAt: Date;
  /** Null: somebody is at it, or died at it. */
  readonly finishedAt: Date | null;
  readonly host: string;
  readonly error: { readonly code: string; readonly message: string } | null;
}

/** A pause after failures is at its longest long before. */
const mostSince = 50;

/**
 * @param reading.asOf null: now
 * @param reading.aheadMs what began later than so far ahead was noted by a clock that was wrong, and does not count
 */
export async function readBackupHistory(
  db: Queryable,
  reading: { readonly asOf: Date | null; readonly aheadMs: number },
): Promise<BackupHistory> {
  // One row; from the newest (index backups_started) to the last good one.
  const { rows } = await db.query<{
    now: Date;
    born_at: Date;
    before: Date;
    started_at: Date | null;
    finished_at: Date | null;
    status: string | null;
    bytes: number | null;
  }>(
    `select t.now, t.before, l.born_at, good.started_at, good.finished_at, good.status, verified.bytes::float8 as bytes
     from engram.lifecycle l
     cross join (select coalesce($1, now()) as now, coalesce($1, now()) + $2 * interval '1 ms' as before) t
     left join lateral (
       select started_at, coalesce(finished_at, started_at) as finished_at, status from engram.backups
       where started_at <= t.before and (status in ('verified', 'unchanged') or (status = 'pruned' and verified_at is not null))
       order by started_at desc limit 1) good on true
     left join lateral (
       select bytes from engram.backups where status = 'verified' order by started_at desc limit 1) verified on true`,
    [reading.asOf, reading.aheadMs],
  );
  const [row] = rows;
  if (!row) throw new Error('engram.lifecycle has lost its row');
  const { started_at: startedAt, finished_at: finishedAt } = row;
  return {
    now: row.now,
    bornAt: row.born_at,
    lastGood: startedAt && finishedAt && { startedAt, finishedAt, isUnchanged: row.status === 'unchanged' },
    since: await readSince(db, startedAt, row.before),
    bytes: row.bytes,
  };
}

async function readSince(db: Queryable, after: Date | null, before: Date): Promise<UnfinishedBackup[]> {
  // Index backups_started: those of the last nights.
  const { rows } = await db.query<{
    started_at: Date;
    finished_at: Date | null;
    host: string;
    error_code: string | null;
    error: string | null;
  }>(
    `select started_at, finished_at, host, error_code, error from engram.backups
     where started_at > coalesce($1, '-infinity'::timestamptz) and started_at <= $2
       and status in ('running', 'written', 'failed')
     order by started_at desc limit ${mostSince}`,
    [after, before],
  );
  return rows.map((row) => ({
    startedAt: row.started_at,
    finishedAt: row.finished_at,
    host: row.host,
    error: row.error_code === null ? null : { code: row.error_code, message: row.error ?? row.error_code },
  }));
}
