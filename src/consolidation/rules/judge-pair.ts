import { compareValues, missingFrom } from '../values/compare-values.ts';
import { type ChangedValue, isPost } from './attributes.ts';
import { changedValue } from './changed-value.ts';
import { clausesOf, isOneClause, turnedToPost } from './clauses.ts';
import { containment } from './containment.ts';
import { denies, tellOfThePast } from './polarity.ts';
import type { Slot } from './slot.ts';
import { readStatement, type Statement, type Term } from './statement.ts';
import { sameButForOrder, sameOrder } from './word-order.ts';

/**
 * `reinforce`: offered says nothing that held does not. `revise`: offered says all of held and more. `supersede`: held was
 * true until offered began. `superseded-by`: offered is the older value and came late. `conflict`: they cannot both hold and
 * nothing tells which does. `keep-both`: two facts, or nobody can be sure.
 */
export type PairLabel = 'reinforce' | 'revise' | 'supersede' | 'superseded-by' | 'conflict' | 'keep-both';

export interface PairJudgement {
  readonly label: PairLabel;
  readonly reason: string;
}

export interface DatedText {
  readonly text: string;
  /** From when on the text holds, or when it was said; null: undatable. */
  readonly validFrom: Date | null;
}

/** A text as it was read, so that many pairs need read it once only. */
export interface ReadText extends DatedText {
  readonly statement: Statement;
}

export function readText(dated: DatedText): ReadText {
  return { ...dated, statement: readStatement(dated.text, dated.validFrom) };
}

/**
 * What to make of a text beside one that is held already: pure, the same answer for the same input.
 *
 * @param similarity cosine of the two; it only tells whether two bare preferences are of one kind.
 */
export function judgePair(held: DatedText, offered: DatedText, similarity: number): PairJudgement {
  return judgeRead(readText(held), readText(offered), similarity);
}

export function judgeRead(held: ReadText, offered: ReadText, similarity: number): PairJudgement {
  const [a, b] = [held.statement, offered.statement];
  if (a.terms.length === 0 || b.terms.length === 0) {
    return held.text === offered.text ? say('reinforce', 'the same text') : say('keep-both', 'nothing to compare');
  }
  if (a.terms.length > mostTerms || b.terms.length > mostTerms) {
    return a.normal === b.normal && valuesAgree(a, b)
      ? say('reinforce', 'the same words')
      : say('keep-both', 'long texts that differ');
  }
  if (!areRelated(a, b)) return say('keep-both', 'another subject');
  return (
    asRepetition(held, offered) ??
    asDenial(held, offered) ??
    asNewValue(held, offered, similarity) ??
    asClause(held, offered, similarity) ??
    say('keep-both', 'another fact')
  );
}

function say(label: PairLabel, reason: string): PairJudgement {
  return { label, reason };
}

/** Rules are for statements. Pages are the same or they are not: a look at each other's details took a third of a second. */
const mostTerms = 300;

/** Below this share of the shorter text's content no rule applies; most pairs of a bank are below it and cost nothing more. */
const leastShared = 0.3;

function areRelated(a: Statement, b: Statement): boolean {
  const [few, many] = a.content.size < b.content.size ? [a.content, b.content] : [b.content, a.content];
  let shared = 0;
  for (const word of few) if (many.has(word)) shared++;
  return few.size === 0 || shared >= few.size * leastShared;
}

function asRepetition(held: ReadText, offered: ReadText): PairJudgement | null {
  const [a, b] = [held.statement, offered.statement];
  if (sameOrder(a.terms, b.terms) || sameOrder(withoutFillers(a.terms), withoutFillers(b.terms))) {
    return valuesAgree(a, b) ? say('reinforce', 'the same words') : null;
  }
  if (sameButForOrder(a, b)) return valuesAgree(a, b) ? say('reinforce', 'the same words in another order') : null;
  const [less, more] = [containment(a, b), containment(b, a)];
  if (!less && !more) return null;
  if ((a.event || b.event) && !oneMoment(held, offered)) return say('keep-both', 'events of two times');
  if (less) return missingFrom(a.values, b.values).length === 0 ? say('reinforce', `says less (${less})`) : null;
  return missingFrom(b.values, a.values).length === 0 ? say('revise', `says the same and more (${more})`) : null;
}

function valuesAgree(a: Statement, b: Statement): boolean {
  return compareValues(a.values, b.values).agree;
}

