import { dateSays } from '../values/compare-values.ts';
import { type Statement, sameTerm, type Term } from './statement.ts';

const words = (list: string): ReadonlySet<string> => new Set(list.split(' '));

/** What may begin an addition to a complete statement without changing what the statement says. */
const additions = words(
  'because since as when whenever while so that which who whose where everywhere with and but for to in on at until till from by after before during due via using except every each twice through near under above behind beside into within per including named called aged across throughout around together',
);
/** What may open a sentence and be followed by the whole of the shorter one. A condition may not: it takes half of it back. */
const openings = words(
  'in on at since because after before during for from as according due thanks with by throughout every each near under behind together',
);
/** What these add tells why or goes on; everything else narrows down where, when or with what the statement holds. */
const reasons = words('because since as so and but due');
/** "All", "only" and the like, as a denial, say more the less they are narrowed down: then the longer text says less. */
const sweeping = words('all every each only always never everyone everybody everything any both none nobody nothing');
/** What follows these takes back what stood before. */
const revoking = words('only again anymore instead if unless');
/** Adverbs that weaken what they stand beside: "usually closes at four" does not say "closes at four". */
const hedges = words(
  'usually probably possibly allegedly apparently hardly nearly rarely partially partly reportedly supposedly mostly generally normally typically occasionally frequently previously formerly recently only barely almost seemingly potentially theoretically officially early',
);
/** Who has a black cat has a cat. "Likes", "is" and "wants" give no such right. */
const having = words('have own drive ride keep');
/** A trainee nurse is no nurse yet, a toy car no car. */
const privative = words(
  'former ex fake future trainee assistant deputy vice toy model potential possible alleged aspiring no',
);

/** How many phrases the longer text may have more. */
const mostAdditions = 3;
const longestAddition = 14;
/** Longer texts are compared as wholes only: the search is for statements, not for pages. */
const maxTerms = 120;

/**
 * How `fuller` says everything that `lesser` says, in the same words and order, and more besides; null where it does not.
 * Only whole phrases may have been added: behind or before the statement, between commas, in front of another phrase, as an
 * adjective of something one has, or as further items of its list. "Hugo junior takes sugar" is not a fuller "Hugo takes sugar".
 */
export function containment(fuller: Statement, lesser: Statement): 'longer' | 'list' | null {
  const [long, short] = [fuller.terms, lesser.terms];
  if (short.length < 2 || long.length <= short.length || long.length > maxTerms) return null;
  if (fuller.question !== lesser.question) return null;
  if (restContains(long, short, 0, 0, mostAdditions)) return 'longer';
  return itemOfList(long, short) ? 'list' : null;
}

/** Whether `long` from `at` is `short` from `from` with at most `left` additions. */
function restContains(long: readonly Term[], short: readonly Term[], at: number, from: number, left: number): boolean {
  if (from === short.length) return at === long.length || (left > 0 && mayFollow(long, short, at));
  if (at >= long.length) return false;
  if (matches(long[at], short[from]) && restContains(long, short, at + 1, from + 1, left)) return true;
  if (left === 0) return false;
  for (let length = 1; length <= longestAddition && at + length < long.length; length++) {
    if (mayInsert(long, short, at, length, from) && restContains(long, short, at + length, from, left - 1)) return true;
  }
  return false;
}

function matches(long: Term | undefined, short: Term | undefined): boolean {
  if (long === undefined || short === undefined || long.denied !== short.denied) return false;
  if (long.value?.kind === 'date' && short.value?.kind === 'date') return dateSays(long.value, short.value);
  return sameTerm(long, short);
}

function isBoundary(term: Term | undefined): boolean {
  return term === undefined || /[,;:.()!-]/u.test(term.lead);
}

/** Whether what follows the whole of the shorter text only adds to it. */
function mayFollow(long: readonly Term[], short: readonly Term[], at: number): boolean {
  const next = long[at];
  if (!next || /[.;]/u.test(next.lead)) return true;
  if (revoking.has(next.word)) return false;
  if (isBoundary(next)) return true;
  // "Works at the aquarium no more" takes back; "works without a restart" adds.
  if (next.denied && next.word !== 'with') return false;
  if (reasons.has(next.word)) return true;
  if (isSweeping(short)) return false;
  return additions.has(next.word) || (next.value?.kind === 'date' && next.value.weekday === null);
}

function isSweeping(short: readonly Term[]): boolean {
  return short.some((term) => term.denied || sweeping.has(term.word));
}

/** Whether `length` terms from `at` are a phrase that may stand there before the shorter text goes on. */
function mayInsert(long: readonly Term[], short: readonly Term[], at: number, length: number, from: number): boolean {
  const phrase = long.slice(at, at + length);
  const [first, next] = [long[at], long[at + length]];
  if (!first || !next || phrase.some((term) => term.denied)) return false;
  // "Our accountant, Mr. Lindqvist, is on leave."
  if (from > 0 && isBoundary(first) && isBoundary(next) && !phrase.slice(1).some((term) => /[.;:]/u.test(term.lead)))
    return true;
  if (isSweeping(short)) return false;
  if (from === 0) return openings.has(first.word) && length <= 8 && length > 1;
  if (length === 1 && /\p{L}{3}ly$/u.test(first.word) && !hedges.has(first.word)) return true;
  if (length === 2 && /^(?:part|full)$/u.test(first.word) && phrase[1]?.word === 'time') return true;
  if (additions.has(first.word) && first.word !== 'and' && (additions.has(next.word) || next.value?.kind === 'date'))
    return true;
  return isAdjective(long, at, length);
}

/** "Drives a blue electric van": only behind a verb of having, and only for one of several. */
function isAdjective(long: readonly Term[], at: number, length: number): boolean {
  const phrase = long.slice(at, at + length);
  const verb = long[at - 1];
  const plain = (term: Term) =>
    !isBoundary(term) &&
    !term.capital &&
    !additions.has(term.word) &&
    !privative.has(term.word) &&
    !sweeping.has(term.word);
  const first = phrase[0];
  if (length > 4 || !verb || first?.article !== 'indefinite' || !having.has(verb.stem)) return false;
  return phrase.every(
    (term, index) => plain(term) || (index > 0 && term.lead === '-') || term.value?.kind === 'number',
  );
}

/** "The van has a dent" out of "The van has 212,000 km on it, a dent in the door, and valid papers". */
function itemOfList(long: readonly Term[], short: readonly Term[]): boolean {
  let head = 0;
  while (head < short.length && matches(long[head], short[head])) head++;
  const skipped = long[head];
  // A list governed by "except", "without" or a denial does not let go of one item.
  if (head < 2 || head === short.length || !skipped || skipped.denied || additions.has(skipped.word)) return false;
  const tail = short.slice(head);
  for (let at = head + 1; at + tail.length <= long.length; at++) {
    const opens = /,/u.test(long[at]?.lead ?? '');
    const afterAnd = /^(?:and|or)$/u.test(long[at - 1]?.word ?? '');
    if (!opens && !afterAnd) continue;
    if (long.slice(head, at).some((term) => /[.;:]/u.test(term.lead) || /^(?:but|except)$/u.test(term.word)))
      return false;
    if (!tail.every((term, index) => matches(long[at + index], term))) continue;
    const after = long[at + tail.length];
    return isBoundary(after) || /^(?:and|or)$/u.test(after?.word ?? '');
  }
  return false;
}
