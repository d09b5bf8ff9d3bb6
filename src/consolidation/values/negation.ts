import type { Token } from './tokens.ts';
import { articles, auxiliaries, oneSpelling, prepositions, withoutS } from './vocabulary.ts';

/** A denial and the word it bears on. */
export interface Negation {
  /** The next word that carries meaning, in base form; empty at the end of a text. */
  readonly scope: string;
  /** "No longer", "stopped", "used to": it was so once. */
  readonly ended: boolean;
}

const plain = new Set(
  'not no never without neither nor none nobody nothing nowhere hardly barely scarcely seldom rarely unable lack lacks lacking lacked refuses refused'.split(
    ' ',
  ),
);
/** "Stopped smoking", not "stops at the hospital". */
const ceasing = new Set('stopped stops ceased quit'.split(' '));
const enders = new Set('former formerly previously'.split(' '));
const transparent = new Set(
  'really very quite even yet ever only just any more much longer also still to been being anymore'.split(' '),
);

/** Whether the token at `index` denies what follows, and whether it says that it was so once. */
export function negationAt(tokens: readonly Token[], index: number): 'plain' | 'ended' | null {
  const token = tokens[index];
  if (!token || token.value) return null;
  const [before, next] = [tokens[index - 1]?.word, tokens[index + 1]?.word];
  if (token.word === 'no' && next === 'longer') return 'ended';
  // "No. 5" is a number; "not only … but also" denies nothing.
  if (token.word === 'no' && tokens[index + 1]?.value?.kind === 'number') return null;
  if (token.word === 'not' && next === 'only') return null;
  if (plain.has(token.word)) return 'plain';
  if (token.word === 'used' && next === 'to' && !auxiliaries.has(before ?? '')) return 'ended';
  if (token.word === 'up' && (before === 'given' || before === 'gave' || before === 'gives')) return 'ended';
  if (ceasing.has(token.word)) return next === 'to' || /ing$/u.test(next ?? '') ? 'ended' : null;
  return enders.has(token.word) ? 'ended' : null;
}

export function negationsOf(tokens: readonly Token[]): Negation[] {
  return tokens.flatMap((_, index) => {
    const kind = negationAt(tokens, index);
    return kind ? [{ scope: scopeAfter(tokens, index), ended: kind === 'ended' || saysAnyMore(tokens, index) }] : [];
  });
}

function saysAnyMore(tokens: readonly Token[], index: number): boolean {
  return tokens
    .slice(index + 1)
    .some((token, at, rest) => token.word === 'anymore' || (token.word === 'any' && rest[at + 1]?.word === 'more'));
}

function scopeAfter(tokens: readonly Token[], index: number): string {
  for (const token of tokens.slice(index + 1)) {
    const skipped =
      articles.has(token.word) ||
      auxiliaries.has(token.word) ||
      transparent.has(token.word) ||
      prepositions.has(token.word);
    if (!skipped) return token.value?.key ?? oneSpelling(withoutS(token.word));
  }
  return '';
}

/** Words that cannot both be said of one thing at one time. */
const opposites =
  'open closed, on off, enabled disabled, enable disable, active inactive, available unavailable, like dislike, love hate, like hate, allow forbid, allowed forbidden, accept reject, accepted rejected, always never, up down, possible impossible, clockwise counterclockwise, clockwise anticlockwise, mandatory optional, required optional, compulsory optional, true false, pass fail, passed failed, win lose, won lost, start stop, started stopped, include exclude, included excluded, alive dead, public private, online offline, present absent, locked unlocked, approved rejected, approve reject, full empty, vacant occupied, free occupied, legal illegal, single married, wet dry, correct wrong, right wrong, working broken, paid unpaid, taller shorter, older younger, bigger smaller, faster slower, cheaper dearer, hot cold, pending finished';
/** Words that tell two things or times apart without contradicting: enough to keep two texts apart. */
const contrasts =
  'with without, either neither, before after, above below, first last, early late, earlier later, inside outside, more less, same different, everybody nobody, everyone nobody, all none, increase decrease, increased decreased, left right, north south, east west, buy sell, bought sold, lend borrow, lent borrowed, send receive, sent received, arrive leave, arrived left, import export, upload download, senior junior, primary replica, primary secondary, staging production';

function pairsOf(list: string): Map<string, Set<string>> {
  const pairs = new Map<string, Set<string>>();
  for (const pair of list.split(', ')) {
    const [one = '', other = ''] = pair.split(' ');
    pairs.set(one, (pairs.get(one) ?? new Set()).add(other));
    pairs.set(other, (pairs.get(other) ?? new Set()).add(one));
  }
  return pairs;
}

const oppositesOf = pairsOf(opposites);
const contrastsOf = pairsOf(contrasts);

const denyingPrefix = /^(?:un|in|im|ir|il|dis|non)(?=\p{L}{4})/u;

/** Opposite by the table or by a prefix: insured and uninsured. Both in lower case. */
export function areOpposite(a: string, b: string): boolean {
  if (oppositesOf.get(a)?.has(b)) return true;
  const [longer, shorter] = a.length > b.length ? [a, b] : [b, a];
  return shorter.length >= 4 && longer.replace(denyingPrefix, '') === shorter && longer !== shorter;
}

/** What would contradict `word` or tell its thing apart in another text: "after" for "before", "uninsured" for "insured". */
export function contrastsWith(word: string): string[] {
  const base = word.replace(denyingPrefix, '');
  const negated = word.length >= 4 ? ['un', 'in', 'im', 'ir', 'il', 'dis', 'non'].map((prefix) => prefix + word) : [];
  return [
    ...(contrastsOf.get(word) ?? []),
    ...(oppositesOf.get(word) ?? []),
    ...negated,
    ...(base === word ? [] : [base]),
  ];
}
