import type { Queryable } from '../db/database.ts';
import type { LifecycleState } from '../lifecycle/states.ts';

/**
 * Whether anything has come since a state began that nobody was told of: memories written or edited, and in HIBERNATION
 * observations that lost evidence and may be looked at now. What is merely still waiting from before is not asked for. In
 * SLEEP only memories count: the night's own steps mark observations and put off what they cannot decide.
 */
export async function hasNewWork(
  db: Queryable,
  { state, since }: { readonly state: LifecycleState; readonly since: Date },
): Promise<boolean> {
  // memories_pending and observations_needs_replan: what waits, and no more; once a start and once a listening session.
  const { rows } = await db.query<{ found: boolean }>(
    `select exists (
         select from engram.memories m
         where m.state = 'pending' and m.invalidated_at is null and greatest(m.created_at, m.edited_at) > $1)
       or ($2 and exists (
         select from engram.observations o where o.needs_replan_at > $1 and o.needs_replan_at <= now())) as found`,
    [since, state === 'hibernation'],
  );
  return rows[0]?.found ?? false;
}
