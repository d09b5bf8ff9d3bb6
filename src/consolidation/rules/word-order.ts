import { enumerationsSorted } from './enumerations.ts';
import { type Statement, sameTerm, type Term } from './statement.ts';

/** Texts longer than this are compared word by word only: moving phrases about costs the cube of the length. */
const maxTerms = 60;
/** Two phrases may have moved; the search for the second costs the square of the first, so it is for short texts. */
const maxTermsForTwoMoves = 20;
const longestPhrase = 9;

const words = (list: string): ReadonlySet<string> => new Set(list.split(' '));

/** What may open a phrase that moves as a whole. "Of" and "than" are not here: they belong to the word before them. */
const openers = words(
  'in on at for since until till before after during because from by with near under behind above below beside if when whenever while although though as due despite per via throughout between besides unless once over through around following to according next together every each twice across along outside inside next',
);
/** Words that may stand anywhere. "Only", "even" and the like may not: where they stand says what they bear on. */
const adverbs = words(
  'usually often sometimes always normally generally typically unfortunately fortunately luckily currently nowadays now recently nightly daily weekly monthly yearly annually already meanwhile then there here again twice once soon later off up down out away back',
);
const fixedAdverbs = words(
  'only nearly hardly barely almost exactly merely mostly partly family reply supply early likely july italy',
);
const standing = words('be stand hang lie sit');

/** The same terms with the same denials in the same order. */
export function sameOrder(a: readonly Term[], b: readonly Term[]): boolean {
  return a.length === b.length && a.every((term, at) => same(term, b[at]));
}

function same(a: Term | undefined, b: Term | undefined): boolean {
  return a !== undefined && b !== undefined && a.denied === b.denied && sameTerm(a, b);
}

/**
 * Whether two statements say the same words in an order that changes nothing: a list enumerated otherwise, sentences or
 * clauses exchanged, a phrase or adverb that moved, the sides of "is" turned round. Words that change places around a verb do
 * not count: "Ana owes Ben", "billing depends on the ledger".
 */
export function sameButForOrder(a: Statement, b: Statement): boolean {
  if (a.terms.length !== b.terms.length || a.terms.length > maxTerms || !sameWords(a.terms, b.terms)) return false;
  if (sameSentences(a.terms, b.terms)) return true;
  const right = enumerationsSorted(b.terms);
  return enumerationsSorted(a.terms).some((one) =>
    right.some((other) => sameOrder(one, other) || isRearranged(one, other) || isRearranged(other, one)),
  );
}

/** The cheap look before the costly one: each term of the one is somewhere in the other. */
function sameWords(a: readonly Term[], b: readonly Term[]): boolean {
  const left = [...b];
  return a.every((term) => {
    const at = left.findIndex((other) => same(term, other));
    if (at >= 0) left.splice(at, 1);
    return at >= 0;
  });
}

function isRearranged(one: readonly Term[], other: readonly Term[]): boolean {
  if (turnedAround(one, other) || turnedAround(other, one) || clausesExchanged(one, other)) return true;
  const moved = rearrangements(one, other);
  if (moved.some((terms) => sameOrder(terms, other))) return true;
  if (one.length > maxTermsForTwoMoves) return false;
  return moved.some((terms) => rearrangements(terms, other).some((again) => sameOrder(again, other)));
}

/** Every order that one move gives, as far as the move brings a phrase to where `goal` has it. */
function rearrangements(terms: readonly Term[], goal: readonly Term[]): Term[][] {
  const found: Term[][] = [];
  for (let start = 0; start < terms.length; start++) {
    for (let length = 1; length <= Math.min(longestPhrase, terms.length - 1); length++) {
      const phrase = terms.slice(start, start + length);
      if (phrase.length < length || !isMovable(phrase)) continue;
      const rest = [...terms.slice(0, start), ...terms.slice(start + length)];
      for (let target = 0; target <= rest.length; target++) {
        if (target === start || !sameOrder(phrase, goal.slice(target, target + length))) continue;
        if (mayMove(terms, rest, start, target, length))
          found.push([...rest.slice(0, target), ...phrase, ...rest.slice(target)]);
      }
    }
  }
  return found;
}

