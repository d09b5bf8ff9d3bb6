/**
 * From which cosine on two texts of a scope are worth a decision, by embedding model. It nominates and never decides, so
 * it is low: what it misses becomes a duplicate, what it nominates in vain costs one look. Cut-offs do not carry over
 * between models (0.92 is a paraphrase for one and noise for another).
 */
const byModel: Readonly<Record<string, number>> = {
  // On the golden pairs every exact, case and word-order duplicate and nine dated updates in ten lie above it.
  'local/use-512': 0.8,
};

/** For a model that nobody has calibrated. */
const uncalibrated = 0.85;

export function repeatSimilarityOf(modelId: string): number {
  return byModel[modelId] ?? uncalibrated;
}
