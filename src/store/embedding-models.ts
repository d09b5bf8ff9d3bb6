import type { Queryable } from '../db/database.ts';

export interface PinnedModel {
  readonly id: string;
  readonly dimensions: number;
  readonly provider: string;
  /** As `calibrate` found it; null: nobody has asked. */
  readonly repeatSimilarity?: number | null | undefined;
}

/** Makes the model the one of this database, unless one is already; returns the one that holds. */
export async function pinEmbeddingModel(db: Queryable, model: PinnedModel): Promise<PinnedModel> {
  // Index embedding_models_one_active: of two that pin at once, one inserts and both read the same row after.
  await db.query(
    `insert into engram.embedding_models (id, provider, dimensions, is_active)
     values ($1, $2, $3, true) on conflict do nothing`,
    [model.id, model.provider, model.dimensions],
  );
  const pinned = (await activeEmbeddingModel(db)) ?? (await activateKnown(db, model));
  if (!pinned) throw new Error('no embedding model is active, though one was just pinned');
  return pinned;
}

/** A model that was calibrated before anything was embedded has a row that is not active. */
async function activateKnown(db: Queryable, model: PinnedModel): Promise<PinnedModel | null> {
  // Primary key.
  await db.query(
    `update engram.embedding_models set is_active = true, dimensions = $2, pinned_at = now()
     where id = $1 and not exists (select from engram.embedding_models where is_active)`,
    [model.id, model.dimensions],
  );
  return activeEmbeddingModel(db);
}

/** The model that the vectors of this database come from; null before the first of them. */
export async function activeEmbeddingModel(db: Queryable): Promise<PinnedModel | null> {
  // Index embedding_models_one_active.
  const { rows } = await db.query<PinnedModel>(
    `select id, provider, dimensions, repeat_similarity as "repeatSimilarity"
     from engram.embedding_models where is_active`,
  );
  return rows[0] ?? null;
}

/**
 * Keeps the active model from changing until the transaction ends, if it is this one. To be called before any other
 * lock: the statement that changes it takes this lock first too (law L4).
 *
 * @returns `moving` while another transaction is about to change it: it is not waited for, since that one rewrites every
 *   vector and would outlast the limit of a lock.
 */
export async function holdEmbeddingModel(tx: Queryable, modelId: string): Promise<'holds' | 'moved' | 'moving'> {
  // Index embedding_models_one_active. A model nobody has pinned yet has no vectors that could be mixed with others.
  const { rows } = await tx.query<{ active: string | null; held: string | null }>(
    `with held as (select id from engram.embedding_models where is_active for share skip locked)
     select (select id from engram.embedding_models where is_active) as active, (select id from held) as held`,
  );
  const { active = null, held = null } = rows[0] ?? {};
  if (active === null) return 'holds';
  if (held === null) return 'moving';
  return held === modelId ? 'holds' : 'moved';
}

export interface ModelCalibration {
  readonly repeatSimilarity: number | null;
  readonly calibratedAt: Date | null;
}

/** What `calibrate` found for a model. */
export async function readCalibration(db: Queryable, modelId: string): Promise<ModelCalibration> {
  // Primary key.
  const { rows } = await db.query<ModelCalibration>(
    `select repeat_similarity as "repeatSimilarity", calibrated_at as "calibratedAt"
     from engram.embedding_models where id = $1`,
    [modelId],
  );
  return rows[0] ?? { repeatSimilarity: null, calibratedAt: null };
}

/** Keeps the figure for a model, also for one that has made no vector yet. */
export async function setCalibration(db: Queryable, model: PinnedModel, repeatSimilarity: number): Promise<void> {
  // Primary key.
  await db.query(
    `insert into engram.embedding_models (id, provider, dimensions, is_active, repeat_similarity, calibrated_at)
     values ($1, $2, $3, false, $4, now())
     on conflict (id) do update set repeat_similarity = excluded.repeat_similarity, calibrated_at = now()`,
    [model.id, model.provider, model.dimensions, repeatSimilarity],
  );
}
