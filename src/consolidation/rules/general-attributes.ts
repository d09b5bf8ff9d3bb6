import { prepositions } from '../values/vocabulary.ts';
import { type Attribute, isPost, isSinglingOut, numberedPlaces } from './attributes.ts';
import type { Slot, SlotKind } from './slot.ts';
import type { Term } from './statement.ts';
import { choiceVerbs, comesOften, isPastForm, steadyVerbs } from './verbs.ts';

/** What the text around a value says of change and habit. */
export interface Wording {
  /** The new text says that something has changed. */
  readonly marked: boolean;
  /** Both texts say what is done as a rule. */
  readonly habitual: boolean;
}

/** Attributes that no list names: sure enough to follow a later date, never to claim a contradiction. */
function likely(name: string, kinds: readonly SlotKind[]): Attribute {
  return { name, kinds, undated: 'keep-both' };
}

const valueKinds: ReadonlySet<SlotKind> = new Set([
  'amount',
  'count',
  'range',
  'clock',
  'weekday',
  'part of day',
  'ordinal',
]);

/** An attribute by the shape of the sentence, where no predicate of the tables fits. */
export function generalAttribute(
  before: readonly Term[],
  after: readonly Term[],
  from: Slot,
  to: Slot,
  wording: Wording,
): Attribute | null {
  if (before.some((term) => /^(?:that|which|who|if|unless|when)$/u.test(term.word))) return null;
  if (before.length === 0) return inverted(after, from, wording) ?? newInCharge(after, from, wording);
  const agent = byAgent(before, from);
  if (agent) return agent;
  const numbered = numberedPlace(before, from);
  if (numbered) return numbered;
  const verb = before.findLastIndex((term, at) => at > 0 && (steadyVerbs.has(term.stem) || isPassive(before, at)));
  if (verb >= 0 && valueKinds.has(from.kind)) return measured(before, after, verb, from, to);
  return chosen(before, after, from, wording) ?? manner(before, after, from);
}

/** "Runs every 20 minutes", "rehearses on Tuesdays", "swims in the morning". */
function measured(
  before: readonly Term[],
  after: readonly Term[],
  verb: number,
  from: Slot,
  to: Slot,
): Attribute | null {
  const name = before
    .slice(verb)
    .map((term) => term.stem)
    .join(' ');
  const last = before.at(-1);
  const next = after[0];
  if (!last || isPastForm(before[verb]?.word ?? '', before[verb - 1]?.word ?? '')) return null;
  const opened = before.length - 1 === verb || prepositions.has(last.word) || /^(?:to|every|each)$/u.test(last.word);
  const closed = next === undefined || next.lead !== '' || prepositions.has(next.word);
  switch (from.kind) {
    case 'clock':
      return opened && closed && !comesOften(before[verb]?.stem ?? '') && before[verb]?.stem !== 'have'
        ? likely(name, ['clock', 'count'])
        : null;
    case 'count':
      // "Ticket 902": behind a noun a number is its name, not its amount.
      return opened && !comesOften(before[verb]?.stem ?? '') ? likely(name, ['count', 'clock']) : null;
    case 'weekday':
      return isRecurring(before, from) && isRecurring(before, to) && closed ? likely(name, ['weekday']) : null;
    default:
      return opened ? likely(name, [from.kind]) : null;
  }
}

/** "Is fed", at the participle. */
function isPassive(before: readonly Term[], at: number): boolean {
  return before[at - 1]?.stem === 'be' && at > 1 && /(?:ed|en|wn|ght|pt|un)$/u.test(before[at]?.word ?? '');
}

/** "Leaves from platform 4", "is in class 3b", "runs PostgreSQL 15". */
function numberedPlace(before: readonly Term[], slot: Slot): Attribute | null {
  if (slot.kind !== 'count' && slot.kind !== 'code') return null;
  const [verb, preposition, noun] = before.slice(-3);
  const product = before.length > 2 && noun?.capital && /^(?:run|use)$/u.test(preposition?.stem ?? '');
  const place =
    verb && before.length > 3 && prepositions.has(preposition?.word ?? '') && numberedPlaces.has(noun?.stem ?? '');
  if (!product && !place) return null;
  const name = before
    .slice(-3)
    .map((term) => term.stem)
    .join(' ');
  return { name, kinds: ['count', 'code'], undated: verb?.stem === 'be' ? 'conflict' : 'keep-both' };
}

/** "On Mondays", "every Monday": a single Monday is a date like any other. */
function isRecurring(before: readonly Term[], slot: Slot): boolean {
  return /days$/iu.test(slot.terms[0]?.raw ?? '') || before.at(-1)?.word === 'every';
}

