import { prepositions } from '../values/vocabulary.ts';
import {
  type Attribute,
  attributeOf,
  type ChangedValue,
  longestPredicate,
  namedAttribute,
  onceOnly,
} from './attributes.ts';
import { namesAsOver, reversedComparison } from './comparisons.ts';
import { type Frame, frameOf, withoutOpening } from './frame.ts';
import { generalAttribute, type Wording } from './general-attributes.ts';
import { handsOver } from './handover.ts';
import { changeThatIsTold } from './moved-value.ts';
import { placeAttribute } from './place.ts';
import { preferenceOf } from './preferences.ts';
import { comparable, type Slot, slotOf, widerOf } from './slot.ts';
import { type Statement, sameTerm, type Term } from './statement.ts';
import { otherStatus } from './status.ts';
import { toldChange } from './told-change.ts';
import { isPastForm } from './verbs.ts';

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
