import { sameTerm, type Term } from './statement.ts';

export interface Unmarked {
  readonly terms: readonly Term[];
  /** The text itself says that something has changed. */
  readonly marked: boolean;
  /** The text says that this comes on top: "also", "another". */
  readonly adds: boolean;
}

const single = new Set([
  'now',
  'currently',
  'presently',
  'nowadays',
  'again',
  'still',
  'already',
  'meanwhile',
  'instead',
  'generally',
  'normally',
  'usually',
  'always',
]);
const changing = new Set(['now', 'nowadays', 'again', 'instead']);
const adding = new Set([
  'also',
  'too',
  'additionally',
  'another',
  'sometimes',
  'occasionally',
  'partly',
  'besides',
  'either',
  'other',
  'second',
  'additional',
  'extra',
  'both',
]);
/** Phrases of change, as words in base form; `@` is any date. */
const phrases: readonly (readonly string[])[] = [
  ['these', 'day'],
  ['from', '@', 'on'],
  ['from', '@', 'onwards'],
  ['from', 'now', 'on'],
  ['as', 'of', '@'],
  ['as', 'from', '@'],
  ['as', 'of', 'now'],
  ['starting', '@'],
  ['starting', 'in', '@'],
  ['starting', 'on', '@'],
  ['starting', 'from', '@'],
  ['effective', '@'],
  ['at', 'moment'],
  ['for', 'now'],
  ['in', 'meantime'],
];
/** What may open a text of change before it comes to its subject: "Since the last release the checkout …". */
const opening = new Set(['since', 'from', 'after', 'as', 'starting', 'effective', 'with', 'meanwhile']);
const longestOpening = 5;

/** The terms without words of change, reasons left off ("because of avalanches"). */
export function withoutChangeWords(all: readonly Term[]): Unmarked {
  const terms = withoutReason(all);
  const kept: Term[] = [];
  let marked = false;
  for (let at = 0; at < terms.length; ) {
    const term = terms[at];
    const length = term ? phraseAt(terms, at) : 0;
    if (length > 0) {
      marked = true;
      at += length;
      continue;
    }
    if (term && single.has(term.word) && terms.length > 2) {
      marked ||= changing.has(term.word);
    } else if (term) {
      kept.push(term);
    }
    at++;
  }
  return { terms: kept, marked, adds: all.some((term) => adding.has(term.word)) };
}

function phraseAt(terms: readonly Term[], at: number): number {
  return phrases.find((phrase) => phrase.every((word, offset) => fits(terms[at + offset], word)))?.length ?? 0;
}

/** The terms from where those of `held` begin, if only an opening of change stands before. */
export function withoutOpening(terms: readonly Term[], held: readonly Term[]): readonly Term[] | null {
  const [first, second] = held;
  if (!first || !second || !opening.has(terms[0]?.word ?? '')) return null;
  for (let at = 1; at <= longestOpening; at++) {
    const [one, two] = [terms[at], terms[at + 1]];
    if (one && two && sameTerm(one, first) && sameTerm(two, second)) return terms.slice(at);
  }
  return null;
}

function fits(term: Term | undefined, word: string): boolean {
  return word === '@' ? term?.value?.kind === 'date' : term?.stem === word || term?.word === word;
}

function withoutReason(terms: readonly Term[]): readonly Term[] {
  const reason = terms.findIndex(
    (term, at) => at > 1 && (term.word === 'because' || (term.word === 'due' && terms[at + 1]?.word === 'to')),
  );
  return reason < 0 ? terms : terms.slice(0, reason);
}

const auxiliary = new Set(['have', 'be', 'was', 'been']);
const moved = new Set(
  'moved postponed rescheduled pushed brought changed raised lowered increased reduced cut extended shortened updated bumped switched set rose went dropped fell grew climbed delayed'.split(
    ' ',
  ),
);
const renamed = new Set(['renamed', 'rebranded', 'rechristened']);

/** A sentence that tells of a change itself: "Dinner has been moved from 19:00 to 20:30". */
export interface ToldChange {
  readonly kind: 'moved' | 'renamed';
  readonly subject: readonly Term[];
  readonly from: readonly Term[];
  readonly to: readonly Term[];
}

export function toldChange(terms: readonly Term[]): ToldChange | null {
  const verb = terms.findIndex((term) => moved.has(term.word) || renamed.has(term.word));
  const word = terms[verb]?.word;
  if (verb < 1 || word === undefined || terms.some((term) => term.denied)) return null;
  let end = verb;
  while (end > 0 && auxiliary.has(terms[end - 1]?.stem ?? '')) end--;
  const subject = terms.slice(0, end);
  const rest = terms.slice(verb + 1);
  const to = rest.map((term) => term.word).lastIndexOf('to');
  if (subject.length === 0) return null;
  if (renamed.has(word)) {
    // "Renamed to X", "renamed: it is called X".
    const called = rest.findIndex((term) => term.word === 'called' || term.word === 'named');
    const after = called >= 0 ? rest.slice(called + 1) : rest.slice(to + 1);
    return after.length > 0 ? { kind: 'renamed', subject, from: [], to: after } : null;
  }
  if (to < 0) return null;
  const from = rest[0]?.word === 'from' ? rest.slice(1, to) : [];
  // Between the verb and its "to" only "from …", "up", "down", "back" and the distance may stand.
  const between = from.length > 0 ? [] : rest.slice(0, to);
  if (between.some((term) => !term.value && !/^(?:up|down|back|forward|over|by)$/u.test(term.word))) return null;
  return { kind: 'moved', subject, from, to: rest.slice(to + 1) };
}
