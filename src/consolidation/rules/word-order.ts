import { type Statement, sameTerm, type Term } from './statement.ts';

/** Texts longer than this are compared word by word only: moving blocks about is cubic. */
const maxTerms = 80;

/** Prepositions and conjunctions that may open a phrase that moves to the front of its sentence, or from there. */
const openers = new Set(
  'in on at for since until till before after during because from by with without within near under behind above if when while although though as due despite per via throughout between besides unless once over through around following'.split(
    ' ',
  ),
);
/** "Only", "even" and the like are not here: where they stand says what they bear on. */
const adverbs = new Set(
  'usually often sometimes always normally generally typically unfortunately fortunately luckily currently nowadays now recently today tomorrow yesterday nightly daily weekly monthly yearly annually already meanwhile then there here again'.split(
    ' ',
  ),
);

/** The same terms with the same denials in the same order. */
export function sameOrder(a: readonly Term[], b: readonly Term[]): boolean {
  return a.length === b.length && a.every((term, at) => same(term, b[at]));
}

function same(a: Term | undefined, b: Term | undefined): boolean {
  return a !== undefined && b !== undefined && a.denied === b.denied && sameTerm(a, b);
}

/**
 * Whether two statements say the same words in an order that changes nothing: a list enumerated otherwise, a phrase or
 * adverb that moved to or from the front, the sides of "is" exchanged. Words that change places around a verb do not count:
 * "Ana owes Ben", "billing depends on the ledger".
 */
export function sameButForOrder(a: Statement, b: Statement): boolean {
  if (a.terms.length !== b.terms.length || a.terms.length > maxTerms) return false;
  const right = enumerationsSorted(b.terms);
  return enumerationsSorted(a.terms).some((one) =>
    right.some(
      (other) =>
        sameOrder(one, other) ||
        hasMovedPhrase(one, other) ||
        hasMovedPhrase(other, one) ||
        hasTurnedAroundBe(one, other) ||
        hasTurnedAroundBe(other, one),
    ),
  );
}

const comma: Term = { word: ',', stem: ',', value: null, lead: '', capital: false, possessive: false, denied: false };
const itemLengths = [1, 2, 3] as const;

/**
 * The terms with the items of each enumeration in alphabetical order, once for each reading of how many words its first and
 * last item have: nothing but commas and "and" tells where "Leila likes peanuts, oat flakes and milk" begins to enumerate.
 */
function enumerationsSorted(terms: readonly Term[]): (readonly Term[])[] {
  if (!terms.some(isJoint)) return [terms];
  return itemLengths.flatMap((first) => itemLengths.map((last) => sortEnumerations(terms, first, last)));
}

function sortEnumerations(terms: readonly Term[], first: number, last: number): Term[] {
  const result: Term[] = [];
  let from = 0;
  terms.forEach((term, joint) => {
    if (!isJoint(term) || joint < from) return;
    const items = itemsAround(terms, from, joint, first, last);
    const start = items?.[0]?.start;
    const end = items?.at(-1)?.end;
    if (!items || start === undefined || end === undefined) return;
    result.push(...terms.slice(from, start));
    const sorted = items.map((item) => terms.slice(item.start, item.end)).sort(byWords);
    sorted.forEach((item, index) => {
      result.push(...(index > 0 ? [comma] : []), ...item);
    });
    from = end;
  });
  return [...result, ...terms.slice(from)];
}

interface Span {
  readonly start: number;
  readonly end: number;
}

/** The items before and behind an "and": those between commas whole, the outer two as long as told. */
function itemsAround(terms: readonly Term[], from: number, joint: number, first: number, last: number): Span[] | null {
  const middles: Span[] = [];
  let end = joint;
  for (let at = joint - 1; at >= from && end - at <= 3; at--) {
    if (!/^,$/u.test(terms[at]?.lead.trim() ?? '')) continue;
    middles.unshift({ start: at, end });
    end = at;
  }
  // Without a comma there are two items, and only single words are sure to be of one kind.
  if (middles.length === 0 && (first !== 1 || last !== 1)) return null;
  const span: Span[] = [{ start: end - first, end }, ...middles, { start: joint + 1, end: joint + 1 + last }];
  const inside = end - first >= from && joint + 1 + last <= terms.length;
  return inside && span.every((item) => item.end > item.start && terms.slice(item.start, item.end).every(isNoun))
    ? span
    : null;
}

function isJoint(term: Term): boolean {
  return term.word === 'and' || term.word === 'or';
}

function isNoun(term: Term): boolean {
  if (term.capital || term.value) return true;
  return (
    !openers.has(term.word) &&
    !isJoint(term) &&
    !/^(?:be|was|were|have|do|will|can|may|must|should|of|to|that|who|which|but|not)$/u.test(term.stem)
  );
}

function byWords(one: readonly Term[], other: readonly Term[]): number {
  const key = (item: readonly Term[]) => item.map((term) => term.word).join(' ');
  return key(one) < key(other) ? -1 : 1;
}

/** `front` with its first phrase, or one adverb, moved elsewhere is `back`. */
function hasMovedPhrase(front: readonly Term[], back: readonly Term[]): boolean {
  return movedToOrFromFront(front, back) || movedAdverb(front, back);
}

function movedToOrFromFront(front: readonly Term[], back: readonly Term[]): boolean {
  const opener = front[0];
  if (!opener || !openers.has(opener.word)) return false;
  for (let length = 2; length < front.length; length++) {
    const phrase = front.slice(0, length);
    const rest = front.slice(length);
    // The rest must be able to stand alone: it does not begin with a verb or "and".
    if (rest[0] && /^(?:be|have|and|or|of)$/u.test(rest[0].stem)) continue;
    for (let at = 1; at <= rest.length; at++) {
      if (sameOrder([...rest.slice(0, at), ...phrase, ...rest.slice(at)], back)) return true;
    }
  }
  return false;
}

function movedAdverb(one: readonly Term[], other: readonly Term[]): boolean {
  return one.some((term, index) => {
    if (!adverbs.has(term.word) && term.value?.kind !== 'date') return false;
    const rest = one.filter((_, at) => at !== index);
    return other.some(
      (match, at) =>
        same(term, match) &&
        sameOrder(
          rest,
          other.filter((_, position) => position !== at),
        ),
    );
  });
}

/** "Ravel and Holst are her favourites" and "her favourites are Ravel and Holst": one side is a list, a phrase or definite. */
function hasTurnedAroundBe(a: readonly Term[], b: readonly Term[]): boolean {
  return a.some((term, at) => {
    if (term.stem !== 'be' || at === 0 || at === a.length - 1) return false;
    const [left, right] = [a.slice(0, at), a.slice(at + 1)];
    const marked = [left, right].some(
      (side) =>
        openers.has(side[0]?.word ?? '') ||
        side.some((one) => one === comma || one.possessive) ||
        /^(?:my|our|your|his|her|their|its)$/u.test(side[0]?.word ?? ''),
    );
    return marked && sameOrder([...right, term, ...left], b);
  });
}
