import { conjunctions, prepositions } from '../values/vocabulary.ts';
import type { Term } from './statement.ts';

const comma: Term = {
  raw: ',',
  word: ',',
  stem: ',',
  value: null,
  lead: '',
  capital: false,
  possessive: false,
  article: null,
  denied: false,
};
const itemLengths = [1, 2, 3] as const;

/**
 * The terms with the items of each enumeration in alphabetical order, once for each reading of how many words its first and
 * last item have: nothing but commas and "and" tells where "Leila likes peanuts, oat flakes and milk" begins to enumerate.
 */
export function enumerationsSorted(terms: readonly Term[]): (readonly Term[])[] {
  if (!terms.some(isJoint)) return [afterColonSorted(terms)];
  return itemLengths.flatMap((first) => itemLengths.map((last) => sortEnumerations(terms, first, last)));
}

/** "Shopping list: milk, eggs, bread." */
function afterColonSorted(terms: readonly Term[]): readonly Term[] {
  const colon = terms.findIndex((term) => term.lead.includes(':'));
  const items: Term[][] = [];
  for (const term of colon < 0 ? [] : terms.slice(colon)) {
    if (items.length === 0 || term.lead.trim() === ',') items.push([]);
    items.at(-1)?.push(term);
  }
  return items.length < 3 ? terms : [...terms.slice(0, colon), ...joined(items)];
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
    result.push(...terms.slice(from, start), ...joined(items.map((item) => terms.slice(item.start, item.end))));
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
    if (terms[at]?.lead.trim() !== ',') continue;
    middles.unshift({ start: at, end });
    end = at;
  }
  const spans: Span[] = [{ start: end - first, end }, ...middles, { start: joint + 1, end: joint + 1 + last }];
  const inside = end - first >= from && joint + 1 + last <= terms.length;
  return inside && spans.every((item) => item.end > item.start && terms.slice(item.start, item.end).every(mayBeItem))
    ? spans
    : null;
}

function joined(items: readonly (readonly Term[])[]): Term[] {
  return [...items].sort(byWords).flatMap((item, index) => (index > 0 ? [comma, ...item] : item));
}

function isJoint(term: Term): boolean {
  return term.word === 'and' || term.word === 'or';
}

function mayBeItem(term: Term): boolean {
  if (term.denied) return false;
  if (term.capital || term.value) return true;
  return (
    !prepositions.has(term.word) &&
    !conjunctions.has(term.word) &&
    !/^(?:be|was|were|have|do|will|can|may|must|should|to|not)$/u.test(term.stem)
  );
}

function byWords(one: readonly Term[], other: readonly Term[]): number {
  const key = (item: readonly Term[]) => item.map((term) => term.word).join(' ');
  return key(one) < key(other) ? -1 : 1;
}
