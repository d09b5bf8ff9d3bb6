import { extractValues, type PlacedNumber, type Values } from './extract-values.ts';
import type { PlacedName } from './names.ts';
import { contrastsWith } from './negation.ts';
import type { DateValue } from './value.ts';

export type DifferenceKind = 'number' | 'date' | 'negation' | 'name';

export interface ValueDifference {
  readonly kind: DifferenceKind;
  /** For people: what one text says and the other does not. Holds no more than the value itself. */
  readonly detail: string;
}

export interface ValueComparison {
  /** Nothing is lost or changed whichever of the two texts stays. */
  readonly agree: boolean;
  readonly differences: readonly ValueDifference[];
}

/** Numbers, dates, names and negation of two texts, both ways (L9). Cosine cannot see them: "Oct 15" and "Oct 16" are 0.99. */
export function compareValues(a: Values, b: Values): ValueComparison {
  const differences = distinct([...missingFrom(a, b), ...missingFrom(b, a)]);
  return { agree: differences.length === 0, differences };
}

export function compareTexts(a: string, b: string, saidAt: { a?: Date | null; b?: Date | null } = {}): ValueComparison {
  return compareValues(extractValues(a, saidAt.a ?? null), extractValues(b, saidAt.b ?? null));
}

/**
 * What `lesser` says and `fuller` does not, or says otherwise. Empty: nothing is lost where `fuller` stays alone, so
 * `lesser` may become a source of it (reinforce, fold) or be replaced by it (revise).
 */
export function missingFrom(fuller: Values, lesser: Values): ValueDifference[] {
  return [
    ...missingNumbers(fuller.numbers, lesser.numbers),
    ...missingDates(fuller.dates, lesser.dates),
    ...negationDifferences(fuller, lesser),
    ...nameDifferences(fuller, lesser),
  ];
}

function missingNumbers(fuller: readonly PlacedNumber[], lesser: readonly PlacedNumber[]): ValueDifference[] {
  const left = [...fuller];
  const missing = lesser.filter((number) => {
    const at = left.findIndex((other) => other.value.key === number.value.key);
    if (at >= 0) left.splice(at, 1);
    return at < 0;
  });
  if (missing.length > 0) return missing.map(({ value }) => ({ kind: 'number', detail: value.key }));
  return inOneOrder(fuller, lesser) || sameCompany(fuller, lesser)
    ? []
    : [{ kind: 'number', detail: 'the same numbers of other things' }];
}

function inOneOrder(fuller: readonly PlacedNumber[], lesser: readonly PlacedNumber[]): boolean {
  let at = 0;
  return lesser.every((number) => {
    at = fuller.findIndex((other, index) => index >= at && other.value.key === number.value.key) + 1;
    return at > 0;
  });
}

/** "3 of honey and 2 of sugar" in another order: each number keeps its neighbours. */
function sameCompany(fuller: readonly PlacedNumber[], lesser: readonly PlacedNumber[]): boolean {
  return lesser.every((number) =>
    fuller.some(
      (o) =>
        o.value.key === number.value.key &&
        o.after === number.after &&
        o.before === number.before &&
        number.after + number.before !== '',
    ),
  );
}

function missingDates(fuller: readonly DateValue[], lesser: readonly DateValue[]): ValueDifference[] {
  return lesser
    .filter((date) => !fuller.some((other) => dateSays(other, date)))
    .map((date) => ({ kind: 'date', detail: date.key }));
}

/** Whether `fuller` names every part that `lesser` names, alike: 5 March 2026 says "March" and "5 March". */
export function dateSays(fuller: DateValue, lesser: DateValue): boolean {
  if (fuller.key === lesser.key) return true;
  const parts = ['year', 'month', 'day', 'weekday'] as const;
  if (parts.every((part) => lesser[part] === null) || /[?]/u.test(lesser.key + fuller.key)) return false;
  return parts.every(
    (part) => lesser[part] === null || lesser[part] === (part === 'weekday' ? weekdayOf(fuller) : fuller[part]),
  );
}

function weekdayOf(date: DateValue): number | null {
  if (date.year === null || date.month === null || date.day === null) return date.weekday;
  return ((new Date(Date.UTC(date.year, date.month - 1, date.day)).getUTCDay() + 6) % 7) + 1;
}

function negationDifferences(fuller: Values, lesser: Values): ValueDifference[] {
  const found: ValueDifference[] = [];
  const denies = (values: Values, word: string) => values.negations.some(({ scope }) => scope === word);
  for (const [denying, other] of [
    [fuller, lesser],
    [lesser, fuller],
  ] as const) {
    for (const { scope } of denying.negations) {
      if (scope !== '' && other.words.has(scope) && !denies(other, scope))
        found.push({ kind: 'negation', detail: `not ${scope}` });
    }
  }
  // A denial of a word that the other text does not use at all: a part left out, unless it is the lesser text's own.
  if (lesser.negations.length > fuller.negations.length)
    found.push({ kind: 'negation', detail: 'denied in one text only' });
  for (const word of lesser.words) {
    if (fuller.words.has(word)) continue;
    for (const other of contrastsWith(word)) {
      if (fuller.words.has(other) && !lesser.words.has(other))
        found.push({ kind: 'negation', detail: `${word}, ${other}` });
    }
  }
  return found;
}

function nameDifferences(fuller: Values, lesser: Values): ValueDifference[] {
  const missing = lesser.names.filter((name) => !fuller.places.has(name.word) && !fuller.places.has(`${name.word}s`));
  if (missing.length > 0) return missing.map(({ word }) => ({ kind: 'name', detail: word }));
  const shared = distinctNames([
    ...lesser.names.filter((n) => isNameIn(fuller, n)),
    ...fuller.names.filter((n) => isNameIn(lesser, n)),
  ]);
  return shared.some((one, index) => shared.slice(index + 1).some((other) => changedPlaces(one, other, fuller, lesser)))
    ? [{ kind: 'name', detail: 'the same names in other roles' }]
    : [];
}

/** "Payroll is Samir's" begins with a name only as long as the other text does not speak of payroll. */
function isNameIn(other: Values, name: PlacedName): boolean {
  const place = other.places.get(name.word);
  if (!place) return false;
  return !name.doubtful || place.capital || ![...other.places.values()].some(({ capital, at }) => capital && at > 0);
}

/** "Ana owes Ben" and "Ben owes Ana". A name that took its preposition along has moved, not changed its role. */
function changedPlaces(one: PlacedName, other: PlacedName, a: Values, b: Values): boolean {
  if (sameGroup(one.word, other.word, a) && sameGroup(one.word, other.word, b)) return false;
  const [a1, a2, b1, b2] = [
    a.places.get(one.word),
    a.places.get(other.word),
    b.places.get(one.word),
    b.places.get(other.word),
  ];
  if (!a1 || !a2 || !b1 || !b2) return false;
  if (a1.at < a2.at === b1.at < b2.at) return false;
  return a1.role !== b1.role || a2.role !== b2.role || a1.role === a2.role;
}

/** Where a text is typed without capitals it has no groups of its own, and the other text's are taken. */
function sameGroup(one: string, other: string, values: Values): boolean {
  const group = (word: string) => values.names.find((name) => name.word === word)?.group;
  return group(one) === group(other);
}

function distinctNames(names: readonly PlacedName[]): PlacedName[] {
  return [...new Map(names.map((name) => [name.word, name])).values()];
}

function distinct(differences: readonly ValueDifference[]): ValueDifference[] {
  return [
    ...new Map(differences.map((difference) => [`${difference.kind} ${difference.detail}`, difference])).values(),
  ];
}
