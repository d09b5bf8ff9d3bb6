import type { BreakerKey } from '../store/model-breakers.ts';

/**
 * Under which a model rests that gives no usable scores: it may decide well, so that its own breaker stays closed. In
 * `status`, logs and metrics it is read as a name.
 */
export function scoresKeyOf({ endpoint, model }: BreakerKey): BreakerKey {
  return { endpoint, model: `${model} for scores` };
}
