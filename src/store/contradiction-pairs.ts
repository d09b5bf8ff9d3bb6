import type { Queryable } from '../db/database.ts';

/**
 * Of these observations, those with which one has a conflict: an open one, or one resolved for the texts as they stand.
 * A text that changed since is another question.
 */
export async function conflictedWith(
  db: Queryable,
  bankId: string,
  observationId: string,
  otherIds: readonly string[],
): Promise<Set<string>> {
  if (otherIds.length === 0) return new Set();
  // One pass over the bank's conflicts, which are few; primary key of observations.
  const { rows } = await db.query<{ id: string }>(
    `select case when c.left_id = $2 then c.right_id else c.left_id end as id from engram.conflicts c
     where c.bank_id = $1
       and (c.left_id = $2 and c.right_id = any($3::uuid[]) or c.right_id = $2 and c.left_id = any($3::uuid[]))
       and (c.status = 'open' or not exists (select from engram.observations o
         where o.bank_id = c.bank_id and o.id in (c.left_id, c.right_id)
           and o.text_changed_at > coalesce(c.settled_at, c.resolved_at)))`,
    [bankId, observationId, otherIds],
  );
  return new Set(rows.map((row) => row.id));
}
