import type { Queryable } from '../db/database.ts';

/** Sets and takes away pins of memories that the caller has locked, under the lock of their bank. */
export async function savePins(
  tx: Queryable,
  bankId: string,
  pins: readonly { readonly id: string; readonly pin: 'manual' | 'auto' | null }[],
): Promise<void> {
  if (pins.length === 0) return;
  // Primary key. What a person set is taken away by a person with `removePin` (law L17).
  await tx.query(
    `update engram.memories m set pin = p.pin, pinned_at = case when p.pin is not null then now() end
     from unnest($2::uuid[], $3::text[]) as p(id, pin)
     where m.bank_id = $1 and m.id = p.id and m.pin is distinct from 'manual'`,
    [bankId, pins.map((pin) => pin.id), pins.map((pin) => pin.pin)],
  );
}

/** Banks with more pins than `cap` of valid memories, and an automatic one among them. */
export async function banksOverPinCap(db: Queryable, cap: number): Promise<string[]> {
  // Index memories_pinned in full: it is short.
  const { rows } = await db.query<{ bank_id: string }>(
    `select bank_id from engram.memories where pin is not null and invalidated_at is null
     group by bank_id having count(*) > $1 and bool_or(pin = 'auto') order by bank_id`,
    [cap],
  );
  return rows.map(({ bank_id }) => bank_id);
}

/**
 * Takes away a pin, whoever set it, of a memory that the caller has locked. No score pins it again until its text is
 * another (memories_before_write).
 */
export async function removePin(tx: Queryable, bankId: string, memoryId: string): Promise<void> {
  // Primary key.
  await tx.query(
    `update engram.memories set pin = null, pinned_at = null, unpinned_at = now() where bank_id = $1 and id = $2`,
    [bankId, memoryId],
  );
}
