import type { Queryable } from '../db/database.ts';
import { decodeRealArray } from './vectors/vector-bytes.ts';

/** Ids of transactions are 64 bits wide and stay text here: they are compared by the server alone. */
type TransactionId = string;

/** A place in the order of changes: after this row of those that this transaction wrote. */
export interface ChangePlace {
  readonly xid: TransactionId;
  /** The id that is less than all: before the first row of the transaction. */
  readonly id: string;
}

/** Before all rows that a transaction wrote. */
export const beforeAllRows = '00000000-0000-0000-0000-000000000000';

export interface ContradictionMark {
  /** Rows up to this place have been looked at; null: none has. */
  readonly seen: ChangePlace | null;
  /** Every transaction before this one had ended when this was read. */
  readonly horizon: TransactionId;
}

/** How far the search has come in a bank, and how far it could come now. Null where there is no such bank. */
export async function readContradictionMark(db: Queryable, bankId: string): Promise<ContradictionMark | null> {
  // Primary keys.
  const { rows } = await db.query<{ xid: string | null; id: string | null; horizon: string }>(
    `select m.seen_xid::text as xid, m.seen_id as id, pg_snapshot_xmin(pg_current_snapshot())::text as horizon
     from engram.banks b left join engram.contradiction_marks m on m.bank_id = b.id where b.id = $1`,
    [bankId],
  );
  const [row] = rows;
  if (!row) return null;
  const { xid, id, horizon } = row;
  return { seen: xid === null || id === null ? null : { xid, id }, horizon };
}

/** Moves the mark, never back. A bank that is gone has none. */
export async function moveContradictionMark(db: Queryable, bankId: string, seen: ChangePlace): Promise<void> {
  // Primary key.
  await db.query(
    `insert into engram.contradiction_marks as m (bank_id, seen_xid, seen_id)
       select b.id, $2::xid8, $3::uuid from engram.banks b where b.id = $1
     on conflict (bank_id) do update set seen_xid = excluded.seen_xid, seen_id = excluded.seen_id, updated_at = now()
       where (m.seen_xid, m.seen_id) < (excluded.seen_xid, excluded.seen_id)`,
    [bankId, seen.xid, seen.id],
  );
}

export interface ChangedObservation {
  readonly id: string;
  readonly text: string;
  readonly tags: readonly string[];
  readonly validFrom: Date | null;
  readonly embedding: Float32Array;
  readonly changedBy: TransactionId;
}

/**
 * Live observations after `seen`, written by transactions before `horizon`, in the order of the transactions and within
 * one by id. All transactions before the horizon have ended: their rows may leave this order, but none comes into it.
 */
export async function changedObservations(
  db: Queryable,
  bankId: string,
  options: ContradictionMark & { readonly limit: number },
): Promise<ChangedObservation[]> {
  // Index observations_changed (bank_id, change_xid, id). What commits late has an id at or above the horizon of its time, so
  // that the mark has not passed it, which a sequence or a time would have. Vectors are read for the page alone: after a
  // change of models one transaction has written every row of the bank.
  const { rows } = await db.query<{
    id: string;
    text: string;
    tags: string[];
    valid_from: Date | null;
    embedding: Buffer;
    changed_by: string;
  }>(
    `with page as materialized (
       select id, change_xid from engram.observations
       where bank_id = $1 and change_xid >= coalesce($2::xid8, '0'::xid8) and change_xid < $4::xid8
         and ($2::xid8 is null or (change_xid, id) > ($2::xid8, $3::uuid))
         and is_live and needs_replan_at is null
         -- One that still has a vector of a model that was left cannot be compared; embedded again, it has changed again.
         and embedding_model = (select a.id from engram.embedding_models a where a.is_active)
       order by change_xid, id limit $5)
     select o.id, o.text, o.tags, o.valid_from, array_send(o.embedding) as embedding, p.change_xid::text as changed_by
     from page p join engram.observations o on o.bank_id = $1 and o.id = p.id
     order by p.change_xid, p.id`,
    [bankId, options.seen?.xid ?? null, options.seen?.id ?? null, options.horizon, options.limit],
  );
  return rows.map((row) => ({
    id: row.id,
    text: row.text,
    tags: row.tags,
    validFrom: row.valid_from,
    embedding: decodeRealArray(row.embedding),
    changedBy: row.changed_by,
  }));
}

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
