import type { Queryable } from '../db/database.ts';

/** A delete of this many rows takes well under a second; what is more than that is left for the next time. */
const batchSize = 5000;

/** Stored answers older than seven days: no client asks again after that. */
export async function pruneIdempotencyKeys(db: Queryable): Promise<number> {
  // Index idempotency_keys_created.
  const { rowCount } = await db.query(
    `delete from engram.idempotency_keys where (scope, key) in (
       select scope, key from engram.idempotency_keys where created_at < now() - interval '7 days'
       order by created_at limit $1)`,
    [batchSize],
  );
  return rowCount;
}

/** Attempts that ended more than seven days ago accuse nobody any more. */
export async function pruneAttempts(db: Queryable): Promise<number> {
  // No index on finished_at: a scan of at most a week's attempts, once an hour, is cheaper than keeping one.
  const { rowCount } = await db.query(
    `delete from engram.attempts where (bank_id, id) in (
       select bank_id, id from engram.attempts where finished_at < now() - interval '7 days' limit $1)`,
    [batchSize],
  );
  return rowCount;
}

/** What models answered more than seven days ago: its batch has long been applied, or will be asked about again. */
export async function pruneModelAnswers(db: Queryable): Promise<number> {
  // Index model_answers_created.
  const { rowCount } = await db.query(
    `delete from engram.model_answers where (bank_id, request_hash) in (
       select bank_id, request_hash from engram.model_answers where created_at < now() - interval '7 days'
       order by created_at limit $1)`,
    [batchSize],
  );
  return rowCount;
}

/** Verdicts that nobody has asked for in ninety days. */
export async function pruneVerdicts(db: Queryable): Promise<number> {
  // Index verdicts_used.
  const { rowCount } = await db.query(
    `delete from engram.verdicts where (bank_id, key) in (
       select bank_id, key from engram.verdicts where used_at < now() - interval '90 days'
       order by used_at limit $1)`,
    [batchSize],
  );
  return rowCount;
}

/** Breakers that have been due for a day and were not tried: of a model that nobody uses any more, by that name. */
export async function pruneModelBreakers(db: Queryable): Promise<number> {
  // A scan: a row for each endpoint that is out of order.
  const { rowCount } = await db.query(
    `delete from engram.model_breakers where reopens_at < now() - interval '1 day'
       and (probe_until is null or probe_until < now() - interval '1 day')`,
  );
  return rowCount;
}
