import type { Queryable } from '../db/database.ts';

/**
 * Who leads: one instance a database, for as long as it renews its lease. Every write of a leader has to compare, in its
 * own statement, that the lease is still the one it was given:
 *
 *     exists (select from engram.leader where instance_id = … and fence = … and expires_at > now())
 *
 * Times are the database's: whatever the clock of a machine shows, its lease is as long as that of any other.
 */

/**
 * Takes the lease if nobody has it, under a fence above all before; one's own is renewed and keeps its fence, unless it
 * has run out. Null: somebody else leads.
 */
export async function acquireLeadership(
  db: Queryable,
  instanceId: string,
  ttlMs: number,
): Promise<{ readonly fence: number } | null> {
  // One row.
  const { rows } = await db.query<{ fence: number }>(
    `update engram.leader set instance_id = $1, expires_at = now() + $2 * interval '1 ms',
       fence = case when instance_id = $1 and expires_at > now() then fence else fence + 1 end,
       acquired_at = case when instance_id = $1 and expires_at > now() then acquired_at else now() end
     where instance_id is null or instance_id = $1 or expires_at <= now()
     returning fence`,
    [instanceId, ttlMs],
  );
  return rows[0] ? { fence: rows[0].fence } : null;
}

/** False: the lease has run out, or somebody else has it. */
export async function renewLeadership(
  db: Queryable,
  instanceId: string,
  fence: number,
  ttlMs: number,
): Promise<boolean> {
  // One row.
  const { rowCount } = await db.query(
    `update engram.leader set expires_at = now() + $3 * interval '1 ms'
     where instance_id = $1 and fence = $2 and expires_at > now()`,
    [instanceId, fence, ttlMs],
  );
  return rowCount === 1;
}

/** Nobody has to wait for its end. The fence stays: the next one is above it. */
export async function releaseLeadership(db: Queryable, instanceId: string, fence: number): Promise<void> {
  // One row.
  await db.query(
    `update engram.leader set instance_id = null, acquired_at = null, expires_at = null
     where instance_id = $1 and fence = $2`,
    [instanceId, fence],
  );
}

/** Nobody has to wait for the end of a lease whose holder is known to have stopped: it died, and its successor has said so. */
export async function releaseLeadershipOfStopped(db: Queryable): Promise<void> {
  // One row; primary key of instances.
  await db.query(
    `update engram.leader l set instance_id = null, acquired_at = null, expires_at = null
     from engram.instances i where i.id = l.instance_id and i.stopped_at is not null`,
  );
}
