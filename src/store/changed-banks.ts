import type { Queryable } from '../db/database.ts';
import type { ChangeMarks } from './changed-observations.ts';

/** The first bank by its id, after one, in which something changed that the search has not looked at. */
export async function nextChangedBank(
  db: Queryable,
  marks: ChangeMarks,
  options: { readonly after: string },
): Promise<string | null> {
  // Primary keys of banks and marks; index observations_changed, in which a bank that was looked at ends at its mark.
  const { rows } = await db.query<{ id: string }>(
    `select b.id from engram.banks b left join engram.${marks} m on m.bank_id = b.id
     where b.id > $1 and exists (
       select from engram.observations o
       where o.bank_id = b.id and o.change_xid >= coalesce(m.seen_xid, '0'::xid8)
         and o.change_xid < pg_snapshot_xmin(pg_current_snapshot())
         and (m.seen_xid is null or (o.change_xid, o.id) > (m.seen_xid, m.seen_id))
         and o.is_live and o.needs_replan_at is null
         and o.embedding_model = (select a.id from engram.embedding_models a where a.is_active))
     order by b.id limit 1`,
    [options.after],
  );
  return rows[0]?.id ?? null;
}
