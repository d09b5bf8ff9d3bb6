import { isHeldByOne } from './attributes.ts';
import { plainVerbs, rephrased, withoutAside } from './rephrase.ts';
import { type Statement, sameTerm, type Term, tellsThePast } from './statement.ts';

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
  /** Something that happened, told in the past tense. */
  readonly event: boolean;
  /** What the text itself names as over: "instead of tea", "not in Lund". */
  readonly given: readonly Term[];
}

const changing = words('now nowadays again instead anymore meanwhile lately');
const fading = words('currently presently still already generally');
const steady = words('always usually normally typically mostly');
const adding = words('also too additionally another sometimes occasionally partly besides other additional extra both');

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

/** Each statement is laid beside many others; its frame is the same each time. */
const known = new WeakMap<Statement, Frame>();

export function frameOf(statement: Statement): Frame {
  const frame = known.get(statement) ?? readFrame(statement);
  known.set(statement, frame);
  return frame;
}

function readFrame(statement: Statement): Frame {
  const told = rephrased(statement.terms);
  const { terms: bare, given } = withoutAside(told.terms);
  const kept: Term[] = [];
  let marked = told.changed || given.length > 0;
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
  const verbs = plainVerbs(kept);
  return {
    terms: verbs.terms,
    marked: marked || verbs.changed,
    habitual,
    adds: statement.terms.some((term) => adding.has(term.word)),
    event: tellsThePast(kept),
    given,
  };
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
