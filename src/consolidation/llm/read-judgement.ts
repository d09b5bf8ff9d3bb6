import type { Judgement, Verdict } from '../decider.ts';
import { cleanReason } from './read-operations.ts';

/**
 * Reads `{"verdict", "reason"}`. What may not be said, or is no verdict at all, is taken for the one that changes nothing:
 * two texts that stay apart can still be joined. Pure, and takes any JSON.
 */
export function readJudgement(
  json: unknown,
  admissible: readonly Verdict[],
): { readonly value: Judgement } | { readonly problem: string } {
  if (typeof json !== 'object' || json === null || !('verdict' in json)) {
    return { problem: 'The answer has to be one JSON object with "verdict" and "reason".' };
  }
  const said = typeof json.verdict === 'string' ? json.verdict.trim().toLowerCase().replace(/[ -]/g, '_') : '';
  const reason = cleanReason('reason' in json && typeof json.reason === 'string' ? json.reason : '');
  const verdict = admissible.find((candidate) => candidate === said);
  return {
    value: verdict ? { verdict, reason } : { verdict: 'different', reason: `the model gave no admissible verdict` },
  };
}
