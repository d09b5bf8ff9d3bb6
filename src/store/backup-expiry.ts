import type { Queryable } from '../db/database.ts';

/**
 * When the newest backup whose files stand was taken, on any host, one that failed its verification among them; null:
 * there is none. What it holds goes when it is pruned.
 */
export async function newestBackupAt(db: Queryable): Promise<Date | null> {
  // One pass over the backups from their newest (index backups_started).
  const { rows } = await db.query<{ at: Date }>(
    `select started_at as at from engram.backups where folder is not null and status <> 'pruned'
     order by started_at desc limit 1`,
  );
  return rows[0]?.at ?? null;
}
