import { extractValues } from './extract-values.ts';
import { isFunctionWord, oneSpelling, withoutS } from './vocabulary.ts';

/** Scripts that are written without spaces, or with endings that are words elsewhere. */
const unspaced =
  /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}\p{Script=Thai}\p{Script=Khmer}\p{Script=Lao}]/u;

/**
 * The words of a text that carry meaning, in base form; pairs of characters where words are not spaced. Says what a text
 * is about, never that two say the same.
 */
export function contentWords(text: string): ReadonlySet<string> {
  const words = new Set<string>();
  for (const word of extractValues(text).words) {
    if (isFunctionWord(word)) continue;
    for (const part of unspaced.test(word) ? pairsOf(word) : [oneSpelling(withoutS(word))]) words.add(part);
  }
  return words;
}

/** How many of the words of `of` are in `others`, from 0 to 1; 1 where it has none. */
export function sharedWords(of: ReadonlySet<string>, others: ReadonlySet<string>): number {
  if (of.size === 0) return 1;
  return [...of].filter((word) => others.has(word)).length / of.size;
}

function pairsOf(word: string): string[] {
  const characters = [...word];
  return characters.length < 2
    ? characters
    : characters.slice(1).map((character, at) => `${characters[at]}${character}`);
}