function isMovable(phrase: readonly Term[]): boolean {
  const [first, second] = phrase;
  if (!first || first.word === 'of') return false;
  if (phrase.length === 1) return isAdverb(first) || first.value?.kind === 'date';
  return (
    openers.has(first.word) ||
    first.value?.kind === 'date' ||
    (first.value?.kind === 'number' && first.value.dimension === 'times') ||
    (isAdverb(first) && second?.value?.kind === 'date')
  );
}

function isAdverb(term: Term): boolean {
  return adverbs.has(term.word) || (/\p{L}{3}ly$/u.test(term.word) && !fixedAdverbs.has(term.word));
}

/**
 * Adverbs and times move freely. A longer phrase moves to or from the front, between commas, or over another phrase: inside a
 * sentence it belongs to its neighbour ("the man with the dog saw the cat").
 */
function mayMove(
  terms: readonly Term[],
  rest: readonly Term[],
  start: number,
  target: number,
  length: number,
): boolean {
  const phrase = terms.slice(start, start + length);
  if (
    length === 1 ||
    phrase.every((term) => term.value?.kind === 'date' || /^(?:on|at|in|every|each)$/u.test(term.word))
  )
    return true;
  // What is left must stand by itself: it does not begin with a verb or "and".
  if (start === 0) return !/^(?:be|have|and|or|of)$/u.test(terms[length]?.stem ?? '');
  if (target === 0) return !/^(?:be|have|and|or|of)$/u.test(rest[0]?.stem ?? '');
  const framed = /,/u.test(phrase[0]?.lead ?? '') && /,/u.test(terms[start + length]?.lead ?? '');
  const crossed = rest[Math.min(start, target)];
  return framed || openers.has(crossed?.word ?? '') || crossed?.value?.kind === 'date';
}

/** "Ravel and Holst are her favourites", "under the mat is a key": the sides of a verb of being, where one side is marked. */
function turnedAround(a: readonly Term[], b: readonly Term[]): boolean {
  return a.some((term, at) => {
    if (!standing.has(term.stem) || at === 0 || at === a.length - 1) return false;
    const [left, right] = [a.slice(0, at), a.slice(at + 1)];
    const marked =
      [left, right].some((side) => openers.has(side[0]?.word ?? '')) ||
      (term.stem === 'be' && [left, right].some(isDefinite));
    return marked && sameOrder([...right, term, ...left], b);
  });
}

/** A name, a date, a list or somebody's: what "is" joins then is one and the same. */
function isDefinite(side: readonly Term[]): boolean {
  const owned =
    side.some((term) => term.possessive) || /^(?:my|our|your|his|her|their|its)$/u.test(side[0]?.word ?? '');
  return owned || side.some((term) => term.word === ',') || side.every((term) => term.capital || term.value !== null);
}

/** "Ana cooks and Ben cleans", each side a clause. */
function clausesExchanged(a: readonly Term[], b: readonly Term[]): boolean {
  return a.some((term, at) => {
    if (term.word !== 'and' || at < 2 || at > a.length - 3) return false;
    return sameOrder([...a.slice(at + 1), term, ...a.slice(0, at)], b);
  });
}

/** The same sentences, none of which leans on the one before it. */
function sameSentences(a: readonly Term[], b: readonly Term[]): boolean {
  const [left, right] = [sentencesOf(a), sentencesOf(b)];
  if (left.length < 2 || left.length !== right.length) return false;
  const leaning = [...left, ...right].some(([first]) =>
    /^(?:he|she|it|they|this|that|these|those|then|so|but|and|there)$/u.test(first?.word ?? ''),
  );
  return !leaning && left.every((one) => right.some((other) => sameOrder(one, other)));
}

function sentencesOf(terms: readonly Term[]): Term[][] {
  const sentences: Term[][] = [];
  for (const term of terms) {
    if (sentences.length === 0 || /[.;!?]/u.test(term.lead)) sentences.push([]);
    sentences.at(-1)?.push(term);
  }
  return sentences;
}
