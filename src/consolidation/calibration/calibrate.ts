import type { Embedder } from '../../models/embedder.ts';
import { embeddingText } from '../../models/embedding-text.ts';
import { cosine } from '../cosine.ts';
import { readTuningPairs } from './golden-pairs.ts';
import { proposeThreshold, type ScoredPair, scoreThresholds, type ThresholdScore } from './score-thresholds.ts';

export interface Calibration {
  readonly model: string;
  readonly pairs: number;
  /** Ascending. */
  readonly scores: readonly ThresholdScore[];
  readonly proposed: ThresholdScore;
}

/** Texts in one call. */
const atOnce = 64;

/**
 * Scores an embedder on the golden pairs that ship with the package: some 500 short texts, about 10,000 tokens.
 *
 * @throws what the embedder throws
 */
export async function calibrate(embedder: Embedder, signal: AbortSignal): Promise<Calibration> {
  const pairs = readTuningPairs();
  const texts = [...new Set(pairs.flatMap(({ a, b }) => [embeddingText(a), embeddingText(b)]))];
  const vectors = new Map<string, Float32Array>();
  for (let at = 0; at < texts.length; at += atOnce) {
    const some = texts.slice(at, at + atOnce);
    const made = await embedder.embed(some, { purpose: 'observation', signal });
    for (const [index, text] of some.entries()) {
      const vector = made[index];
      if (vector) vectors.set(text, vector);
    }
  }
  const scored = pairs.flatMap((pair): ScoredPair[] => {
    const [a, b] = [vectors.get(embeddingText(pair.a)), vectors.get(embeddingText(pair.b))];
    return a && b ? [{ pair, cosine: cosine(a, b) }] : [];
  });
  const scores = scoreThresholds(scored);
  return { model: embedder.model.id, pairs: scored.length, scores, proposed: proposeThreshold(scores) };
}
