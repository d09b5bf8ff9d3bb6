import type { Tx } from '../db/database.ts';
import { EmbeddingModelMovedError } from '../models/embeddings/embedding-errors.ts';
import { holdEmbeddingModel } from '../store/embedding-models.ts';
import type { Clock } from '../telemetry/clock.ts';

/** The move rewrites every vector of the database; looked at again after this long. */
const moveMs = 5000;

/**
 * Makes sure that the vectors about to be stored and those they were compared with are of the database's model, until the
 * transaction ends. Its first lock.
 *
 * @throws EmbeddingModelMovedError: decided with another one; to be decided again
 */
export async function holdModel(tx: Tx, clock: Clock, modelId: string): Promise<void> {
  const held = await holdEmbeddingModel(tx, modelId);
  if (held === 'holds') return;
  const retryAt = new Date(clock.now().getTime() + (held === 'moving' ? moveMs : 0));
  throw new EmbeddingModelMovedError(`the embedding model of this database is no longer ${modelId}`, retryAt);
}
