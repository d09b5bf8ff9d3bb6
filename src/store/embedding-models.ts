import type { Queryable } from '../db/database.ts';

export interface PinnedModel {
  readonly id: string;
  readonly dimensions: number;
  readonly provider: string;
}

/** Makes the model the one of this database, unless one is already; returns the one that holds. */
export async function pinEmbeddingModel(db: Queryable, model: PinnedModel): Promise<PinnedModel> {
  // Index embedding_models_one_active: of two that pin at once, one inserts and both read the same row after.
  await db.query(
    `insert into engram.embedding_models (id, provider, dimensions, is_active)
     values ($1, $2, $3, true) on conflict do nothing`,
    [model.id, model.provider, model.dimensions],
  );
  const { rows } = await db.query<PinnedModel>(
    'select id, provider, dimensions from engram.embedding_models where is_active',
  );
  const [pinned] = rows;
  if (!pinned) throw new Error('no embedding model is active, though one was just pinned');
  return pinned;
}
