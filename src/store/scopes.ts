import type { Queryable } from '../db/database.ts';

/**
 * The epoch of a scope, as of now; the row is made where there is none. Read before anything is compared with the
 * scope: what is written afterwards carries a higher one (law L3).
 */
export async function readScopeEpoch(db: Queryable, bankId: string, tags: readonly string[]): Promise<number> {
  // Primary key (bank_id, tags). Selected first: an insert that finds the row burns a dead one, and planning the two
  // together cost twice the select.
  const known = await db.query<{ epoch: number }>('select epoch from engram.scopes where bank_id = $1 and tags = $2', [
    bankId,
    tags,
  ]);
  if (known.rows[0]) return known.rows[0].epoch;
  await db.query(
    `insert into engram.scopes (bank_id, tags) select b.id, $2 from engram.banks b where b.id = $1
     on conflict do nothing`,
    [bankId, tags],
  );
  // Whoever made it has by now committed; it may have moved since.
  const made = await db.query<{ epoch: number }>('select epoch from engram.scopes where bank_id = $1 and tags = $2', [
    bankId,
    tags,
  ]);
  return made.rows[0]?.epoch ?? 0;
}

/** Locks the scope until the transaction ends and returns its epoch; null when the bank is gone. */
export async function lockScope(tx: Queryable, bankId: string, tags: readonly string[]): Promise<number | null> {
  // Primary key (bank_id, tags).
  const { rows } = await tx.query<{ epoch: number }>(
    'select epoch from engram.scopes where bank_id = $1 and tags = $2 for no key update',
    [bankId, tags],
  );
  return rows[0]?.epoch ?? null;
}

export async function advanceScope(
  tx: Queryable,
  bankId: string,
  tags: readonly string[],
  epoch: number,
): Promise<void> {
  // Primary key (bank_id, tags); never backwards (law L22).
  await tx.query('update engram.scopes set epoch = $3 where bank_id = $1 and tags = $2 and epoch < $3', [
    bankId,
    tags,
    epoch,
  ]);
}
