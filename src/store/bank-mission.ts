import type { Queryable } from '../db/database.ts';

/** What the bank is for, in its owner's words; null where there is no such bank. */
export async function bankMission(db: Queryable, bankId: string): Promise<string | null> {
  // Primary key.
  const { rows } = await db.query<{ mission: string }>('select mission from engram.banks where id = $1', [bankId]);
  return rows[0]?.mission ?? null;
}
