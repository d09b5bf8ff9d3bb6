import { prepositions } from '../values/vocabulary.ts';
import { type Attribute, attributeOf, longestPredicate, namedAttribute, onceOnly, places } from './attributes.ts';
import { namesAsOver, reversedComparison } from './comparisons.ts';
import { type Frame, frameOf, withoutOpening } from './frame.ts';
import { generalAttribute, type Wording } from './general-attributes.ts';
import { handsOver } from './handover.ts';
import { preferenceOf } from './preferences.ts';
import { comparable, type Slot, slotOf } from './slot.ts';
import { type Statement, sameTerm, type Term } from './statement.ts';
import { otherStatus } from './status.ts';
import { type ToldChange, toldChange } from './told-change.ts';
import { isPastForm } from './verbs.ts';
import { sameOrder } from './word-order.ts';

/** One single-valued attribute of one subject with two values. */
export interface ChangedValue {
  readonly attribute: Attribute;
  /** Null where the sentence as a whole tells of the change. */
  readonly from: Slot | null;
  readonly to: Slot | null;
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
  const [one, two] = [frameOf(held), frameOf(offered)];
  if (held.question || offered.question || one.adds || two.adds) return null;
  if (unknownSubjects.has(one.terms[0]?.word ?? '') || one.terms.some((term) => term.denied)) return null;
  // "The key is in the drawer", "a key is in the safe".
  if (two.terms[0]?.article === 'indefinite' && one.terms[0]?.article === 'definite') return null;
  const told = changeInWords(one, two);
  if (told) return told;
  if (two.terms.some((term) => term.denied)) return null;
  const opened = withoutOpening(two.terms, one.terms);
  const wording = { marked: two.marked || opened !== null, habitual: one.habitual && two.habitual };
  const found = otherValue(one.terms, opened ?? two.terms, { ...wording, similarity });
  if (!found || (found.attribute.needsMarker && !wording.marked)) return null;
  // The past is over: only what was fixed once and for all can be contradicted by it.
  if ((one.event || two.event) && !found.attribute.fixed) return null;
  return found;
}

function whole(name: string, undated: Attribute['undated']): ChangedValue {
  return { attribute: { name, kinds: [], undated }, from: null, to: null };
}

/** What the sentences say as a whole: a move, a handover, a state, a preference turned round. */
function changeInWords(one: Frame, two: Frame): ChangedValue | null {
  if (one.event) return null;
  const told = toldChange(two.terms);
  if (told) return changeThatIsTold(one.terms, told);
  if (otherStatus(one.terms, two.terms)) return whole('state', 'conflict');
  if (reversedComparison(one.terms, two.terms)) return whole('preference', 'conflict');
  if (handsOver(one.terms, two.terms)) return whole('who does it', 'conflict');
  return namesAsOver(one, two) ? whole('preference', 'conflict') : null;
}

/** How many words that both values share may be given back to them: "lives in New York", "lives in New Orleans". */
const sharedWords = 2;

interface Context extends Wording {
  readonly similarity: number;
}

function otherValue(held: readonly Term[], offered: readonly Term[], context: Context): ChangedValue | null {
  let prefix = 0;
  while (prefix < held.length && prefix < offered.length && equal(held[prefix], offered[prefix])) prefix++;
  const room = Math.min(held.length, offered.length) - prefix;
  let suffix = 0;
  while (suffix < room && equal(held.at(-1 - suffix), offered.at(-1 - suffix))) suffix++;
  for (const attributeBetween of [listedAttribute, shapedAttribute]) {
    for (let back = 0; back <= Math.min(sharedWords, Math.max(0, prefix - 1)); back++) {
      for (let given = 0; given <= Math.min(sharedWords, suffix); given++) {
        const at = prefix - back;
        // "At the aquarium", "at the aquarium shop": one is a part of the other and no other value.
        if (held.length - suffix + given === at + back || offered.length - suffix + given === at + back) continue;
        const cut = (terms: readonly Term[]) => terms.slice(at, terms.length - suffix + given);
        const found = attributeBetween({
          before: held.slice(0, at),
          after: held.slice(held.length - suffix + given),
          from: cut(held),
          to: cut(offered),
          context,
        });
        if (found) return found;
      }
    }
  }
  return null;
}

interface Gap {
  readonly before: readonly Term[];
  readonly after: readonly Term[];
  readonly from: readonly Term[];
  readonly to: readonly Term[];
  readonly context: Context;
}

