import type { Queryable, Tx } from '../db/database.ts';
import { lockBank } from './apply-locks.ts';
import { mayKeepSayingOf } from './erasures.ts';

/**
 * What a model said of a pair of texts, kept under a hash of everything that it depends on. No text stands in here but
 * the model's reason, which may quote one: that is what `subject_ids` are for.
 */
export interface StoredVerdict {
  readonly verdict: string;
  readonly reason: string;
}

export interface VerdictUse {
  /** SHA-256 over all that the verdict depends on. */
  readonly key: Buffer;
  /** Memories and observations whose texts the pair holds. */
  readonly subjectIds: readonly string[];
}

/** What was said of the pair before; undefined: it was never judged under this key. Says that it was used. */
export async function findVerdict(db: Queryable, bankId: string, use: VerdictUse): Promise<StoredVerdict | undefined> {
  // Primary key.
  const { rows } = await db.query<StoredVerdict & { is_stale: boolean }>(
    `select verdict, reason, used_at < now() - interval '1 day' or not subject_ids @> $3::uuid[] as is_stale
     from engram.verdicts where bank_id = $1 and key = $2`,
    [bankId, use.key, use.subjectIds],
  );
  const [found] = rows;
  if (!found) return undefined;
  // A day is exact enough for what is pruned after ninety, and a read stays a read. Another memory in the same words
  // joins the subjects, or erasing it would leave a reason that quotes it.
  if (found.is_stale) {
    await db.query(
      `update engram.verdicts set used_at = now(),
         subject_ids = array(select distinct id from unnest(subject_ids || $3::uuid[]) as id order by id)
       where bank_id = $1 and key = $2`,
      [bankId, use.key, use.subjectIds],
    );
  }
  return { verdict: found.verdict, reason: found.reason };
}

/**
 * Keeps a verdict, the first of two that come at once. False: nothing was kept, since one of its subjects is gone. It
 * may have been erased while the model was thinking, and nothing about it is written after that.
 */
export async function storeVerdict(tx: Tx, bankId: string, verdict: VerdictUse & StoredVerdict): Promise<boolean> {
  if (!(await lockBank(tx, bankId, 'shared'))) return false;
  const ids = [...new Set(verdict.subjectIds)];
  if (!(await mayKeepSayingOf(tx, bankId, ids))) return false;
  await tx.query(
    `insert into engram.verdicts (bank_id, key, verdict, reason, subject_ids) values ($1, $2, $3, $4, $5)
     on conflict (bank_id, key) do nothing`,
    [bankId, verdict.key, verdict.verdict, verdict.reason, ids],
  );
  return true;
}

/** Forgets every verdict over a text of these memories and observations; says how many there were. */
export async function eraseVerdicts(db: Queryable, bankId: string, subjectIds: readonly string[]): Promise<number> {
  // Index verdicts_subjects (gin).
  const { rowCount } = await db.query('delete from engram.verdicts where bank_id = $1 and subject_ids && $2::uuid[]', [
    bankId,
    subjectIds,
  ]);
  return rowCount;
}
