import type { Queryable } from '../db/database.ts';

/** Two observations, of which the search for duplicates would fold the younger into the older. */
export interface FoldPair {
  readonly older: string;
  readonly younger: string;
}

/**
 * The pairs among these, by their place, that are not for the search to decide: the younger waits beside another for a
 * person to say which holds; a person has said that both hold, or has taken this fold back or refused it, for the texts as
 * they stand; the fold is proposed already; or something that the younger has superseded would be superseded by a text that
 * is not known to be later.
 */
export async function leftToPeople(db: Queryable, bankId: string, pairs: readonly FoldPair[]): Promise<Set<number>> {
  if (pairs.length === 0) return new Set();
  // conflicts_pair, conflicts_right for open ones and a pass over the bank's resolved ones, which are few;
  // change_ops_target; observations_superseded; primary keys.
  const { rows } = await db.query<{ n: number }>(
    `select (p.n - 1)::int as n
     from unnest($2::uuid[], $3::uuid[]) with ordinality as p(older, younger, n)
     join engram.observations o on o.bank_id = $1 and o.id = p.older
     join engram.observations y on y.bank_id = $1 and y.id = p.younger
     cross join lateral (select greatest(o.text_changed_at, y.text_changed_at) as at) as text_changed
     where exists (select from engram.conflicts c
         where c.bank_id = $1 and c.status = 'open' and (c.left_id = p.younger or c.right_id = p.younger))
       or exists (select from engram.conflicts c
         where c.bank_id = $1 and c.left_id = p.older and c.right_id = p.younger and c.status = 'resolved'
           and not coalesce(text_changed.at > coalesce(c.settled_at, c.resolved_at), false))
       or exists (select from engram.change_ops f
         join engram.change_sets s on s.bank_id = f.bank_id and s.id = f.change_set_id
         where f.bank_id = $1 and f.op = 'fold' and f.target_id in (p.older, p.younger)
           and f.result_id in (p.older, p.younger)
           and (f.status = 'proposed' or f.status in ('undone', 'rejected')
             and not coalesce(text_changed.at > s.decided_at, false)))
       or exists (select from engram.observations x
         where x.bank_id = $1 and x.superseded_by = p.younger and not coalesce(x.valid_from < o.valid_from, false))`,
    [bankId, pairs.map((pair) => pair.older), pairs.map((pair) => pair.younger)],
  );
  return new Set(rows.map((row) => row.n));
}
