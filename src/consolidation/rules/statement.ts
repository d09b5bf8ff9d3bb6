import { type Values, valuesOf } from '../values/extract-values.ts';
import { negationAt } from '../values/negation.ts';
import { type Token, tokensOf } from '../values/tokens.ts';
import type { Value } from '../values/value.ts';
import { articles, auxiliaries, isFunctionWord, oneSpelling, prepositions, withoutS } from '../values/vocabulary.ts';
import { isPresentVerb } from './verbs.ts';

/** A word or value of a statement; articles and denials are not among the terms. */
export interface Term {
  /** As written. */
  readonly raw: string;
  /** Lower case as written; a value's key. */
  readonly word: string;
  /** Base form, one spelling. */
  readonly stem: string;
  readonly value: Value | null;
  /** What stands before it: punctuation, or nothing. */
  readonly lead: string;
  readonly capital: boolean;
  readonly possessive: boolean;
  /** What stood before it: "a" or "an", "the", nothing. */
  readonly article: 'indefinite' | 'definite' | null;
  /** A denial bears on it: "not", "never", "no", "without". */
  readonly denied: boolean;
}

/** A text as the rules read it. */
export interface Statement {
  readonly terms: readonly Term[];
  readonly values: Values;
  /** Terms in one line: equal for equal statements in most spellings, for quick comparison. */
  readonly normal: string;
  /** Stems and words that carry meaning: what two statements must share before a closer look is worth it. */
  readonly content: ReadonlySet<string>;
  /** Something that happened, told in the past tense; what holds now is a state. */
  readonly event: boolean;
  /** Asks instead of telling. */
  readonly question: boolean;
}

/** @param saidAt when the text began to hold; resolves "yesterday". */
export function readStatement(text: string, saidAt: Date | null): Statement {
  const tokens = tokensOf(text, saidAt);
  const terms = termsOf(tokens);
  return {
    terms,
    values: valuesOf(tokens),
    normal: terms.map((term) => `${term.denied ? '!' : ''}${term.stem}`).join(' '),
    content: contentOf(terms),
    event: tellsThePast(terms),
    question: text.trimEnd().endsWith('?'),
  };
}

function contentOf(terms: readonly Term[]): ReadonlySet<string> {
  return new Set(
    terms.filter((term) => term.value !== null || !isFunctionWord(term.word)).map((term) => withoutS(term.word)),
  );
}

/** Denials that vanish from the terms and leave a mark on the next word; the others stay words. */
const vanishing = new Set(['not', 'no', 'never', 'used', 'stopped', 'stops', 'ceased', 'quit', 'up']);
const positives = new Map([
  ['without', 'with'],
  ['neither', 'either'],
]);

function termsOf(tokens: readonly Token[]): Term[] {
  const terms: Term[] = [];
  let pending = false;
  let dropped = { lead: '', article: '' };
  for (let at = 0; at < tokens.length; at++) {
    const token = tokens[at];
    if (!token) continue;
    const lead = dropped.lead + token.lead;
    const article = articleOf(dropped.article);
    const denial = negationAt(tokens, at);
    const positive = denial ? positives.get(token.word) : undefined;
    if (positive !== undefined) {
      terms.push(termOf(token, { word: positive, lead, article, denied: true }));
      dropped = { lead: '', article: '' };
      continue;
    }
    if (denial && vanishing.has(token.word)) {
      pending = true;
      dropped = { lead, article: '' };
      // "No longer", "used to", "has given up", "has stopped": the words around go too.
      if (token.word === 'no' && tokens[at + 1]?.word === 'longer') at++;
      if (token.word === 'used') at++;
      if (token.word === 'up') terms.pop();
      if (denial === 'ended' && terms.at(-1)?.stem === 'have') terms.pop();
      if (/^(?:do|does|did)$/u.test(terms.at(-1)?.word ?? '')) terms.pop();
      continue;
    }
    if (!token.value && isDropped(tokens, at, pending)) {
      dropped = { lead, article: articles.has(token.word) ? token.word : dropped.article };
      continue;
    }
    const denied = pending && !prepositions.has(token.word) && !auxiliaries.has(token.word) && token.word !== 'to';
    terms.push(termOf(token, { word: token.word, lead, article, denied }));
    if (denied) pending = false;
    dropped = { lead: '', article: '' };
  }
  return terms;
}

