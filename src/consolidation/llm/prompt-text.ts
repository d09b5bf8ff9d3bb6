import { scrubSecrets } from '../../models/scrub-secrets.ts';
import type { ModelWindow } from './limits.ts';

/** Stands where a text was shortened; the prompts say what it means. */
const cutMark = ' …[cut]';

/** As it may be sent: without secrets (law L20) and without halves of characters, which no JSON holds. */
export function cleanText(text: string): string {
  return scrubSecrets(text.toWellFormed()).value;
}

export interface ShownText {
  readonly text: string;
  readonly cut: boolean;
}

/** The text itself, or its beginning and a mark, within so many tokens of JSON. */
export function shortened(window: ModelWindow, text: string, maxTokens: number): ShownText {
  const fits = (candidate: string) => window.tokensOf(JSON.stringify(candidate)) <= maxTokens;
  if (fits(text)) return { text, cut: false };
  // Halving finds the longest beginning that fits; a character of two halves is not cut in two.
  let [kept, tooLong] = [0, text.length];
  while (tooLong - kept > 1) {
    const middle = (kept + tooLong) >> 1;
    if (fits(text.slice(0, middle) + cutMark)) kept = middle;
    else tooLong = middle;
  }
  return { text: text.slice(0, kept).replace(/[\ud800-\udbff]$/u, '') + cutMark, cut: true };
}

/** Seconds are enough, and a fraction costs tokens. */
export function shownTime(time: Date | null): string | null {
  return time === null ? null : time.toISOString().replace(/\.\d{3}Z$/, 'Z');
}
