import type { Queryable } from '../../db/database.ts';

/**
 * Forgets deletions of more than a day ago, by the database's clock. A cached matrix whose last read is 12 hours back
 * is read whole, so that no process still needs them.
 *
 * @returns how many.
 */
export async function pruneVectorTombstones(db: Queryable): Promise<number> {
  // Index: vector_tombstones_deleted.
  const { rowCount } = await db.query(
    "delete from engram.vector_tombstones where deleted_at < now() - interval '24 hours'",
  );
  return rowCount;
}
