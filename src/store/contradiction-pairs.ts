import type { Queryable } from '../db/database.ts';
import { decodeRealArray } from './vectors/vector-bytes.ts';

/** Ids of transactions are 64 bits wide and stay text here: they are compared by the server alone. */
type TransactionId = string;

export interface ContradictionMark {
  /** Rows that transactions before this one wrote have been looked at; null: none has. */
  readonly seen: TransactionId | null;
  /** Every transaction before this one had ended when this was read. */
  readonly horizon: TransactionId;
}

/** How far the search has come in a bank, and how far it could come now. Null where there is no such bank. */
export async function readContradictionMark(db: Queryable, bankId: string): Promise<ContradictionMark | null> {
  // Primary keys.
  const { rows } = await db.query<{ seen: string | null; horizon: string }>(
    `select m.seen_xid::text as seen, pg_snapshot_xmin(pg_current_snapshot())::text as horizon
     from engram.banks b left join engram.contradiction_marks m on m.bank_id = b.id where b.id = $1`,
    [bankId],
  );
  return rows[0] ?? null;
}

/** Moves the mark, never back. A bank that is gone has none. */
export async function moveContradictionMark(db: Queryable, bankId: string, seen: TransactionId): Promise<void> {
  // Primary key.
  await db.query(
    `insert into engram.contradiction_marks as m (bank_id, seen_xid)
       select b.id, $2::xid8 from engram.banks b where b.id = $1
     on conflict (bank_id) do update set seen_xid = excluded.seen_xid, updated_at = now()
       where m.seen_xid < excluded.seen_xid`,
    [bankId, seen],
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
 * Live observations that transactions from `seen` on, and before `horizon`, have written, in the order of the
 * transactions. Of the last one either all or none: the mark cannot stand in the midst of a transaction.
 */
export async function changedObservations(
  db: Queryable,
  bankId: string,
  options: ContradictionMark & { readonly limit: number },
): Promise<ChangedObservation[]> {
  // Index observations_changed (bank_id, change_xid). What commits late has an id at or above the horizon of its time, so
  // that the mark has not passed it, which a sequence or a time would have.
  const { rows } = await db.query<{
    id: string;
    text: string;
    tags: string[];
    valid_from: Date | null;
    embedding: Buffer;
    changed_by: string;
  }>(
    `select id, text, tags, valid_from, array_send(embedding) as embedding, change_xid::text as changed_by
     from engram.observations
     where bank_id = $1 and change_xid >= coalesce($2::xid8, '0'::xid8) and change_xid < $3::xid8
       and is_live and needs_replan_at is null
       -- One that still has a vector of a model that was left cannot be compared; embedded again, it has changed again.
       and embedding_model = (select a.id from engram.embedding_models a where a.is_active)
     order by change_xid fetch first $4 rows with ties`,
    [bankId, options.seen, options.horizon, options.limit],
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

/** Of these observations, those with which one has a conflict, open or resolved. */
export async function conflictedWith(
  db: Queryable,
  bankId: string,
  observationId: string,
  otherIds: readonly string[],
): Promise<Set<string>> {
  if (otherIds.length === 0) return new Set();
  // One pass over the bank's conflicts, which are few.
  const { rows } = await db.query<{ id: string }>(
    `select case when left_id = $2 then right_id else left_id end as id from engram.conflicts
     where bank_id = $1 and (left_id = $2 and right_id = any($3::uuid[]) or right_id = $2 and left_id = any($3::uuid[]))`,
    [bankId, observationId, otherIds],
  );
  return new Set(rows.map((row) => row.id));
}