function articleOf(word: string): Term['article'] {
  return word === '' ? null : word === 'the' ? 'definite' : 'indefinite';
}

/** Articles; and behind a denial "any", "any more", "longer", which only colour it. */
function isDropped(tokens: readonly Token[], at: number, denied: boolean): boolean {
  const token = tokens[at];
  if (!token) return false;
  // In vitamin A and plan A it is no article.
  if (articles.has(token.word) && (token.word !== 'a' || token.startsSentence || !token.capital)) return true;
  if (token.word === 'anymore') return true;
  if (token.word === 'any') return denied || tokens[at + 1]?.word === 'more';
  return token.word === 'more' && tokens[at - 1]?.word === 'any';
}

function termOf(token: Token, read: Pick<Term, 'word' | 'lead' | 'article' | 'denied'>): Term {
  const { value, possessive, text: raw } = token;
  if (value) return { ...read, raw, word: value.key, stem: value.key, value, capital: false, possessive };
  const stem = token.capital ? oneSpelling(read.word) : oneSpelling(withoutS(read.word));
  return { ...read, raw, stem, value: null, capital: token.capital, possessive };
}

/** One term in two texts: case, plural s and spelling may differ; names may not lose a letter (Luca, Lucas). */
export function sameTerm(a: Term, b: Term): boolean {
  if (a.value || b.value) return a.value?.kind === b.value?.kind && a.word === b.word;
  if (a.possessive !== b.possessive) return typedWithoutApostrophe(a, b) || typedWithoutApostrophe(b, a);
  if (a.word === b.word) return true;
  if (a.capital && b.capital) return a.stem === b.stem;
  if (a.capital || b.capital)
    return withoutPlural(a) === withoutPlural(b) && oneSpelling(a.word) === oneSpelling(b.word);
  return a.stem === b.stem || gerundOf(a.word, b.word) || gerundOf(b.word, a.word);
}

/** A sentence's first word is a capital one and may be a verb or noun like any other, but not plural on one side only. */
function withoutPlural(term: Term): string {
  return oneSpelling(withoutS(term.word));
}

/** "hannas badge" for "Hanna's badge". */
function typedWithoutApostrophe(a: Term, b: Term): boolean {
  return a.possessive && !b.possessive && !b.capital && (b.word === `${a.word}s` || b.word === a.word);
}

/** "Given up serving" is about "serves". */
function gerundOf(gerund: string, other: string): boolean {
  if (!gerund.endsWith('ing') || gerund.length < 6) return false;
  const base = gerund.slice(0, -3);
  const verb = withoutS(other);
  return verb === base || verb === `${base}e` || (base.at(-1) === base.at(-2) && verb === base.slice(0, -1));
}

const irregularPasts = new Set(
  'went ran took gave got made bought sold met saw said told wrote came left lost won began broke built caught chose ate fell felt found flew forgot kept knew led paid sent spoke spent stood taught thought wore held drove rode swam sang drank grew threw drew stole woke'.split(
    ' ',
  ),
);
const participleAfter = new Set('be been being get gets got have has had is are am was were'.split(' '));

/** Whether the terms tell of something that happened: a verb in the past tense that is no participle. */
export function tellsThePast(terms: readonly Term[]): boolean {
  return terms.some((term, at) => {
    if (term.value) return false;
    if (/^(?:was|were|did|had)$/u.test(term.word)) return true;
    const before = terms.slice(Math.max(0, at - 3), at).some(({ word }) => participleAfter.has(word));
    // "The museum, built in 1902, has a café"; "the closed door".
    if (before || (at > 0 && term.lead.includes(',')) || term.article) return false;
    if (irregularPasts.has(term.word)) return true;
    if (term.word.length <= 4 || !/[^e]ed$/u.test(term.word)) return false;
    // "Wants his eggs fried": behind a verb of the present it is no past.
    return !terms.slice(0, at).some(({ word }) => isPresentVerb(word));
  });
}
