import type { Term } from './statement.ts';

/** A sentence that tells of a change itself: "Dinner has been moved from 19:00 to 20:30". */
export interface ToldChange {
  readonly kind: 'moved' | 'renamed';
  /** The verb as written. */
  readonly verb: string;
  readonly subject: readonly Term[];
  /** Empty where the text does not name the old value. */
  readonly from: readonly Term[];
  readonly to: readonly Term[];
}

const words = (list: string): ReadonlySet<string> => new Set(list.split(' '));
const auxiliaries = words('have be was were been');
const moving = words(
  'moved moves postponed rescheduled pushed brought changed changes raised lowered increased reduced extended shortened updated bumped switched switches rose went dropped fell grew climbed delayed migrated relocated transferred shifted upgraded downgraded converted went gone goes',
);
const renaming = words('renamed rebranded rechristened');
const going = words('went gone goes');
const directions = words('up down back forward over by on ahead');
/** Who moved something, in "we raised the ticket price to 12 euros"; the thing is the subject of the change then. */
const movers = words('we they i');

export function toldChange(terms: readonly Term[]): ToldChange | null {
  const verb = terms.findIndex((term) => moving.has(term.word) || renaming.has(term.word));
  const word = terms[verb]?.word;
  if (verb < 1 || word === undefined || terms.some((term) => term.denied)) return null;
  let end = verb;
  while (end > 0 && auxiliaries.has(terms[end - 1]?.stem ?? '')) end--;
  const rest = terms.slice(verb + 1);
  const to = rest.map((term) => term.word).lastIndexOf('to');
  const subject = terms.slice(0, end);
  if (subject.length === 0) return null;
  // "Went to Rome" is a journey, "went up to 950 euros" a change.
  if (going.has(word) && !directions.has(rest[0]?.word ?? '')) return null;
  return renaming.has(word) ? renamed(subject, word, rest, to) : moved(subject, word, rest, to);
}

/** "Renamed to X", "renamed: it is called X". */
function renamed(subject: readonly Term[], verb: string, rest: readonly Term[], to: number): ToldChange | null {
  const called = rest.findIndex((term) => term.word === 'called' || term.word === 'named');
  const name = called >= 0 ? rest.slice(called + 1) : rest.slice(to + 1);
  return name.length > 0 ? { kind: 'renamed', verb, subject, from: [], to: name } : null;
}

function moved(subject: readonly Term[], verb: string, rest: readonly Term[], to: number): ToldChange | null {
  if (to < 0) return null;
  const fromAt = rest.findIndex((term) => term.word === 'from');
  const from = fromAt >= 0 && fromAt < to ? rest.slice(fromAt + 1, to) : [];
  const between = rest
    .slice(0, from.length > 0 ? fromAt : to)
    .filter((term) => !term.value && !directions.has(term.word));
  const target = rest.slice(to + 1);
  if (between.length === 0) return { kind: 'moved', verb, subject, from, to: target };
  // "We raised the ticket price to 12 euros": what stands between is what was changed.
  const mover = subject.length === 1 && movers.has(subject[0]?.word ?? '');
  return mover ? { kind: 'moved', verb, subject: between, from, to: target } : null;
}
