import type { EmbeddingModel } from '../models/embedder.ts';

/**
 * From which cosine on two texts of a scope are worth a decision, by embedding model. It nominates and never decides, so
 * it is low: what it misses becomes a duplicate, what it nominates in vain costs one look. Cut-offs do not carry over
 * between models (0.92 is a paraphrase for one and noise for another).
 */
const byModel: Readonly<Record<string, number>> = {
  // Of the tuned golden pairs every duplicate, superset and changed preference and 23 of 24 dated updates lie above it,
  // and no unrelated pair. At 0.8 it was 17 of 24 updates and 5 of 12 preferences: two batches side by side kept both.
  'local/use-512': 0.5,
};

/** For a model that nobody has calibrated. */
const uncalibrated = 0.85;

/** As the person's own `calibrate` found it, else built in, else cautious. */
export function repeatSimilarityOf(model: Pick<EmbeddingModel, 'id' | 'repeatSimilarity'>): number {
  return model.repeatSimilarity ?? byModel[model.id] ?? uncalibrated;
}
