import type { Queryable } from '../db/database.ts';

/** A delete of this many rows takes well under a second; what is more than that is left for the next call. */
export const pruneBatchRows = 5000;

/** Stored answers older than seven days: no client asks again after that. */
export async function pruneIdempotencyKeys(db: Queryable): Promise<number> {
  // Index idempotency_keys_created.
  const { rowCount } = await db.query(
    `delete from engram.idempotency_keys where (scope, key) in (
       select scope, key from engram.idempotency_keys where created_at < now() - interval '7 days'
       order by created_at limit $1)`,
    [pruneBatchRows],
  );
  return rowCount;
}

/** Attempts that ended more than seven days ago accuse nobody any more. */
export async function pruneAttempts(db: Queryable): Promise<number> {
  // No index on finished_at: a scan of at most a week's attempts, a few times a day, is cheaper than keeping one.
  const { rowCount } = await db.query(
    `delete from engram.attempts where (bank_id, id) in (
       select bank_id, id from engram.attempts where finished_at < now() - interval '7 days' limit $1)`,
    [pruneBatchRows],
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
    [pruneBatchRows],
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
    [pruneBatchRows],
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

/** Failures of steps that this build does not have: by that name nobody will ever clear them. */
export async function pruneStepFailures(db: Queryable, knownSteps: readonly string[]): Promise<number> {
  // A scan: a row for each step that failed.
  const { rowCount } = await db.query(
    `delete from engram.step_failures where step <> all($1::text[]) and updated_at < now() - interval '90 days'`,
    [knownSteps],
  );
  return rowCount;
}

/**
 * Steps of cycles that ended more than ninety days ago, but for those of the last twenty. Their cycles stay, a short row
 * each: started and completed are counted from them, and digests name them.
 */
export async function pruneSleepSteps(db: Queryable): Promise<number> {
  // Primary key of the steps; the cycles are scanned, six a day at most.
  const { rowCount } = await db.query(
    `delete from engram.sleep_steps where (cycle_id, name) in (
       select s.cycle_id, s.name from engram.sleep_steps s join engram.sleep_cycles c on c.id = s.cycle_id
       where c.finished_at < now() - interval '90 days'
         and c.id not in (select id from engram.sleep_cycles order by started_at desc limit 20)
       limit $1)`,
    [pruneBatchRows],
  );
  return rowCount;
}

/** Processes that ended more than ninety days ago and did nothing that is on record; commands, most of them. */
export async function pruneInstances(db: Queryable): Promise<number> {
  // Indexes runs_instance and attempts_instance, for the foreign keys too; the others are short.
  const { rowCount } = await db.query(
    `delete from engram.instances where id in (
       select i.id from engram.instances i where i.stopped_at < now() - interval '90 days'
         and not exists (select from engram.runs r where r.instance_id = i.id)
         and not exists (select from engram.attempts a where a.instance_id = i.id)
         and not exists (select from engram.sleep_cycles c where c.instance_id = i.id)
         and not exists (select from engram.leader l where l.instance_id = i.id)
       limit $1)`,
    [pruneBatchRows],
  );
  return rowCount;
}
