import type { Queryable } from '../db/database.ts';
import type { PinnedModel } from './embedding-models.ts';

/** A change of the model that is under way. */
export interface EmbeddingSwitch {
  readonly model: PinnedModel;
  readonly startedAt: Date;
  /** The process that says it makes the vectors; null where none does at the moment. */
  readonly workerId: string | null;
  /** Why it does not go on, as the last process that tried said it; null where one is at it. */
  readonly problem: string | null;
}

interface Row {
  id: string;
  provider: string;
  dimensions: number;
  started_at: Date;
  worker_id: string | null;
  problem: string | null;
}

function toSwitch(row: Row): EmbeddingSwitch {
  const { id, provider, dimensions } = row;
  return {
    model: { id, provider, dimensions },
    startedAt: row.started_at,
    workerId: row.worker_id,
    problem: row.problem,
  };
}

export async function readSwitch(db: Queryable): Promise<EmbeddingSwitch | null> {
  // Index embedding_models_one_switch.
  const { rows } = await db.query<Row>(
    `select id, provider, dimensions, switch_started_at as started_at,
       case when switch_worker_until > now() then switch_worker end as worker_id, switch_problem as problem
     from engram.embedding_models where switch_started_at is not null`,
  );
  return rows[0] ? toSwitch(rows[0]) : null;
}

/**
 * Makes the model the next one, unless one is already or it is the active one. Vectors that were begun for it before are
 * there still where they were not cancelled.
 *
 * @returns false: one is under way, or the model is active, or its vectors have had another length here.
 */
export async function beginSwitch(db: Queryable, model: PinnedModel): Promise<boolean> {
  // Primary key, embedding_models_one_switch.
  const { rowCount } = await db.query(
    `insert into engram.embedding_models as e (id, provider, dimensions, is_active, switch_started_at)
     select $1, $2, $3, false, now()
     where not exists (select from engram.embedding_models where switch_started_at is not null)
     on conflict (id) do update set switch_started_at = now(), switch_problem = null
       where not e.is_active and e.dimensions = excluded.dimensions`,
    [model.id, model.provider, model.dimensions],
  );
  return rowCount === 1;
}

/**
 * Takes the making of vectors for so long that a chunk fits in, or takes it again. One process at a time has it; what one
 * that died or has not been heard of had is free.
 */
export async function claimSwitch(db: Queryable, instanceId: string, leaseMs: number): Promise<EmbeddingSwitch | null> {
  // Index embedding_models_one_switch, primary key of instances. They are heard of every 10 s.
  const { rows } = await db.query<Row>(
    `update engram.embedding_models set switch_worker = $1, switch_worker_until = now() + $2 * interval '1 ms'
     where switch_started_at is not null and (
       switch_worker = $1 or switch_worker_until is null or switch_worker_until < now() or not exists (
         select from engram.instances i
         where i.id = switch_worker and i.stopped_at is null and i.seen_at > now() - interval '30 s'))
     returning id, provider, dimensions, switch_started_at as started_at, switch_worker as worker_id,
       switch_problem as problem`,
    [instanceId, leaseMs],
  );
  return rows[0] ? toSwitch(rows[0]) : null;
}

/**
 * Says why this process does not go on, and leaves the claim, if it has it, to whoever can: a daemon that cannot ask the
 * model would hold it for ever otherwise. Nothing is said while another one is at it.
 *
 * @param problem null: the process ends, which is none
 */
export async function leaveSwitch(db: Queryable, instanceId: string, problem: string | null): Promise<void> {
  // Index embedding_models_one_switch.
  await db.query(
    `update engram.embedding_models set switch_worker = null, switch_worker_until = null, switch_problem = $2
     where switch_started_at is not null and (switch_worker = $1
       or (switch_worker_until is null or switch_worker_until < now()) and switch_problem is distinct from $2)`,
    [instanceId, problem],
  );
}

/** The switch goes on: what stood in its way does no longer. */
export async function clearSwitchProblem(db: Queryable): Promise<void> {
  // Index embedding_models_one_switch.
  await db.query(
    `update engram.embedding_models set switch_problem = null
     where switch_started_at is not null and switch_problem is not null`,
  );
}

/** Forgets a switch and every vector made for it; the id of its model, or null where there was none. */
export async function cancelSwitch(tx: Queryable): Promise<string | null> {
  // Index embedding_models_one_switch. First the row: whoever flips holds it.
  const { rows } = await tx.query<{ id: string }>(
    `update engram.embedding_models
     set switch_started_at = null, switch_worker = null, switch_worker_until = null, switch_problem = null
     where switch_started_at is not null returning id`,
  );
  const [row] = rows;
  if (!row) return null;
  await tx.query('delete from engram.next_embeddings where model = $1', [row.id]);
  return row.id;
}

/**
 * Takes the lock that makes applies wait for the next model, if this one is still to become it.
 *
 * @returns false: cancelled, or done by another process.
 */
export async function lockSwitch(tx: Queryable, modelId: string): Promise<boolean> {
  // One transaction over all rows, and under pgvector each new vector goes into an index: 100,000 take minutes, and the
  // last statement takes all their copies away. With the limit of 60 s a statement it would fail at the same place each
  // time and never be done. A row that somebody holds is waited for longer as well, since starting anew costs more;
  // applies that meanwhile wait for these two rows give up after their own 20 s and come back. Searches and ingest go on.
  await tx.query("set local statement_timeout = 0; set local lock_timeout = '5min'");
  // Both rows, by id: NO KEY, since foreign keys of every vector written meanwhile hold a KEY SHARE on them.
  const { rows } = await tx.query<{ id: string; is_next: boolean }>(
    `select id, switch_started_at is not null as is_next from engram.embedding_models
     where is_active or switch_started_at is not null order by id for no key update`,
  );
  return rows.some((row) => row.id === modelId && row.is_next);
}

/** The pin itself. The caller has moved the vectors, in the same transaction, under {@link lockSwitch}. */
export async function flipModel(tx: Queryable, modelId: string): Promise<void> {
  // Two statements: embedding_models_one_active is checked row by row.
  await tx.query('update engram.embedding_models set is_active = false where is_active');
  await tx.query(
    `update engram.embedding_models
     set is_active = true, pinned_at = now(), switch_started_at = null, switch_worker = null, switch_worker_until = null,
       switch_problem = null
     where id = $1`,
    [modelId],
  );
  // What stays says which texts the model cannot take.
  await tx.query('delete from engram.next_embeddings where model <> $1 or embedding is not null', [modelId]);
}

/** What calls for the model have cost since then, settled or not. */
export async function switchCost(
  db: Queryable,
  model: string,
  since: Date,
): Promise<{ readonly nanoUsd: number; readonly tokens: number }> {
  // Index model_calls_day: days are local, so one more than needed.
  const { rows } = await db.query<{ nanoUsd: number; tokens: number }>(
    `select coalesce(sum(nano_usd), 0)::bigint as "nanoUsd", coalesce(sum(tokens), 0)::bigint as tokens
     from engram.model_calls
     where day >= ($2::timestamptz - interval '1 day')::date and purpose = 'embed' and model = $1 and started_at >= $2`,
    [model, since],
  );
  return rows[0] ?? { nanoUsd: 0, tokens: 0 };
}
