import type { Queryable } from '../db/database.ts';
import { decodeRealArray } from './vectors/vector-bytes.ts';

/** Searches that look only at what changed since they came by last, and how far each has come in a bank. */
export type ChangeMarks = 'contradiction_marks' | 'sweep_marks';

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

export interface ChangeMark {
  /** Rows up to this place have been looked at; null: none has. */
  readonly seen: ChangePlace | null;
  /** Every transaction before this one had ended when this was read. */
  readonly horizon: TransactionId;
}

/** How far the search has come in a bank, and how far it could come now. Null where there is no such bank. */
export async function readChangeMark(db: Queryable, marks: ChangeMarks, bankId: string): Promise<ChangeMark | null> {
  // Primary keys.
  const { rows } = await db.query<{ xid: string | null; id: string | null; horizon: string }>(
    `select m.seen_xid::text as xid, m.seen_id as id, pg_snapshot_xmin(pg_current_snapshot())::text as horizon
     from engram.banks b left join engram.${marks} m on m.bank_id = b.id where b.id = $1`,
    [bankId],
  );
  const [row] = rows;
  if (!row) return null;
  const { xid, id, horizon } = row;
  return { seen: xid === null || id === null ? null : { xid, id }, horizon };
}

/** Moves the mark, never back. A bank that is gone has none. */
export async function moveChangeMark(
  db: Queryable,
  marks: ChangeMarks,
  bankId: string,
  seen: ChangePlace,
): Promise<void> {
  // Primary key.
  await db.query(
    `insert into engram.${marks} as m (bank_id, seen_xid, seen_id)
       select b.id, $2::xid8, $3::uuid from engram.banks b where b.id = $1
     on conflict (bank_id) do update set seen_xid = excluded.seen_xid, seen_id = excluded.seen_id, updated_at = now()
       where (m.seen_xid, m.seen_id) < (excluded.seen_xid, excluded.seen_id)`,
    [bankId, seen.xid, seen.id],
  );
}

export interface ChangedObservation {
  readonly id: string;
  readonly version: number;
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
  options: ChangeMark & { readonly limit: number },
): Promise<ChangedObservation[]> {
  // Index observations_changed (bank_id, change_xid, id). What commits late has an id at or above the horizon of its time, so
  // that the mark has not passed it, which a sequence or a time would have. Vectors are read for the page alone: after a
  // change of models one transaction has written every row of the bank.
  const { rows } = await db.query<{
    id: string;
    version: number;
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
     select o.id, o.version, o.text, o.tags, o.valid_from, array_send(o.embedding) as embedding,
       p.change_xid::text as changed_by
     from page p join engram.observations o on o.bank_id = $1 and o.id = p.id
     order by p.change_xid, p.id`,
    [bankId, options.seen?.xid ?? null, options.seen?.id ?? null, options.horizon, options.limit],
  );
  return rows.map((row) => ({
    id: row.id,
    version: row.version,
    text: row.text,
    tags: row.tags,
    validFrom: row.valid_from,
    embedding: decodeRealArray(row.embedding),
    changedBy: row.changed_by,
  }));
}

/** How many of these {@link changedObservations} would give, counted no further than `upTo`. */
export async function countChanged(
  db: Queryable,
  bankId: string,
  options: ChangeMark & { readonly upTo: number },
): Promise<number> {
  // Index observations_changed, as far as it has to.
  const { rows } = await db.query<{ n: number }>(
    `select count(*) as n from (
       select from engram.observations
       where bank_id = $1 and change_xid >= coalesce($2::xid8, '0'::xid8) and change_xid < $4::xid8
         and ($2::xid8 is null or (change_xid, id) > ($2::xid8, $3::uuid)) and is_live and needs_replan_at is null
       limit $5) as changed`,
    [bankId, options.seen?.xid ?? null, options.seen?.id ?? null, options.horizon, options.upTo],
  );
  return rows[0]?.n ?? 0;
}
