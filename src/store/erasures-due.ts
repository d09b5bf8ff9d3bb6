import type { Queryable, Tx } from '../db/database.ts';

/** What `forget` has erased, by its ids: what it said is nobody's business any more. */
export interface Erasure {
  readonly bankId: string;
  readonly memoryId: string;
  readonly erasedAt: Date;
}

/**
 * Memories that came back although they were forgotten, or may have: to be erased again before anybody is answered. In
 * the transaction that brings them.
 */
export async function addErasuresDue(tx: Queryable, erasures: readonly Erasure[]): Promise<void> {
  // Primary key. The update is for its lock: whoever is about to take the row away looks for the memory once more.
  await tx.query(
    `insert into engram.erasures_due as due (bank_id, memory_id, erased_at)
     select bank_id, memory_id, min(erased_at)
     from unnest($1::text[], $2::uuid[], $3::timestamptz[]) as e(bank_id, memory_id, erased_at)
     group by 1, 2 order by 1, 2
     on conflict (bank_id, memory_id) do update set erased_at = least(due.erased_at, excluded.erased_at)`,
    [erasures.map((row) => row.bankId), erasures.map((row) => row.memoryId), erasures.map((row) => row.erasedAt)],
  );
}

/** Of every bank: the first ones, by primary key. */
export async function selectErasuresDue(db: Queryable, limit: number): Promise<Erasure[]> {
  // Primary key.
  const { rows } = await db.query<Erasure>(
    `select bank_id as "bankId", memory_id as "memoryId", erased_at as "erasedAt" from engram.erasures_due
     order by bank_id, memory_id limit $1`,
    [limit],
  );
  return rows;
}

/**
 * Takes one away, unless the memory is there. That it was forgotten is known from then on, also where the store is older
 * than that: an import asks.
 *
 * @returns whether it is gone
 */
export async function dropErasureDue(tx: Tx, bankId: string, memoryId: string): Promise<boolean> {
  // Primary keys. Three statements, since what the lock waited for may have brought the memory back.
  await tx.query('select 1 from engram.erasures_due where bank_id = $1 and memory_id = $2 for update', [
    bankId,
    memoryId,
  ]);
  const { rowCount } = await tx.query('select 1 from engram.memories where bank_id = $1 and id = $2', [
    bankId,
    memoryId,
  ]);
  if (rowCount > 0) return false;
  await tx.query(
    `with done as (delete from engram.erasures_due where bank_id = $1 and memory_id = $2 returning *)
     insert into engram.erasures (bank_id, memory_id, erased_at) select bank_id, memory_id, erased_at from done
     on conflict do nothing`,
    [bankId, memoryId],
  );
  return true;
}

/** What was erased in any bank, after the one named, by primary key. */
export async function selectErasures(
  db: Queryable,
  after: Pick<Erasure, 'bankId' | 'memoryId'> | null,
  limit: number,
): Promise<Erasure[]> {
  // Primary key.
  const { rows } = await db.query<Erasure>(
    `select bank_id as "bankId", memory_id as "memoryId", erased_at as "erasedAt" from engram.erasures
     where $1::text is null or (bank_id, memory_id) > ($1, $2::uuid)
     order by bank_id, memory_id limit $3`,
    [after?.bankId ?? null, after?.memoryId ?? null, limit],
  );
  return rows;
}

/** Whether there is a list of them: engramd has been in the database, and not only a version before there was one. */
export async function hasErasures(db: Queryable): Promise<boolean> {
  const { rows } = await db.query<{ present: boolean }>("select to_regclass('engram.erasures') is not null as present");
  return rows[0]?.present === true;
}

/** Undefined: it was not erased, or in a store that is not there any more. */
export async function findErasure(db: Queryable, bankId: string, memoryId: string): Promise<Erasure | undefined> {
  // Primary key.
  const { rows } = await db.query<Erasure>(
    `select bank_id as "bankId", memory_id as "memoryId", erased_at as "erasedAt" from engram.erasures
     where bank_id = $1 and memory_id = $2`,
    [bankId, memoryId],
  );
  return rows[0];
}

/** Says to whoever listens that something was erased: by which process, in which bank, which memory. */
export async function notifyOfErasure(db: Queryable, notice: readonly [string, string, string]): Promise<void> {
  await db.query("select pg_notify('engramd_erased', $1)", [JSON.stringify(notice)]);
}
