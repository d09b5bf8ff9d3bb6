import { areOpposite } from '../values/negation.ts';
import { prepositions } from '../values/vocabulary.ts';
import { frameOf, withoutOpening } from './frame.ts';
import { type Statement, sameTerm, type Term } from './statement.ts';

/** Opposites that take an object; any other must end its phrase: "is open", not "the open door". */
const verbs = new Set(
  'like dislike love hate allow forbid accept reject include exclude start stop enable disable approve win lose pass fail'.split(
    ' ',
  ),
);

/**
 * Whether the two statements say one thing and its denial, word for word: "uses Kafka" and "does not use Kafka", "is open"
 * and "is closed". Two denials at two places cancel or not: then nothing is claimed.
 */
export function denies(held: Statement, offered: Statement): boolean {
  const [one, bare] = [withPlainFeelings(frameOf(held).terms), withPlainFeelings(frameOf(offered).terms)];
  const other = withoutOpening(bare, one) ?? bare;
  if (one.length !== other.length || one.length < 2) return false;
  let flips = 0;
  for (const [at, term] of one.entries()) {
    const match = other[at];
    if (!match) return false;
    if (sameTerm(term, match)) {
      if (term.denied !== match.denied) flips++;
    } else if (term.denied === match.denied && isOppositePredicate(one, other, at)) {
      flips++;
    } else {
      return false;
    }
  }
  return flips === 1;
}

const fond = new Set(['love', 'enjoy', 'adore']);
const averse = new Set(['hate', 'dislike', 'detest', 'despise']);

/** "Loves" is more than "likes" and "hates" denies both; "cannot stand" is "hates". */
function withPlainFeelings(terms: readonly Term[]): Term[] {
  return terms.flatMap((term, at) => {
    const next = terms[at + 1];
    if (term.word === 'can' && next?.word === 'stand' && next.denied) return [];
    if (term.word === 'stand' && term.denied && terms[at - 1]?.word === 'can')
      return [{ ...term, word: 'like', stem: 'like' }];
    if (fond.has(term.stem)) return [{ ...term, word: 'like', stem: 'like' }];
    return [averse.has(term.stem) ? { ...term, word: 'like', stem: 'like', denied: !term.denied } : term];
  });
}

function isOppositePredicate(one: readonly Term[], other: readonly Term[], at: number): boolean {
  const [term, match, next] = [one[at], other[at], one[at + 1]];
  if (!term || !match || at === 0 || term.value || match.value) return false;
  if (!areOpposite(term.word, match.word) && !areOpposite(term.stem, match.stem)) return false;
  return (
    next === undefined ||
    next.lead !== '' ||
    prepositions.has(next.word) ||
    next.word === 'to' ||
    next.word === 'than' ||
    verbs.has(term.stem)
  );
}

/** Whether either of the two tells of something past. */
export function tellOfThePast(held: Statement, offered: Statement): boolean {
  return frameOf(held).event || frameOf(offered).event;
}
