import type { GoldenPair } from './golden-pairs.ts';

/** A golden pair with the cosine that an embedder gives its two texts. */
export interface ScoredPair {
  readonly pair: GoldenPair;
  readonly cosine: number;
}

export interface ThresholdScore {
  readonly threshold: number;
  /** Of the pairs that must be decided, the share that meets it. What is missed becomes a duplicate or stays outdated. */
  readonly recall: number;
  /** Of all that meets it, the share that had to be decided; the rest costs a look each. 1 where nothing meets it. */
  readonly precision: number;
  readonly met: number;
  readonly metNeedlessly: number;
}

/** Two texts of which one repeats, extends, outdates or denies the other. Twins and strangers stay apart without a word. */
export function mustMeet({ label }: GoldenPair): boolean {
  switch (label) {
    case 'reinforce':
    case 'revise':
    case 'supersede':
    case 'conflict':
      return true;
    case 'keep-both':
      return false;
    default:
      return label satisfies never;
  }
}

/** 0.30, 0.31, … 0.99: whole hundredths, so that what is printed is what is meant. */
export const thresholds: readonly number[] = Array.from({ length: 70 }, (_, at) => (30 + at) / 100);

/** Pure. */
export function scoreThresholds(pairs: readonly ScoredPair[]): ThresholdScore[] {
  const wanted = pairs.filter(({ pair }) => mustMeet(pair)).length;
  return thresholds.map((threshold) => {
    const meeting = pairs.filter(({ cosine }) => cosine >= threshold);
    const met = meeting.filter(({ pair }) => mustMeet(pair)).length;
    return {
      threshold,
      recall: wanted === 0 ? 1 : met / wanted,
      precision: meeting.length === 0 ? 1 : met / meeting.length,
      met,
      metNeedlessly: meeting.length - met,
    };
  });
}

/**
 * A miss is for ever and a needless look costs a fraction of a cent, so that recall decides: the highest threshold that
 * keeps 99 % of what the lowest one finds. A model of which even that finds little gets the lowest.
 */
const recallKept = 0.99;

/** The threshold to take. `scores` ascending, at least one. */
export function proposeThreshold(scores: readonly ThresholdScore[]): ThresholdScore {
  const [lowest] = scores;
  if (!lowest) throw new RangeError('no thresholds to choose from');
  return scores.findLast((score) => score.recall >= recallKept * lowest.recall) ?? lowest;
}
