import type { Queryable } from '../db/database.ts';

/** An answer kept under the hash of its request (law L19); undefined: none. */
export async function findModelAnswer(db: Queryable, bankId: string, requestHash: Buffer): Promise<unknown> {
  // Primary key.
  const { rows } = await db.query<{ answer: unknown }>(
    'select answer from engram.model_answers where bank_id = $1 and request_hash = $2',
    [bankId, requestHash],
  );
  return rows[0]?.answer;
}
