/** Maps and not objects: a text may well say "constructor". */
const counted = (words: string, first: number, step: number): ReadonlyMap<string, number> =>
  new Map(words.split(' ').map((word, index) => [word, first + index * step]));

const small = counted(
  'zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen',
  0,
  1,
);
const tens = counted('twenty thirty forty fifty sixty seventy eighty ninety', 20, 10);
const scales = new Map([
  ['hundred', 100],
  ['dozen', 12],
  ['thousand', 1e3],
  ['million', 1e6],
  ['billion', 1e9],
]);
const ordinals = new Map([
  ...counted(
    'first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth fifteenth sixteenth seventeenth eighteenth nineteenth twentieth',
    1,
    1,
  ),
  ['thirtieth', 30],
]);
const fractions = new Map([
  ['half', 0.5],
  ['quarter', 0.25],
  ['third', 1 / 3],
]);

/** Every word that an amount or ordinal in words may begin with. */
export const numberWordStarts: readonly string[] = [small, tens, scales, ordinals, fractions].flatMap((table) => [
  ...table.keys(),
]);

/** As much as the patterns that look back need: the whole of a long text before each number would cost its square. */
export function justBefore(text: string, position: number): string {
  return text.slice(Math.max(0, position - 24), position);
}

const wordAt = /\p{L}+/uy;

function readWord(text: string, position: number): { word: string; end: number } | null {
  wordAt.lastIndex = position;
  const match = wordAt.exec(text);
  return match ? { word: match[0].toLowerCase(), end: wordAt.lastIndex } : null;
}

/** The next word behind one space or hyphen. */
function nextWord(text: string, end: number): { word: string; end: number } | null {
  return text[end] === ' ' || text[end] === '-' ? readWord(text, end + 1) : null;
}

/** Where `one` is no amount: no one, the one, one another, one-on-one, one of. */
const oneIsPronoun = /\b(?:no|the|this|that|each|any|every|some|which) $/iu;
const oneOfSeveral = /^(?: of\b| another\b|-on-|'s\b| (?:can|should|must|may|has|is)\b)/iu;

/**
 * Reads an amount written in words at `position`: "three", "twenty-three", "a dozen" (at dozen), "two and a half",
 * "three hundred", "half", "a quarter" (at quarter). Ordinals are read by `ordinalWordAt`.
 */
export function numberWordAt(text: string, position: number): { readonly amount: number; readonly end: number } | null {
  const first = readWord(text, position);
  if (!first) return null;
  if (
    first.word === 'one' &&
    (oneIsPronoun.test(justBefore(text, position)) || oneOfSeveral.test(text.slice(first.end, first.end + 24)))
  ) {
    return null;
  }
  const fraction = first.word === 'third' ? undefined : fractions.get(first.word);
  if (fraction !== undefined) return fractionAt(text, position, fraction, first.end);
  if (first.word === 'twice') return { amount: 2, end: first.end };
  return cardinalAt(text, first);
}

function fractionAt(text: string, position: number, amount: number, end: number) {
  // "last quarter", "each quarter" are times of the year.
  if (
    amount === 0.25 &&
    /\b(?:last|this|next|each|every|per|first|second|third|fourth) $/iu.test(justBefore(text, position))
  ) {
    return null;
  }
  const dozen = /^ (?:a )?dozen\b/iu.exec(text.slice(end, end + 9));
  return dozen ? { amount: amount * 12, end: end + dozen[0].length } : { amount, end };
}

function cardinalAt(text: string, first: { word: string; end: number }) {
  let total = 0;
  let group = 0;
  let read = 0;
  let end = first.end;
  for (let next: { word: string; end: number } | null = first; next; next = nextWord(text, end)) {
    const scale = scales.get(next.word);
    const unit = small.get(next.word);
    const ten = tens.get(next.word);
    if (scale !== undefined) {
      if (scale >= 1000) {
        total += (read === 0 ? 1 : group) * scale;
        group = 0;
      } else {
        group = (group === 0 ? 1 : group) * scale;
      }
    } else if (ten !== undefined && group % 100 === 0) {
      group += ten;
    } else if (
      unit !== undefined &&
      (group % 100 === 0 || (unit > 0 && unit < 10 && group % 10 === 0 && group % 100 >= 20))
    ) {
      group += unit;
    } else if (next.word === 'and' && read > 0 && group >= 100 && followedBySmall(text, next.end)) {
      end = next.end;
      continue;
    } else {
      break;
    }
    read++;
    end = next.end;
  }
  if (read === 0) return null;
  const rest = /^ and (?:a |one )?(half|quarter)\b/iu.exec(text.slice(end, end + 18));
  const part = rest?.[1] === undefined ? 0 : (fractions.get(rest[1].toLowerCase()) ?? 0);
  return { amount: total + group + part, end: end + (rest?.[0].length ?? 0) };
}

function followedBySmall(text: string, end: number): boolean {
  const next = nextWord(text, end);
  return next !== null && (small.get(next.word) !== undefined || tens.get(next.word) !== undefined);
}

/** Reads "first", "twenty-third" at `position`. */
export function ordinalWordAt(
  text: string,
  position: number,
): { readonly amount: number; readonly end: number } | null {
  const first = readWord(text, position);
  if (!first) return null;
  const ordinal = ordinals.get(first.word);
  if (ordinal !== undefined) return { amount: ordinal, end: first.end };
  const ten = tens.get(first.word);
  const next = ten === undefined ? null : nextWord(text, first.end);
  const unit = next === null ? undefined : ordinals.get(next.word);
  if (ten === undefined || next === null || unit === undefined || unit > 9) return null;
  return { amount: ten + unit, end: next.end };
}

/** The hour or small number that a clock phrase names: "eight", "8". */
export function smallNumber(word: string): number | null {
  if (/^\d{1,2}$/u.test(word)) return Number(word);
  return small.get(word.toLowerCase()) ?? tens.get(word.toLowerCase()) ?? null;
}
