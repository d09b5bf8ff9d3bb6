import type { Queryable } from '../db/database.ts';

/**
 * Whether anything has come since then that nobody was told of: memories written or edited, observations that lost
 * evidence. What is merely still waiting from before is not asked for.
 */
export async function hasNewWork(db: Queryable, since: Date): Promise<boolean> {
  // memories_pending and observations_needs_replan: what waits, and no more; once a start or a lost connection.
  const { rows } = await db.query<{ found: boolean }>(
    `select exists (
         select from engram.memories m
         where m.state = 'pending' and m.invalidated_at is null and greatest(m.created_at, m.edited_at) > $1)
       or exists (select from engram.observations o where o.needs_replan_at > $1) as found`,
    [since],
  );
  return rows[0]?.found ?? false;
}
