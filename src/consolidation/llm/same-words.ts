import type { PairToJudge, Verdict } from '../decider.ts';

/** Whether two texts are the same but for how their characters are encoded and spaced. */
export function sameWords(one: string, other: string): boolean {
  return one === other || plain(one) === plain(other);
}

/** No model is asked whether a text says what it says. */
export function needsNoVerdict(pair: PairToJudge, admissible: readonly Verdict[]): boolean {
  return admissible.includes('same') && sameWords(pair.held.text, pair.offered.text);
}

// NFC, not NFKC: that would make 10² a 102.
function plain(text: string): string {
  return text.normalize('NFC').replace(/\s+/gu, ' ').trim();
}
