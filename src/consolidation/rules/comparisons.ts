import { isFunctionWord } from '../values/vocabulary.ts';
import type { Frame } from './frame.ts';
import { sameTerm, type Term } from './statement.ts';
import { likingVerbs } from './verbs.ts';
import { sameOrder } from './word-order.ts';

/** "Prefers tea to coffee" and "prefers coffee to tea": the same words around "to", "over" or "than", sides exchanged. */
export function reversedComparison(held: readonly Term[], offered: readonly Term[]): boolean {
  if (held.length !== offered.length || !held.some(({ stem }) => /^(?:prefer|rather|more|better|favor)$/u.test(stem)))
    return false;
  const middle = held.findLastIndex(({ word }) => word === 'to' || word === 'over' || word === 'than');
  const second = held.slice(middle + 1);
  if (middle < 0 || second.length === 0 || second.length > 3) return false;
  for (let length = 1; length <= 3 && middle - length >= 1; length++) {
    const head = held.slice(0, middle - length);
    const first = held.slice(middle - length, middle);
    const mark = held.slice(middle, middle + 1);
    const more = first.at(-1)?.word === 'more' ? first.slice(-1) : [];
    const left = more.length > 0 ? first.slice(0, -1) : first;
    if (left.length > 0 && sameOrder([...head, ...second, ...more, ...mark, ...left], offered)) return true;
  }
  return false;
}

const ending: readonly (readonly string[])[] = [
  'have lost interest in',
  'lost interest in',
  'have gone off',
  'be tired of',
  'be bored with',
  'be bored of',
  'be over',
  'be done with',
].map((words) => words.split(' '));

/**
 * Whether the new text itself names the old one's value as over, of the same subject: "coffee instead of tea" beside "drinks
 * tea", "would rather … than by e-mail" beside "likes … by e-mail", "has lost interest in thrillers" beside "likes thrillers".
 */
export function namesAsOver(held: Frame, offered: Frame): boolean {
  const [old, fresh] = [held.terms, offered.terms];
  const subject = sharedStart(old, fresh);
  if (subject === 0 || old.length > 10) return false;
  const given = offered.given.length > 0 ? offered.given : (replacedBy(fresh) ?? comparedTo(fresh));
  if (given.length > 0)
    return endsWith(old, given, subject) && (subject > 1 || replacedBy(fresh) !== null || likes(old, subject));
  const after = fresh.slice(subject);
  const cue = ending.find((words) => words.every((word, at) => after[at]?.word === word || after[at]?.stem === word));
  if (!cue) return false;
  const object = upToPause(after.slice(cue.length));
  return endsWith(old, object, subject) && likes(old, subject);
}

/** "Replaced webpack with Vite", "dropped tea for coffee": the first is over. */
function replacedBy(terms: readonly Term[]): readonly Term[] | null {
  const verb = terms.findIndex(({ word }) =>
    /^(?:replaced|dropped|swapped|traded|exchanged|abandoned|ditched)$/u.test(word),
  );
  const by = terms.findIndex(
    ({ word }, at) =>
      at > verb &&
      (word === 'with' || word === 'for' || word === 'by' || (word === 'in' && terms[at + 1]?.word === 'favor')),
  );
  return verb > 0 && by > verb + 1 ? terms.slice(verb + 1, by) : null;
}

function sharedStart(a: readonly Term[], b: readonly Term[]): number {
  let at = 0;
  while (at < a.length && at < b.length) {
    const [one, other] = [a[at], b[at]];
    if (!one || !other || one.denied !== other.denied || !sameTerm(one, other)) break;
    at++;
  }
  // "He" and "they" may be anybody; a subject of function words is none.
  return a.slice(0, at).some((term) => !isFunctionWord(term.word) || /^(?:we|i)$/u.test(term.word)) ? at : 0;
}

/** What a comparison puts second: "would rather X than Y", "prefers X to Y". */
function comparedTo(terms: readonly Term[]): readonly Term[] {
  if (!terms.some(({ stem }) => stem === 'prefer' || stem === 'rather')) return [];
  const than = terms.findLastIndex(({ word }) => word === 'than' || word === 'over' || word === 'to');
  return than < 0 ? [] : upToPause(terms.slice(than + 1));
}

function upToPause(terms: readonly Term[]): readonly Term[] {
  const end = terms.findIndex(
    (term, at) => at > 0 && (/[,;:.(]/u.test(term.lead) || term.word === 'and' || term.word === 'but'),
  );
  return end < 0 ? terms : terms.slice(0, end);
}

/** The value named as over is the end of the old text, and says something. */
function endsWith(old: readonly Term[], value: readonly Term[], subject: number): boolean {
  const start = old.length - value.length;
  if (value.length === 0 || start < subject || value.every((term) => isFunctionWord(term.word))) return false;
  return value.every((term, at) => {
    const match = old[start + at];
    return match !== undefined && !match.denied && sameTerm(term, match);
  });
}

function likes(old: readonly Term[], subject: number): boolean {
  const [verb, noun, of] = old.slice(subject);
  if (verb && likingVerbs.has(verb.stem)) return true;
  return (
    verb?.stem === 'be' &&
    /^(?:fan|into|keen|fond|lover)$/u.test(noun?.stem ?? '') &&
    (noun?.word === 'into' || of !== undefined)
  );
}
