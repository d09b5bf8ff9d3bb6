import type { Queryable } from '../db/database.ts';

/** What may hold a text that is erased now. */
export interface HoldingBackups {
  /** When the newest was taken that may stand; null: there is none. What it holds goes when it is pruned. */
  readonly newestAt: Date | null;
  /** When the store was last restored; null: never. No row tells of the backups from before that. */
  readonly restoredAt: Date | null;
}

/** Those whose files stand, on any host, ones that failed their verification among them, and any from before a restore. */
export async function readHoldingBackups(db: Queryable): Promise<HoldingBackups> {
  // One row; one pass over the backups from their newest (index backups_started).
  const { rows } = await db.query<HoldingBackups>(
    `select s.restored_at as "restoredAt", greatest(s.restored_at, (
       select started_at from engram.backups where folder is not null and status <> 'pruned'
       order by started_at desc limit 1)) as "newestAt"
     from engram.store s`,
  );
  const [row] = rows;
  if (!row) throw new Error('engram.store has lost its row');
  return row;
}