/** "The garden is watered by Nils": what is done by one is as a rule not done by another. */
function byAgent(before: readonly Term[], slot: Slot): Attribute | null {
  const [be, participle, by] = before.slice(-3);
  const passive =
    be?.stem === 'be' && participle && /(?:ed|en|wn|ght|pt|un|one|ld)$/u.test(participle.word) && by?.word === 'by';
  return passive && slot.kind === 'name' && before.length > 3 ? likely(`is ${participle.word} by`, ['name']) : null;
}

/** Occasions at which one makes one choice. */
const occasions =
  /\b(?:for|at|with|before|after) (?:breakfast|lunch|dinner|supper)\b|\b(?:for|on) (?:holiday|holidays|vacation|vacations)\b|\bto (?:work|school|office|university)\b/u;

/** What one drinks or eats at a time of the day. */
const mealtimes = /\b(?:drink|eat|have)\b.* in (?:morning|afternoon|evening)\b/u;

/** "Always books an aisle seat", "now orders light roast", "for holidays goes to the sea". */
function chosen(before: readonly Term[], after: readonly Term[], slot: Slot, wording: Wording): Attribute | null {
  if (slot.kind !== 'name' && slot.kind !== 'phrase' && slot.kind !== 'code') return null;
  const verb = before.findLastIndex((term, at) => at > 0 && choiceVerbs.has(term.stem));
  const between = before.slice(verb + 1);
  const opened = prepositions.has(between.at(-1)?.word ?? '');
  if (verb < 0 || between.length > 3 || (between.length > 0 && !opened)) return null;
  const context = [...before, ...after].map((term) => term.stem).join(' ');
  // "Now uses Kafka" leaves Redis where it was; "orders light roast now" and "now works from home" say what it replaces.
  const replaces = wording.marked && (opened || (after.length > 0 && after[0]?.lead === ''));
  const single = replaces || wording.habitual || occasions.test(context) || mealtimes.test(context);
  if (!single || (after.length > 2 && !prepositions.has(after[0]?.word ?? ''))) return null;
  return likely(
    before
      .slice(verb)
      .map((term) => term.stem)
      .join(' '),
    [slot.kind],
  );
}

/** "Takes his coffee black", "wants the newsletter weekly": how one likes a known thing. */
function manner(before: readonly Term[], after: readonly Term[], slot: Slot): Attribute | null {
  const verb = before.findIndex(
    (term, at) => at > 0 && /^(?:like|love|take|want|prefer|drink|eat|have)$/u.test(term.stem),
  );
  const first = before[verb + 1];
  const own = /^(?:his|her|their|my|our|its)$/u.test(first?.word ?? '');
  const known = first?.article === 'definite' && /^(?:like|want|prefer)$/u.test(before[verb]?.stem ?? '');
  const topic = before.length - verb - 1 - (own ? 1 : 0);
  if (verb < 0 || !(own || known) || after.length > 0 || topic < 1 || topic > 2 || slot.kind !== 'phrase') return null;
  return likely(
    before
      .slice(verb)
      .map((term) => term.stem)
      .join(' '),
    ['phrase'],
  );
}

const inCharge =
  /^(?:run|lead|manage|handle|maintain|own|chair|organize|coordinate|supervise|head|moderate|host|coach|teach|edit|look after|take care of|be in charge of|be responsible for)\b/u;

/** "Gabi now runs the standup", where Nils did: work that one person is in charge of, said with a word of change. */
function newInCharge(after: readonly Term[], slot: Slot, wording: Wording): Attribute | null {
  const rest = after.map((term) => term.stem).join(' ');
  // "Runs the standup", not "runs marathons".
  const known = after
    .slice(1)
    .some((term) => term.article === 'definite' || term.possessive || /^(?:my|our|your)$/u.test(term.word));
  return wording.marked && slot.kind === 'name' && known && inCharge.test(rest)
    ? likely(`who ${rest}`, ['name'])
    : null;
}

/** "Dumplings are the kids' favourite dinner"; with a word of change also "Laura is the head of procurement now". */
function inverted(after: readonly Term[], slot: Slot, wording: Wording): Attribute | null {
  if (after[0]?.stem !== 'be' || after.length < 2) return null;
  const rest = after.slice(1);
  const whose = rest.some((term) => term.possessive || /^(?:my|our|your|his|her|their|its)$/u.test(term.word));
  const name = rest.map((term) => term.stem).join(' ');
  const favorite = whose && rest.slice(0, -1).some((term) => isSinglingOut(term.stem));
  if (favorite && (slot.kind === 'name' || slot.kind === 'phrase'))
    return { name, kinds: ['name', 'phrase'], undated: 'conflict' };
  const preposition = rest.findIndex((term) => prepositions.has(term.word));
  const head = (preposition < 0 ? rest : rest.slice(0, preposition)).at(-1)?.stem ?? '';
  return wording.marked && isPost(head) && slot.kind === 'name' && (whose || preposition > 0)
    ? likely(name, ['name'])
    : null;
}
