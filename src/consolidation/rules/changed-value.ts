import { prepositions } from '../values/vocabulary.ts';
import { type Attribute, attributeOf, longestPredicate, namedAttribute, onceOnly, places } from './attributes.ts';
import { type ToldChange, toldChange, withoutChangeWords, withoutOpening } from './change-words.ts';
import { preferenceOf } from './preferences.ts';
import { comparable, type Slot, slotOf } from './slot.ts';
import { type Statement, sameTerm, type Term } from './statement.ts';
import { sameOrder } from './word-order.ts';

/** One single-valued attribute of one subject with two values. */
export interface ChangedValue {
  readonly attribute: Attribute;
  readonly from: Slot;
  readonly to: Slot;
}

/** Who these are only the conversation knew: "she lives in Oslo" and "she lives in Rome" may be two people. */
const unknownSubjects = new Set(
  'he she it they this that these those someone somebody one others some many few most everyone nobody people'.split(
    ' ',
  ),
);

/**
 * The attribute of which `offered` gives another value than `held`, where the rest is the same word for word. Null for
 * everything less certain: two differences, a plural attribute, a past event, an unknown subject.
 */
export function changedValue(held: Statement, offered: Statement, similarity: number): ChangedValue | null {
  const [one, two] = [withoutChangeWords(held.terms), withoutChangeWords(offered.terms)];
  if (held.question || offered.question || one.adds || two.adds) return null;
  if ([...one.terms, ...two.terms].some((term) => term.denied)) return null;
  if (unknownSubjects.has(one.terms[0]?.word ?? '')) return null;
  const told = toldChange(two.terms);
  if (told) return changeThatIsTold(one.terms, told);
  const opened = withoutOpening(two.terms, one.terms);
  const found = otherValue(one.terms, opened ?? two.terms, similarity);
  if (!found || (found.attribute.needsMarker && !two.marked && !opened)) return null;
  // The past is over: only what was fixed once and for all can be contradicted by it.
  if ((held.event || offered.event) && !found.attribute.fixed) return null;
  return found;
}

/** How many words that both values share may be given back to them: "lives in New York", "lives in New Orleans". */
const sharedWords = 2;

function otherValue(held: readonly Term[], offered: readonly Term[], similarity: number): ChangedValue | null {
  let prefix = 0;
  while (prefix < held.length && prefix < offered.length && equal(held[prefix], offered[prefix])) prefix++;
  const room = Math.min(held.length, offered.length) - prefix;
  let suffix = 0;
  while (suffix < room && equal(held.at(-1 - suffix), offered.at(-1 - suffix))) suffix++;
  for (let back = 0; back <= Math.min(sharedWords, prefix - 1); back++) {
    for (let given = 0; given <= Math.min(sharedWords, suffix); given++) {
      const at = prefix - back;
      const before = held.slice(0, at);
      const after = held.slice(held.length - suffix + given);
      const [from, to] = [held, offered].map((terms) => terms.slice(at, terms.length - suffix + given));
      const attribute = from && to ? attributeBetween(before, after, from, to, similarity) : null;
      if (attribute) return attribute;
    }
  }
  return null;
}

function equal(a: Term | undefined, b: Term | undefined): boolean {
  return a !== undefined && b !== undefined && sameTerm(a, b);
}

function attributeBetween(
  before: readonly Term[],
  after: readonly Term[],
  fromTerms: readonly Term[],
  toTerms: readonly Term[],
  similarity: number,
): ChangedValue | null {
  const place = placeAttribute(before, after, fromTerms, toTerms);
  if (place) return place;
  const [from, to] = [slotOf(fromTerms), slotOf(toTerms)];
  if (!from || !to || !comparable(from, to)) return null;
  const attribute =
    labelled(before, after, from, toTerms) ??
    predicateBefore(before, after, from, to) ??
    preferenceOf(before, after, from, similarity);
  return attribute ? { attribute, from, to } : null;
}

function predicateBefore(before: readonly Term[], after: readonly Term[], from: Slot, to: Slot): Attribute | null {
  for (let length = Math.min(longestPredicate, before.length - 1); length >= 1; length--) {
    const subject = before.slice(0, before.length - length);
    const predicate = before
      .slice(-length)
      .map((term) => term.stem)
      .join(' ');
    if (subject.length === 0 && predicate !== 'there be') continue;
    const attribute = attributeOf(predicate, from.kind) ?? attributeOf(predicate, to.kind);
    if (attribute && holdsValue(attribute, subject, after, from)) return onceFor(attribute, subject, from);
    if (predicate === 'be')
      return after.length <= 1 || startsPhrase(after[0]) ? namedAttribute(subject, from.kind) : null;
  }
  // "There are 7 beehives": the subject stands behind.
  const predicate = before.map((term) => term.stem).join(' ');
  const there = predicate === 'there be' ? attributeOf(predicate, from.kind) : null;
  return there && after.length > 0 ? there : null;
}

function holdsValue(attribute: Attribute, subject: readonly Term[], after: readonly Term[], slot: Slot): boolean {
  const next = after[0];
  if (attribute.counts) return subject.length > 0 && next !== undefined && next.lead === '';
  // "Takes the 7:42 train": the time is part of a name there.
  if (slot.kind === 'clock' || slot.kind === 'date' || slot.kind === 'weekday')
    return next === undefined || startsPhrase(next);
  return true;
}

