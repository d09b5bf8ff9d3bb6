import { isHeldByOne } from './attributes.ts';
import { type Statement, sameTerm, type Term } from './statement.ts';
import { baseOfGerund } from './verbs.ts';

const words = (list: string): ReadonlySet<string> => new Set(list.split(' '));

/** A statement stripped to what can be laid beside another one: who, what, which value. */
export interface Frame {
  readonly terms: readonly Term[];
  /** The text says that something has changed: "now", "from May on", "instead of tea". */
  readonly marked: boolean;
  /** The text says what is done as a rule: "always", "usually". */
  readonly habitual: boolean;
  /** The text says that this comes on top: "also", "another". */
  readonly adds: boolean;
  /** What the text itself names as over: "instead of tea", "not in Lund". */
  readonly given: readonly Term[];
}

const changing = words('now nowadays again instead anymore meanwhile lately');
const fading = words('currently presently still already generally');
const steady = words('always usually normally typically mostly');
const adding = words('also too additionally another sometimes occasionally partly besides other additional extra both');
const labels = words('update correction news new note fyi reminder change');

/** Phrases of time and change, as words in base form; `@` is any date. */
const phrases: readonly (readonly string[])[] = [
  'these day',
  'from @ on',
  'from @ onwards',
  'from now on',
  'as of @',
  'as from @',
  'as of now',
  'starting @',
  'starting in @',
  'starting on @',
  'starting from @',
  'effective @',
  'at moment',
  'for now',
  'for time being',
  'in meantime',
  'as rule',
].map((phrase) => phrase.split(' '));
/** These say a time only at the end; inside, "from May" may be part of the value. */
const closing: readonly (readonly string[])[] = ['since @', 'from @', 'since in @'].map((phrase) => phrase.split(' '));

export function frameOf(statement: Statement): Frame {
  const unlabelled = withoutLabel(statement.terms);
  const { terms: bare, given } = withoutAside(newPossession(unlabelled) ?? unlabelled);
  const kept: Term[] = [];
  let marked = given.length > 0 || unlabelled.length < statement.terms.length || newPossession(unlabelled) !== null;
  let habitual = false;
  for (let at = 0; at < bare.length; ) {
    const length = phraseAt(bare, at);
    if (length > 0) {
      marked = true;
      at += length;
      continue;
    }
    const term = bare[at];
    at++;
    if (!term) continue;
    if (term.word === 'new' && [bare[at], bare[at + 1]].some((next) => next && isHeldByOne(next.stem))) {
      marked = true;
      continue;
    }
    marked ||= changing.has(term.word);
    habitual ||= steady.has(term.word) || (term.word === 'every' && /^(?:time|day)$/u.test(bare[at]?.word ?? ''));
    if (bare.length > 2 && (changing.has(term.word) || fading.has(term.word) || steady.has(term.word))) continue;
    kept.push(term);
  }
  return {
    terms: plainVerbs(kept),
    marked,
    habitual,
    adds: statement.terms.some((term) => adding.has(term.word)),
    given,
  };
}

function withoutLabel(terms: readonly Term[]): readonly Term[] {
  return labels.has(terms[0]?.word ?? '') && terms[1]?.lead.includes(':') ? terms.slice(1) : terms;
}

/** "Mateo has a new phone number: 5512" is "Mateo's phone number: 5512". */
function newPossession(terms: readonly Term[]): readonly Term[] | null {
  const have = terms.findIndex((term, at) => at > 0 && term.stem === 'have' && terms[at + 1]?.word === 'new');
  const colon = terms.findIndex((term, at) => at > have + 2 && /[:,]/u.test(term.lead));
  const owner = terms[have - 1];
  if (have < 0 || colon < 0 || !owner) return null;
  return [
    ...terms.slice(0, have - 1),
    { ...owner, possessive: true },
    ...terms.slice(have + 2, colon),
    be,
    ...terms.slice(colon),
  ];
}

const be: Term = {
  raw: 'is',
  word: 'is',
  stem: 'be',
  value: null,
  lead: '',
  capital: false,
  possessive: false,
  indefinite: false,
  denied: false,
};

/** Cuts off the reason ("because of avalanches") and what is named as over ("instead of tea", ", not in Lund"). */
function withoutAside(terms: readonly Term[]): { terms: readonly Term[]; given: readonly Term[] } {
  for (const [at, term] of terms.entries()) {
    const next = terms[at + 1]?.word;
    if (at < 2) continue;
    if (term.word === 'because' || (/^(?:due|owing)$/u.test(term.word) && next === 'to'))
      return { terms: terms.slice(0, at), given: [] };
    const insteadOf = (term.word === 'instead' && next === 'of') || (term.word === 'rather' && next === 'than');
    const comparedTo =
      /^(?:up|down)$/u.test(term.word) && next === 'from' && !terms.slice(at).some(({ word }) => word === 'to');
    if (insteadOf || comparedTo) return { terms: terms.slice(0, at), given: terms.slice(at + 2) };
    if (term.denied && term.lead.includes(',')) return { terms: terms.slice(0, at), given: terms.slice(at) };
  }
  return { terms, given: [] };
}

function phraseAt(terms: readonly Term[], at: number): number {
  const found = phrases.find((phrase) => phrase.every((word, offset) => fits(terms[at + offset], word)));
  if (found) return found.length;
  const last =
    at > 1
      ? closing.find(
          (phrase) =>
            at + phrase.length === terms.length && phrase.every((word, offset) => fits(terms[at + offset], word)),
        )
      : undefined;
  return last?.length ?? 0;
}

function fits(term: Term | undefined, word: string): boolean {
  return word === '@' ? term?.value?.kind === 'date' : term?.stem === word || term?.word === word;
}

/** "Is living in" and "has been living in" are "lives in"; "would like" and "would rather have" are "wants", "prefers". */
function plainVerbs(terms: readonly Term[]): Term[] {
  const kept: Term[] = [];
  for (const [at, term] of terms.entries()) {
    const last = kept.at(-1);
    const base = last && /^(?:be|been)$/u.test(last.stem) ? baseOfGerund(term.word) : null;
    if (base !== null) {
      kept.pop();
      if (last?.word === 'been' && kept.at(-1)?.stem === 'have') kept.pop();
      kept.push({ ...term, word: base, stem: base });
      continue;
    }
    if (last?.word === 'would' && (term.word === 'like' || term.word === 'rather' || term.word === 'prefer')) {
      kept.pop();
      const verb = term.word === 'like' ? 'want' : 'prefer';
      kept.push({ ...term, word: verb, stem: verb });
      continue;
    }
    if (last?.stem === 'prefer' && terms[at - 1]?.word === 'rather' && /^(?:have|be)$/u.test(term.word)) continue;
    kept.push(term);
  }
  return kept;
}

/** What may open a text of change before it comes to its subject: "Since the last release the checkout …". */
const opening = words('since from after as starting effective with meanwhile until');
const longestOpening = 6;

/** The terms from where those of `held` begin, if only an opening of change stands before; null where none does. */
export function withoutOpening(terms: readonly Term[], held: readonly Term[]): readonly Term[] | null {
  const [first, second] = held;
  if (!first || !second || !opening.has(terms[0]?.word ?? '')) return null;
  for (let at = 1; at <= longestOpening; at++) {
    const [one, two] = [terms[at], terms[at + 1]];
    if (one && two && sameTerm(one, first) && sameTerm(two, second)) return terms.slice(at);
  }
  return null;
}
