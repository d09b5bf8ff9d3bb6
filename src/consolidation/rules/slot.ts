import { auxiliaries, conjunctions, prepositions, pronouns } from '../values/vocabulary.ts';
import type { Term } from './statement.ts';

/** What stands in the one place where two statements differ. Only values of one kind can replace each other. */
export type SlotKind =
  | 'amount'
  | 'count'
  | 'range'
  | 'clock'
  | 'ordinal'
  | 'date'
  | 'weekday'
  | 'part of day'
  | 'year'
  | 'name'
  | 'code'
  | 'phrase';

export interface Slot {
  readonly kind: SlotKind;
  /** The unit of an amount; empty otherwise. */
  readonly dimension: string;
  readonly terms: readonly Term[];
}

/** Longer ones are more than a value: "in the morning before the school run with the dog". */
const maxSlotTerms = 4;

/** Null for what is no single value: nothing, a clause, a denial, several things. */
export function slotOf(terms: readonly Term[]): Slot | null {
  if (terms.length === 0 || terms.length > maxSlotTerms || terms.some((term) => term.denied)) return null;
  const [first, second] = terms;
  if (first?.value && terms.length === 1) return valueSlot(first, terms);
  const numbers = terms.filter((term) => term.value?.kind === 'number');
  if (numbers.length === 2 && first?.value && terms.at(-1)?.value && (terms.length === 2 || isSpan(second))) {
    return { kind: 'range', dimension: numbers[1]?.value?.kind === 'number' ? numbers[1].value.dimension : '', terms };
  }
  // "12 Elm Road", "PostgreSQL 17".
  const address =
    terms.some((term) => term.capital) && terms.every((term) => term.capital || isCode(term) || isCount(term));
  if (address) return { kind: 'name', dimension: '', terms };
  const days = terms.filter((term) => term.value?.kind === 'date' && term.value.weekday !== null);
  if (days.length === 2 && terms.length === 3 && isSpan(second)) return { kind: 'range', dimension: 'weekdays', terms };
  if (terms.some((term) => term.value && term.value.kind !== 'name' && !isCode(term))) return null;
  if (terms.every((term) => term.capital || term.value || /["&]/u.test(term.lead)))
    return { kind: 'name', dimension: '', terms };
  return terms.every(isPlain) ? { kind: 'phrase', dimension: '', terms } : null;
}

function isSpan(term: Term | undefined): boolean {
  return term !== undefined && /^(?:to|and|over|until|till|x|by)$/u.test(term.word);
}

function isCode(term: Term): boolean {
  return term.value?.kind === 'number' && term.value.dimension === 'code';
}

function isCount(term: Term): boolean {
  return term.value?.kind === 'number' && term.value.dimension === 'count';
}

function valueSlot(term: Term, terms: readonly Term[]): Slot | null {
  const value = term.value;
  if (!value) return null;
  if (value.kind === 'name') return { kind: 'code', dimension: '', terms };
  if (value.kind === 'number') {
    const { dimension } = value;
    if (dimension === 'count' || dimension === 'clock' || dimension === 'ordinal' || dimension === 'code')
      return { kind: dimension, dimension: '', terms };
    return { kind: 'amount', dimension, terms };
  }
  if (value.month !== null) return { kind: 'date', dimension: '', terms };
  if (value.weekday !== null) return { kind: 'weekday', dimension: '', terms };
  if (/^(?:morning|afternoon|evening|night)$/u.test(value.key)) return { kind: 'part of day', dimension: '', terms };
  return value.year === null ? null : { kind: 'year', dimension: '', terms };
}

/** A noun phrase has no verb, preposition or pronoun in it, as far as lists can tell. */
function isPlain(term: Term): boolean {
  const { word } = term;
  return (
    !prepositions.has(word) &&
    !conjunctions.has(word) &&
    !pronouns.has(word) &&
    !auxiliaries.has(word) &&
    word !== 'be' &&
    word !== 'to' &&
    !/[,;:.(]/u.test(term.lead)
  );
}

/** Whether one of the two could be written in place of the other. */
export function comparable(a: Slot, b: Slot): boolean {
  if (a.kind === b.kind) return (a.kind !== 'amount' && a.kind !== 'range') || a.dimension === b.dimension;
  const pair = [a, b]
    .map((slot) => slot.kind)
    .sort()
    .join(' ');
  // "As PDF", "as spreadsheets".
  if (pair === 'code name' || pair === 'code count' || pair === 'name phrase') return true;
  // "Opens at 7" and "opens at 6:30".
  return pair === 'clock count' && [a, b].every((slot) => slot.kind === 'clock' || hourOf(slot) !== null);
}

function hourOf(slot: Slot): number | null {
  const value = slot.terms[0]?.value;
  const amount = value?.kind === 'number' ? value.amount : null;
  return amount !== null && Number.isInteger(amount) && amount >= 0 && amount <= 24 ? amount : null;
}

/** A post or label needs a name on both sides: "the head is Ms. Adler", "the head is tired". */
export function widerOf(from: Slot, to: Slot): SlotKind {
  return from.kind === 'phrase' ? from.kind : to.kind;
}
