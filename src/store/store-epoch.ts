import type { Queryable } from '../db/database.ts';
import { RestoreUnderWayError, StoreReplacedError } from '../db/errors.ts';
import { tryShareStore } from '../db/store-lock.ts';
import type { EngramdError } from '../telemetry/engramd-error.ts';

/** Which of the stores that were in this database it is: each restore counts one on. */
export async function readStoreEpoch(db: Queryable): Promise<number> {
  // One row. As text, since not every connection reads a bigint as a number.
  const { rows } = await db.query<{ epoch: string }>('select epoch::text as epoch from engram.store');
  const [row] = rows;
  if (!row) throw new Error('engram.store has lost its row');
  return Number(row.epoch);
}

/**
 * Shares the store for the length of the session, and says why the process may not work on it any more, if so: a restore
 * has it now, or had it since. In this order: who shares it knows that no restore comes.
 */
export async function admitToStore(session: Queryable, epoch: number): Promise<EngramdError | null> {
  if (!(await tryShareStore(session))) return new RestoreUnderWayError();
  return (await readStoreEpoch(session)) === epoch ? null : new StoreReplacedError();
}
