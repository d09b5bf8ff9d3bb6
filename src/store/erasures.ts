import type { Queryable, Tx } from '../db/database.ts';

/** What `forget` has erased: ids and no texts. Whoever is about to store what a model said asks here first. */

/** Notes an erasure; a memory is erased once. `observationIds` are those whose texts may have said what it said. */
export async function insertErasure(
  tx: Queryable,
  bankId: string,
  erasure: { readonly memoryId: string; readonly observationIds: readonly string[] },
): Promise<void> {
  // Primary key. The time of the statement: the transaction may have waited for its locks.
  await tx.query(
    `insert into engram.erasures (bank_id, memory_id, observation_ids, erased_at)
     values ($1, $2, $3, clock_timestamp()) on conflict do nothing`,
    [bankId, erasure.memoryId, erasure.observationIds],
  );
}

/**
 * Whether something that a model said over these memories and observations may be kept: all of them are there, and none
 * had its text erased while the model was thinking. Stays true until the transaction ends.
 *
 * An observation that outlived an erasure is refused for two hours, more than any request takes to come back: what is not
 * kept meanwhile costs a call, and what is kept could quote what was erased.
 */
export async function mayKeepSayingOf(tx: Tx, bankId: string, subjectIds: readonly string[]): Promise<boolean> {
  const ids = [...new Set(subjectIds)];
  // Primary keys. The weakest lock, which only an erasure and a delete wait for; by id, and memories first (law L4).
  const { rowCount: memories } = await tx.query(
    'select 1 from engram.memories where bank_id = $1 and id = any($2::uuid[]) order by id for key share',
    [bankId, ids],
  );
  const { rowCount: observations } = await tx.query(
    'select 1 from engram.observations where bank_id = $1 and id = any($2::uuid[]) order by id for key share',
    [bankId, ids],
  );
  if (memories + observations < ids.length) return false;
  // A statement after the locks, so that it sees what they waited for. One pass over the bank's erasures, which are few.
  const { rows } = await tx.query<{ found: boolean }>(
    `select exists (select from engram.erasures
       where bank_id = $1 and observation_ids && $2::uuid[] and erased_at > clock_timestamp() - interval '2 hours') as found`,
    [bankId, ids],
  );
  return rows[0]?.found !== true;
}

/**
 * Keeps the texts of observations from being erased until the transaction ends. To be called before any of them is locked
 * otherwise, with those that will be: an erasure holds one and waits for the next, by id (law L4).
 */
export async function holdFromErasure(tx: Queryable, bankId: string, observationIds: readonly string[]): Promise<void> {
  // Primary key. The weakest lock, which only an erasure and a delete wait for. Sorted before it locks.
  await tx.query(
    'select 1 from engram.observations where bank_id = $1 and id = any($2::uuid[]) order by id for key share',
    [bankId, observationIds],
  );
}

/**
 * Whether an answer was made from a text that has been erased since: of a memory that is gone, or of an observation that
 * went or was written again after `scopeEpoch` was read.
 */
export async function wasErasedSince(
  tx: Queryable,
  bankId: string,
  seen: {
    readonly missingMemoryIds: readonly string[];
    readonly observationIds: readonly string[];
    readonly scopeEpoch: number;
  },
): Promise<boolean> {
  // One pass over the bank's erasures, then the primary key of observations.
  const { rows } = await tx.query<{ found: boolean }>(
    `select exists (select from engram.erasures e
       where e.bank_id = $1 and (e.memory_id = any($2::uuid[])
         or e.observation_ids && $3::uuid[] and exists (
           select from unnest($3::uuid[]) as s(id)
           left join engram.observations o on o.bank_id = $1 and o.id = s.id
           where s.id = any(e.observation_ids) and (o.id is null or o.scope_epoch > $4)))) as found`,
    [bankId, seen.missingMemoryIds, seen.observationIds, seen.scopeEpoch],
  );
  return rows[0]?.found === true;
}