/** An attribute that a table names. */
function listedAttribute({ before, after, from: fromTerms, to: toTerms, context }: Gap): ChangedValue | null {
  if (before.length === 0) return null;
  const place = placeAttribute(before, after, fromTerms, toTerms);
  if (place) return place;
  const [from, to] = [slotOf(fromTerms), slotOf(toTerms)];
  if (!from || !to || !comparable(from, to)) return null;
  const attribute =
    labelled(before, after, from, toTerms) ??
    predicateBefore(before, after, from, to) ??
    preferenceOf(before, after, from, context.similarity);
  return attribute && (!attribute.needsMarker || context.marked)
    ? { attribute: toldAs(attribute, before), from, to }
    : null;
}

/** An attribute by the shape of the sentence. */
function shapedAttribute({ before, after, from: fromTerms, to: toTerms, context }: Gap): ChangedValue | null {
  const [word, other] = [fromTerms[0]?.word, toTerms[0]?.word];
  if (
    fromTerms.length === 1 &&
    toTerms.length === 1 &&
    word !== other &&
    [word, other].every((one) => one === 'before' || one === 'after')
  ) {
    return before.length > 1 && after.length > 0 ? whole('when', 'keep-both') : null;
  }
  const [from, to] = [slotOf(fromTerms), slotOf(toTerms)];
  if (!from || !to || !comparable(from, to)) return null;
  const attribute = generalAttribute(before, after, from, to, context);
  return attribute ? { attribute: toldAs(attribute, before), from, to } : null;
}

/** For people the attribute is called as the text does: "the standup is at". */
function toldAs(attribute: Attribute, before: readonly Term[]): Attribute {
  return before.length === 0 ? attribute : { ...attribute, name: before.map((term) => term.raw).join(' ') };
}

function equal(a: Term | undefined, b: Term | undefined): boolean {
  return a !== undefined && b !== undefined && sameTerm(a, b);
}

function predicateBefore(before: readonly Term[], after: readonly Term[], from: Slot, to: Slot): Attribute | null {
  for (let length = Math.min(longestPredicate, before.length - 1); length >= 1; length--) {
    const subject = before.slice(0, before.length - length);
    const predicate = before
      .slice(-length)
      .map((term) => term.stem)
      .join(' ');
    if (subject.length === 0 && predicate !== 'there be') continue;
    const attribute = attributeOf(predicate, from.kind, to.kind) ?? phaseOf(predicate, after);
    if (isPastForm(before.at(-length)?.word ?? '', subject.at(-1)?.word ?? '')) return null;
    if (attribute && holdsValue(attribute, subject, after, from)) return onceFor(attribute, subject, from);
    if (predicate === 'be')
      return after.length <= 1 || startsPhrase(after[0]) ? namedAttribute(subject, widerOf(from, to)) : null;
  }
  // "There are 7 beehives": the subject stands behind.
  const predicate = before.map((term) => term.stem).join(' ');
  const there = predicate === 'there be' ? attributeOf(predicate, from.kind, to.kind) : null;
  return there && after.length > 0 ? there : null;
}

/** A post or label needs a name on both sides: "the head is Ms. Adler", "the head is tired". */
function widerOf(from: Slot, to: Slot): Slot['kind'] {
  return from.kind === 'phrase' ? from.kind : to.kind;
}

/** "Is in the planning phase", "is in read-only mode". */
function phaseOf(predicate: string, after: readonly Term[]): Attribute | null {
  const noun = after[0]?.stem ?? '';
  if (predicate !== 'be in' || after.length > 3 || !/^(?:phase|stage|state|mode|league|division|position)$/u.test(noun))
    return null;
  return { name: `${noun} it is in`, kinds: ['phrase', 'name'], undated: 'conflict' };
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
  if (
    !colon ||
    after.length > 2 ||
    after.some((term) => term.lead !== '') ||
    from.kind === 'phrase' ||
    before.some((term) => /[.;:]/u.test(term.lead))
  )
    return null;
  return { name: 'label', kinds: [from.kind], undated: 'conflict' };
}

const languages = new Set(
  'english german french spanish italian portuguese polish dutch swedish norwegian danish finnish russian ukrainian turkish arabic hebrew hindi japanese chinese korean greek czech hungarian romanian latin'.split(
    ' ',
  ),
);

