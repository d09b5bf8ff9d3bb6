import { type Statement, sameTerm, type Term } from './statement.ts';

/** What may begin an addition to a complete statement without changing what the statement says. */
const additions = new Set(
  'because since as when while so that which who whose where everywhere with and but for to in on at until till from by after before during due via using except every each twice through near under above behind beside into within per including if'.split(
    ' ',
  ),
);
/** What these add tells why or goes on; everything else narrows down where, when or with what the statement holds. */
const reasons = new Set(['because', 'since', 'as', 'so', 'and', 'but', 'due']);
/** "All", "only" and the like, as a denial, say more the less they are narrowed down: then the longer text says less. */
const sweeping = new Set(
  'all every each only always never everyone everybody everything any both none nobody nothing'.split(' '),
);
/** What follows these takes back what stood before. */
const revoking = new Set(['only', 'again', 'anymore', 'instead', 'until', 'till']);

/**
 * How `fuller` says everything that `lesser` says, in the same words and order, and more besides; null where it does not.
 * Only whole phrases may have been added: behind the statement, between commas, or as further items of its list.
 * "Hugo junior takes sugar" is not a fuller "Hugo takes sugar".
 */
export function containment(fuller: Statement, lesser: Statement): 'longer' | 'inserted' | 'list' | null {
  const [long, short] = [fuller.terms, lesser.terms];
  if (short.length < 2 || long.length <= short.length) return null;
  if (fuller.question !== lesser.question) return null;
  if (beginsWith(long, short)) return mayFollow(long, short.length) ? 'longer' : null;
  if (insertedBetweenCommas(long, short)) return 'inserted';
  return itemOfList(long, short) ? 'list' : null;
}

function beginsWith(long: readonly Term[], short: readonly Term[]): boolean {
  return short.every((term, at) => matches(long[at], term));
}

function matches(a: Term | undefined, b: Term | undefined): boolean {
  return a !== undefined && b !== undefined && a.denied === b.denied && sameTerm(a, b);
}

function mayFollow(long: readonly Term[], at: number): boolean {
  const next = long[at];
  if (!next) return true;
  if (revoking.has(next.word)) return false;
  if (isBoundary(next)) return true;
  // "Works at the aquarium no more" takes back; "works without a restart" adds.
  if (next.denied && next.word !== 'with') return false;
  if (reasons.has(next.word)) return true;
  if (long.slice(0, at).some((term) => term.denied || sweeping.has(term.word))) return false;
  return additions.has(next.word) || (next.value?.kind === 'date' && next.value.weekday === null);
}

function isBoundary(term: Term | undefined): boolean {
  return term === undefined || /[,;:.()!-]/u.test(term.lead);
}

/** "Our accountant, Mr. Lindqvist, is on leave": the addition opens and closes with a comma, bracket or dash. */
function insertedBetweenCommas(long: readonly Term[], short: readonly Term[]): boolean {
  let at = 0;
  while (at < short.length && matches(long[at], short[at])) at++;
  if (at === 0 || at === short.length || !isBoundary(long[at])) return false;
  for (let resume = at + 1; resume < long.length; resume++) {
    const rest = short.slice(at);
    if (isBoundary(long[resume]) && rest.every((term, index) => matches(long[resume + index], term))) {
      return mayFollow(long, resume + rest.length);
    }
  }
  return false;
}

/** "The van has a dent" out of "The van has 212,000 km on it, a dent in the door, and valid papers". */
function itemOfList(long: readonly Term[], short: readonly Term[]): boolean {
  let head = 0;
  while (head < short.length && matches(long[head], short[head])) head++;
  const skipped = long[head];
  // A list governed by "except", "without" or a denial does not let go of one item.
  if (
    head < 2 ||
    head === short.length ||
    !skipped ||
    skipped.denied ||
    additions.has(skipped.word) ||
    skipped.word === 'not'
  )
    return false;
  const tail = short.slice(head);
  for (let at = head + 1; at + tail.length <= long.length; at++) {
    const opens = isBoundary(long[at]) && /,/u.test(long[at]?.lead ?? '');
    const afterAnd = /^(?:and|or)$/u.test(long[at - 1]?.word ?? '');
    if (!opens && !afterAnd) continue;
    if (long.slice(head, at).some((term) => /[.;:]/u.test(term.lead) || /^(?:but|not|except)$/u.test(term.word)))
      return false;
    if (!tail.every((term, index) => matches(long[at + index], term))) continue;
    const after = long[at + tail.length];
    return isBoundary(after) || /^(?:and|or)$/u.test(after?.word ?? '');
  }
  return false;
}