/** Words that colour a sentence and say nothing: near twins differ in no others. */
const fillers = new Set('please kindly just really simply basically actually indeed currently presently'.split(' '));

function withoutFillers(terms: readonly Term[]): Term[] {
  return terms.filter((term) => !fillers.has(term.word));
}

/** Tellings of one event lie close together; two that lie apart are more likely two events. */
const oneEventMs = 2 * 86_400_000;

function oneMoment(held: ReadText, offered: ReadText): boolean {
  if (held.validFrom === null || offered.validFrom === null) return held.validFrom === offered.validFrom;
  return Math.abs(held.validFrom.getTime() - offered.validFrom.getTime()) <= oneEventMs;
}

function asDenial(held: ReadText, offered: ReadText): PairJudgement | null {
  if (!denies(held.statement, offered.statement)) return null;
  const order = orderOf(held, offered);
  if (tellOfThePast(held.statement, offered.statement)) {
    return order === 'unknown' || order === 'same'
      ? say('conflict', 'one denies the other')
      : say('keep-both', 'events of two times');
  }
  if (order === 'later') return say('supersede', 'a later text says the opposite');
  if (order === 'earlier') return say('superseded-by', 'the opposite, from before');
  return say('conflict', 'one denies the other and nothing tells which came later');
}

function asNewValue(held: ReadText, offered: ReadText, similarity: number): PairJudgement | null {
  const change = changedValue(held.statement, offered.statement, similarity);
  if (!change) return null;
  const { name, fixed, undated } = change.attribute;
  const order = orderOf(held, offered);
  if (fixed) return say('conflict', `two values of "${name}"`);
  if (isNextOccasion(change, held, offered)) return say('keep-both', 'the earlier date had passed: another occasion');
  if (order === 'later') return say('supersede', `a later value of "${name}"`);
  if (order === 'earlier') return say('superseded-by', `an earlier value of "${name}", told late`);
  return say(undated, `two values of "${name}" and nothing tells which came later`);
}

/**
 * A clause of the new text may answer what is held: "Nadia left Ghent; she lives in Antwerp now". Never the other way round: a
 * text of several clauses is not superseded for the sake of one.
 */
function asClause(held: ReadText, offered: ReadText, similarity: number): PairJudgement | null {
  if (!isOneClause(held.statement) || held.statement.event || orderOf(held, offered) === 'earlier') return null;
  const turned = turnedToPost(offered.statement, isPost);
  for (const statement of [...clausesOf(offered.statement, held.statement), ...(turned ? [turned] : [])]) {
    for (const reading of [statement, turnedToPost(statement, isPost)]) {
      const clause = reading && !reading.event ? { ...offered, statement: reading } : null;
      const judged = clause ? (asDenial(held, clause) ?? asNewValue(held, clause, similarity)) : null;
      if (judged && judged.label !== 'keep-both') return judged;
    }
  }
  return null;
}

function orderOf(held: DatedText, offered: DatedText): 'later' | 'earlier' | 'same' | 'unknown' {
  if (held.validFrom === null || offered.validFrom === null) return 'unknown';
  const [from, to] = [held.validFrom.getTime(), offered.validFrom.getTime()];
  return to > from ? 'later' : to < from ? 'earlier' : 'same';
}

/** A date that lay behind when the later word was said: the fair on 5 March was held, the next one is on 9 April. */
function isNextOccasion(change: ChangedValue, held: ReadText, offered: ReadText): boolean {
  if (!change.attribute.occasion || held.validFrom === null || offered.validFrom === null) return false;
  const now = Math.max(held.validFrom.getTime(), offered.validFrom.getTime());
  return [
    { slot: change.from, told: held.validFrom },
    { slot: change.to, told: offered.validFrom },
  ].some(({ slot, told }) => hasPassed(slot, told, now));
}

function hasPassed(slot: Slot | null, told: Date, now: number): boolean {
  const value = slot?.terms[0]?.value;
  if (value?.kind !== 'date' || value.month === null) return false;
  const { month, day } = value;
  const endIn = (year: number) => Date.UTC(year, month - 1, (day ?? 31) + 1);
  const end = endIn(value.year ?? told.getUTCFullYear());
  // "2 January", told in December, is in the next year.
  const next = value.year === null && end < told.getTime() ? endIn(told.getUTCFullYear() + 1) : end;
  return next < now;
}