/** "The key is", "the key is kept", "the dog sleeps". */
function isPlaced(before: readonly Term[]): boolean {
  const [one, two] = before.slice(-2);
  const last = two ?? one;
  if (before.length < 2 || !last) return false;
  return (
    last.stem === 'be' ||
    /^(?:stand|lie|hang|sit|sleep)$/u.test(last.stem) ||
    (one?.stem === 'be' && /^(?:kept|stored|parked|located|hidden)$/u.test(last.word) && before.length > 2)
  );
}

/** PDF and English are no places. */
function isPlaceName(term: Term): boolean {
  return /\p{Ll}/u.test(term.raw) && !languages.has(term.word);
}

/** "The shutter is in the basement", "… on the roof": one thing is in one place. */
function placeAttribute(
  before: readonly Term[],
  after: readonly Term[],
  from: readonly Term[],
  to: readonly Term[],
): ChangedValue | null {
  const last = before.at(-1);
  if (!last || after.length > 0 || from.length > 4 || to.length > 4) return null;
  const samePreposition = /^(?:in|at|on)$/u.test(last.word) && isPlaced(before.slice(0, -1));
  const otherPreposition = isPlaced(before);
  if (!samePreposition && !otherPreposition) return null;
  const slots = [from, to].map((terms) => {
    const rest = otherPreposition ? terms.slice(1) : terms;
    const opens =
      !otherPreposition || /^(?:in|at|on|under|behind|above|beside|near|below)$/u.test(terms[0]?.word ?? '');
    const slot = opens ? slotOf(rest) : null;
    const isPlace =
      slot?.kind === 'phrase'
        ? places.has(rest.at(-1)?.stem ?? '')
        : slot?.kind === 'name' && samePreposition && rest.every(isPlaceName);
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
  const { subject } = told;
  if (held.length <= subject.length || !sameOrder(held.slice(0, subject.length), subject)) return null;
  // "950 euros a month": what both say behind the value is no part of it.
  let shared = 0;
  while (shared < told.to.length - 1 && equal(held.at(-1 - shared), told.to.at(-1 - shared))) shared++;
  return (
    (shared > 0 ? movedValue(held.slice(0, -shared), told, told.to.slice(0, -shared)) : null) ??
    movedValue(held, told, told.to)
  );
}

function movedValue(held: readonly Term[], told: ToldChange, toTerms: readonly Term[]): ChangedValue | null {
  const { subject } = told;
  const to = slotOf(toTerms);
  for (let start = subject.length + 1; start < held.length; start++) {
    const from = slotOf(held.slice(start));
    // "Is in room 2", "has moved to room 4".
    const noun = held[start - 1];
    const number = toTerms.length > 1 && equal(noun, toTerms[0]) ? slotOf(toTerms.slice(1)) : null;
    if (number && from && comparable(from, number)) return { attribute: likelyMove, from, to: number };
    if (!from || !to || !comparable(from, to)) continue;
    if (told.from.length > 0 && sameOrder(told.from, from.terms)) return { attribute: likelyMove, from, to };
    const predicate = held
      .slice(subject.length, start)
      .map((term) => term.stem)
      .join(' ');
    const attribute =
      attributeOf(predicate, from.kind, to.kind) ??
      (predicate === 'be' ? namedAttribute(subject, widerOf(from, to)) : null);
    if (attribute && fitsTheChange(attribute, told, from))
      return { attribute: { ...attribute, undated: 'conflict' }, from, to };
  }
  return to ? sharedHead(held, told, to) : null;
}

const likelyMove: Attribute = { name: 'what it moved from', kinds: [], undated: 'conflict' };

function fitsTheChange(attribute: Attribute, told: ToldChange, from: Slot): boolean {
  if (attribute.fixed) return false;
  // "Up from 900 to 950 euros": the first number leaves its unit to the second.
  const bareNumber = told.from.length === 1 && slotOf(told.from)?.kind === 'count';
  if (told.from.length > 0 && !bareNumber && !sameOrder(told.from, from.terms)) return false;
  if (told.kind === 'renamed')
    return /^be (?:called|named|titled|known)/u.test(attribute.name) || /\bname is$/u.test(attribute.name);
  if (from.kind === 'name' || from.kind === 'phrase')
    return /^(?:moved|relocated)$/u.test(told.verb) && homes.test(attribute.name);
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