function startsPhrase(term: Term | undefined): boolean {
  return term !== undefined && (term.lead !== '' || prepositions.has(term.word) || term.value?.kind === 'date');
}

/** "Lena's birthday is on 4 May": what happens once cannot be on two days, what is "on 4 May" may be there again. */
function onceFor(attribute: Attribute, subject: readonly Term[], slot: Slot): Attribute {
  if (slot.kind !== 'date' || attribute.undated === 'conflict') return attribute;
  return subject.some((term) => onceOnly.has(term.stem)) ? { ...attribute, undated: 'conflict' } : attribute;
}

/** "Gate for the 10:40 to Lisbon: B12". */
function labelled(before: readonly Term[], after: readonly Term[], from: Slot, to: readonly Term[]): Attribute | null {
  const colon = from.terms[0]?.lead.includes(':') && to[0]?.lead.includes(':');
  if (!colon || after.length > 0 || from.kind === 'phrase' || before.some((term) => /[.;:]/u.test(term.lead)))
    return null;
  return { name: 'label', kinds: [from.kind], undated: 'conflict' };
}

const languages = new Set(
  'english german french spanish italian portuguese polish dutch swedish norwegian danish finnish russian ukrainian turkish arabic hebrew hindi japanese chinese korean greek czech hungarian romanian latin'.split(
    ' ',
  ),
);

/** "The shutter is in the basement", "… on the roof": one thing is in one place. */
function placeAttribute(
  before: readonly Term[],
  after: readonly Term[],
  from: readonly Term[],
  to: readonly Term[],
): ChangedValue | null {
  const last = before.at(-1);
  if (!last || after.length > 0 || from.length > 4 || to.length > 4) return null;
  const samePreposition = /^(?:in|at|on)$/u.test(last.word) && before.at(-2)?.stem === 'be' && before.length > 2;
  const otherPreposition = last.stem === 'be' && before.length > 1;
  if (!samePreposition && !otherPreposition) return null;
  const slots = [from, to].map((terms) => {
    const rest = otherPreposition ? terms.slice(1) : terms;
    const opens =
      !otherPreposition || /^(?:in|at|on|under|behind|above|beside|near|below)$/u.test(terms[0]?.word ?? '');
    const slot = opens ? slotOf(rest) : null;
    const isPlace =
      slot?.kind === 'phrase'
        ? places.has(rest.at(-1)?.stem ?? '')
        : slot?.kind === 'name' && samePreposition && !rest.some((term) => languages.has(term.word));
    return slot && isPlace ? slot : null;
  });
  const [a, b] = slots;
  if (!a || !b) return null;
  const undated = a.kind === 'phrase' && b.kind === 'phrase' ? 'conflict' : 'keep-both';
  return { attribute: { name: 'place', kinds: ['phrase', 'name'], undated }, from: a, to: b };
}

/** Values that a move of a meeting or price does not touch: when something ends or up to when it counts. */
const ending = /\b(?:until|end|close|expire|from|due by)\b/u;
const homes = /^(?:live|reside|be based|be located|be headquartered)/u;

/** "Dinner has been moved to 20:30" beside "dinner is at 19:00". */
function changeThatIsTold(held: readonly Term[], told: ToldChange): ChangedValue | null {
  const subject = told.subject;
  if (held.length <= subject.length || !sameOrder(held.slice(0, subject.length), subject)) return null;
  const to = slotOf(told.to);
  if (!to) return null;
  for (let start = subject.length + 1; start < held.length; start++) {
    const from = slotOf(held.slice(start));
    if (!from || !comparable(from, to)) continue;
    const predicate = held
      .slice(subject.length, start)
      .map((term) => term.stem)
      .join(' ');
    const attribute =
      attributeOf(predicate, from.kind) ?? (predicate === 'be' ? namedAttribute(subject, from.kind) : null);
    if (attribute && fitsTheChange(attribute, told, from))
      return { attribute: { ...attribute, undated: 'conflict' }, from, to };
  }
  return sharedHead(held, told, to);
}

function fitsTheChange(attribute: Attribute, told: ToldChange, from: Slot): boolean {
  if (attribute.fixed) return false;
  if (told.from.length > 0 && !sameOrder(told.from, from.terms)) return false;
  if (told.kind === 'renamed')
    return /^be (?:called|named|titled|known)/u.test(attribute.name) || /\bname is$/u.test(attribute.name);
  if (from.kind === 'name' || from.kind === 'phrase') return homes.test(attribute.name);
  return !ending.test(attribute.name);
}

/** "Helga always books an aisle seat", "Helga has switched to window seats". */
function sharedHead(held: readonly Term[], told: ToldChange, to: Slot): ChangedValue | null {
  const [head, newHead] = [held.at(-1), to.terms.at(-1)];
  const from = slotOf(held.slice(-Math.max(2, to.terms.length)));
  if (told.kind !== 'moved' || !head || !newHead || to.terms.length < 2 || !from) return null;
  if (!sameTerm(head, newHead) || sameOrder(from.terms, to.terms)) return null;
  return { attribute: { name: 'choice', kinds: ['phrase', 'name'], undated: 'conflict' }, from, to };
}
