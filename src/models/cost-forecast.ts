import type { Amounts, DayLimits } from '../store/budget-ledger.ts';
import type { BacklogSample } from '../store/cost-report.ts';

/** What the memories that are due now will need. */
export interface CostForecast {
  readonly dueMemories: number;
  /** Null where no memory has been consolidated by a model yet, and nothing is known. */
  readonly needed: (Amounts & { readonly days: number }) | null;
  /** How many memories it was learnt from. */
  readonly learntFrom: number;
}

/** By what the last memories cost; in days of the whole budget, the limit that is reached first. */
export function forecastOf(sample: BacklogSample, limits: DayLimits): CostForecast {
  const { dueMemories, memories } = sample;
  if (dueMemories === 0) {
    return { dueMemories, learntFrom: memories, needed: { nanoUsd: 0, tokens: 0, unpricedTokens: 0, days: 0 } };
  }
  if (memories === 0) return { dueMemories, learntFrom: 0, needed: null };
  const share = dueMemories / memories;
  const nanoUsd = Math.ceil(sample.nanoUsd * share);
  const tokens = Math.ceil(sample.tokens * share);
  const unpricedTokens = Math.ceil(sample.unpricedTokens * share);
  const days = Math.max(
    nanoUsd / limits.nanoUsd,
    limits.tokens === null ? 0 : tokens / limits.tokens,
    unpricedTokens / limits.unpricedTokens,
  );
  return { dueMemories, learntFrom: memories, needed: { nanoUsd, tokens, unpricedTokens, days } };
}

/** What nothing costs: the rules decide. */
export function freeForecast(dueMemories: number): CostForecast {
  return { dueMemories, learntFrom: 0, needed: { nanoUsd: 0, tokens: 0, unpricedTokens: 0, days: 0 } };
}
