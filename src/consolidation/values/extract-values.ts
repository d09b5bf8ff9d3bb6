import { namesOf, type PlacedName, roleAt } from './names.ts';
import { type Negation, negationsOf } from './negation.ts';
import { type Token, tokensOf } from './tokens.ts';
import type { DateValue, NumberValue } from './value.ts';
import { articles, oneSpelling, prepositions, withoutS } from './vocabulary.ts';

/** A number and what tells it from the same number said of something else: "2 of sugar and 3 of honey". */
export interface PlacedNumber {
  readonly value: NumberValue;
  readonly before: string;
  readonly after: string;
}

export interface Place {
  readonly at: number;
  readonly role: string;
  readonly capital: boolean;
}

/** Everything in a text that folding must not lose or mix up. */
export interface Values {
  readonly numbers: readonly PlacedNumber[];
  readonly dates: readonly DateValue[];
  readonly negations: readonly Negation[];
  readonly names: readonly PlacedName[];
  /** Every word as written, in lower case, with its first place: a name may be typed without its capital. */
  readonly places: ReadonlyMap<string, Place>;
  /** Every word in base form. */
  readonly words: ReadonlySet<string>;
}

/**
 * @param saidAt when the text was said: resolves "yesterday". Without it such words equal only themselves.
 */
export function extractValues(text: string, saidAt: Date | null = null): Values {
  return valuesOf(tokensOf(text, saidAt));
}

export function valuesOf(tokens: readonly Token[]): Values {
  const places = new Map<string, Place>();
  const words = new Set<string>();
  tokens.forEach((token, at) => {
    const word = token.value ? (token.value.kind === 'name' ? token.value.key : null) : token.word;
    if (word === null) return;
    if (!places.has(word)) places.set(word, { at, role: roleAt(tokens, at), capital: token.capital });
    words.add(oneSpelling(withoutS(word)));
    words.add(word);
  });
  return {
    numbers: tokens.flatMap((token, at) =>
      token.value?.kind === 'number' ? [placedNumber(tokens, at, token.value)] : [],
    ),
    dates: tokens.flatMap((token) => (token.value?.kind === 'date' ? [token.value] : [])),
    negations: negationsOf(tokens),
    names: namesOf(tokens),
    places,
    words,
  };
}

function placedNumber(tokens: readonly Token[], at: number, value: NumberValue): PlacedNumber {
  const next = tokens.slice(at + 1).find((token) => !articles.has(token.word) && !prepositions.has(token.word));
  const before = tokens[at - 1]?.word ?? '';
  return {
    value,
    before: prepositions.has(before) || before === 'to' ? before : '',
    after: next ? (next.value?.key ?? withoutS(next.word)) : '',
  };
}
