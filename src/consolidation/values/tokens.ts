import { numberWordStarts } from './number-words.ts';
import { dateAt } from './recognise-dates.ts';
import { numberAt } from './recognise-numbers.ts';
import { canonicalSpelling } from './spelling.ts';
import type { Value } from './value.ts';

export interface Token {
  /** As written, in canonical spelling. */
  readonly text: string;
  /** Lower case, without an apostrophe: what words are compared by. */
  readonly word: string;
  /** Set where the token is a number, date or identifier. */
  readonly value: Value | null;
  /** Punctuation between the token before and this one. */
  readonly lead: string;
  readonly startsSentence: boolean;
  /** Begins with a capital letter, in a text that is not all capitals. */
  readonly capital: boolean;
  readonly possessive: boolean;
}

const identifiers: readonly RegExp[] = [
  /https?:\/\/[^\s<>"')]{0,2000}[^\s<>"').,;:!?]/iuy,
  /www\.[^\s<>"')]{0,2000}[^\s<>"').,;:!?]/iuy,
  /[\p{L}\p{N}._%+-]{1,64}@[\p{L}\p{N}-]{1,63}(?:\.[\p{L}\p{N}-]{1,63}){1,8}/uy,
  /@[\p{L}\p{N}_][\p{L}\p{N}_.-]{0,64}[\p{L}\p{N}_]/uy,
  /#\p{L}[\p{L}\p{N}_-]{1,64}/uy,
  /(?:~|\.{1,2})?\/[\p{L}\p{N}_.-]{1,100}(?:\/[\p{L}\p{N}_.-]{0,100}){0,20}[\p{L}\p{N}_-]/uy,
  /(?:[\p{L}\p{N}_-]{1,60}\/){0,12}[\p{L}\p{N}_][\p{L}\p{N}_.-]{0,60}\.(?:tsx?|jsx?|mjs|json|jsonl|md|py|ya?ml|txt|pdf|csv|xlsx?|docx?|pptx?|png|jpe?g|svg|sh|sql|html?|css|toml|lock|env|log|zip|gz|tar|rs|go|java|cpp|ini|conf)(?![\p{L}\p{N}])/iuy,
  /[\p{Ll}][\p{L}\p{N}-]{0,62}(?:\.[\p{L}\p{N}-]{1,62}){0,6}\.(?:com|org|net|io|dev|app|eu|de|uk|fr|se|ch|ai|local|internal)(?![\p{L}\p{N}])/iuy,
];
/** A dot behind one of these ends no sentence. */
const abbreviated = /^(?:mr|mrs|ms|dr|prof|st|no|nr|vs|etc|approx|ca|jr|sr|inc|ltd|co)$/u;
const dottedLetters = /\p{L}\.(?:\p{L}\.)+/uy;
const word = /[\p{L}\p{M}\p{N}_]+(?:'[\p{L}]+)*'?/uy;
/** Words with a hyphen that many write without one; all others are read as two. */
const joined = new Map(
  'e-mail e-mails e-mailed wi-fi on-line co-op counter-clockwise anti-clockwise'
    .split(' ')
    .map((word) => [word, word.replace('-', '')]),
);
const hyphenated = /\p{L}+-\p{L}+/uy;

/** The words and values of a text, in order. `saidAt` resolves "yesterday". */
export function tokensOf(text: string, saidAt: Date | null = null): Token[] {
  const source = canonicalSpelling(text);
  const withIdentifiers = /[@/~#]|[\p{L}\p{N}]\.[\p{L}\p{N}]/u.test(source);
  const shouting = !/\p{Ll}/u.test(source);
  const tokens: Token[] = [];
  let lead = '';
  for (let at = 0; at < source.length; ) {
    const found = tokenAt(source, at, saidAt, withIdentifiers);
    if (!found) {
      const character = source[at] ?? '';
      if (character !== ' ') lead += character;
      at++;
      continue;
    }
    const raw = source.slice(at, found.end);
    if (abbreviated.test(tokens.at(-1)?.word ?? '')) lead = lead.replace('.', '');
    tokens.push({
      text: raw,
      word: found.word ?? plainWord(raw),
      value: found.value,
      lead,
      startsSentence: tokens.length === 0 || /[.!?]/u.test(lead),
      capital: !shouting && /^\p{Lu}/u.test(raw),
      possessive: /'s$|s'$/iu.test(raw) && closesNoQuote(source, found.end, lead),
    });
    lead = '';
    at = found.end;
  }
  return tokens;
}

/** In 'the late fees' the last apostrophe is a quote, not a possessive. */
function closesNoQuote(source: string, end: number, lead: string): boolean {
  if (lead.includes("'")) return false;
  if (source[end - 1] !== "'") return true;
  const before = source.lastIndexOf("'", end - 2);
  // Only around that one, and not from the beginning of the text for each word of it.
  return (
    before < 0 || !/^(?:^|[\s(])'\p{L}/u.test(source.slice(Math.max(0, before - 1), Math.min(before + 3, end - 1)))
  );
}

/** A possessive loses its ending: Hanna's is Hanna. */
function plainWord(raw: string): string {
  return raw.toLowerCase().replace(/'s$/u, '').replace(/'/gu, '');
}

/** Words that a date, time or amount may begin with; any other word without a digit is just a word. */
const valueStarts = new Set([
  ...numberWordStarts,
  ...'january february march april may june july august september october november december jan feb mar apr jun jul aug sep sept oct nov dec'.split(
    ' ',
  ),
  ...'monday tuesday wednesday thursday friday saturday sunday mondays tuesdays wednesdays thursdays fridays saturdays sundays mon tue tues wed thu thur thurs fri sat sun'.split(
    ' ',
  ),
  ...'yesterday today tonight tomorrow last next this past coming previous following noon midday midnight twice fortnight fortnights'.split(
    ' ',
  ),
  ...'easter christmas new halloween thanksgiving ramadan eid diwali hanukkah passover pentecost carnival spring summer autumn winter'.split(
    ' ',
  ),
  ...'morning mornings afternoon afternoons evening evenings night nights us eur usd gbp chf jpy sek nok dkk'.split(
    ' ',
  ),
]);
/** "The fifth of May", "a few days ago": an article opens a value only before these or a digit. */
const afterArticle = new Set([
  ...numberWordStarts,
  ...'day last next previous following coming past few couple week weekend month year'.split(' '),
]);
const chunk = /[\p{L}\p{N}'-]{1,64}/uy;
const articleBefore = /(?:the|an?) (\p{L}+|\d)/iuy;

/** The quick look that spares most words some forty patterns. */
function mayBeValue(source: string, at: number): boolean {
  chunk.lastIndex = at;
  const match = chunk.exec(source);
  if (!match || /\p{N}/u.test(match[0])) return /[\p{L}\p{N}#+$€£¥-]/u.test(source[at] ?? '');
  const head = match[0].toLowerCase().split(/['-]/u)[0] ?? '';
  if (head !== 'the' && head !== 'a' && head !== 'an') return valueStarts.has(head);
  articleBefore.lastIndex = at;
  const next = articleBefore.exec(source)?.[1]?.toLowerCase();
  return next !== undefined && (afterArticle.has(next) || /\d/u.test(next));
}

interface Found {
  readonly end: number;
  readonly value: Value | null;
  readonly word?: string;
}

function tokenAt(source: string, at: number, saidAt: Date | null, withIdentifiers: boolean): Found | null {
  if (/[\p{L}\p{M}\p{N}]/u.test(source[at - 1] ?? ' ')) return wordAt(source, at);
  for (const pattern of withIdentifiers ? identifiers : []) {
    pattern.lastIndex = at;
    const match = pattern.exec(source);
    if (match) return { end: pattern.lastIndex, value: { kind: 'name', key: match[0].toLowerCase() } };
  }
  const value = mayBeValue(source, at) ? (dateAt(source, at, saidAt) ?? numberAt(source, at)) : null;
  return value ?? wordAt(source, at);
}

function wordAt(source: string, at: number): Found | null {
  for (const [pattern, plain] of [
    [dottedLetters, (text: string) => text.replace(/\./gu, '').toLowerCase()],
    [hyphenated, joinedWord],
  ] as const) {
    pattern.lastIndex = at;
    const match = pattern.exec(source);
    const whole = match ? plain(match[0]) : undefined;
    if (whole !== undefined) return { end: pattern.lastIndex, value: null, word: whole };
  }
  word.lastIndex = at;
  return word.exec(source) ? { end: word.lastIndex, value: null } : null;
}

function joinedWord(text: string): string | undefined {
  return joined.get(text.toLowerCase());
}
