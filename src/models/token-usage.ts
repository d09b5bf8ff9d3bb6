import type { TokenUsage } from './model-gate.ts';

/** The columns of the ledger are of this size; beyond it a server counts something else. */
const mostTokens = 2 ** 31 - 1;

/** A number of tokens as a server tells it: whole, and no more than the ledger holds. Null: it is none. */
function tokensOf(told: unknown): number | null {
  if (typeof told !== 'number' || !Number.isFinite(told) || told < 0) return null;
  return Math.min(Math.round(told), mostTokens);
}

/**
 * What a server says that a request has used. Null where it does not say, which is also where it says nonsense: a negative
 * count would give money back that was spent, and there is no request without a prompt, so that a prompt of nothing is a
 * field that somebody filled with zeros. What was reserved counts as spent then.
 */
export function usageTold(told: {
  readonly prompt: unknown;
  readonly output: unknown;
  readonly total?: unknown;
  readonly cached?: unknown;
}): TokenUsage | null {
  const promptTokens = tokensOf(told.prompt);
  const output = tokensOf(told.output);
  if (promptTokens === null || promptTokens === 0 || output === null) return null;
  return {
    promptTokens,
    cachedTokens: Math.min(tokensOf(told.cached) ?? 0, promptTokens),
    // Some count reasoning in the total only.
    outputTokens: Math.max(output, (tokensOf(told.total) ?? 0) - promptTokens),
  };
}
