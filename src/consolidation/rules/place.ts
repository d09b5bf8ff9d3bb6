import { type ChangedValue, places } from './attributes.ts';
import { slotOf } from './slot.ts';
import type { Term } from './statement.ts';

const languages = new Set(
  'english german french spanish italian portuguese polish dutch swedish norwegian danish finnish russian ukrainian turkish arabic hebrew hindi japanese chinese korean greek czech hungarian romanian latin'.split(
    ' ',
  ),
);

/** "The key is", "the key is kept", "the dog sleeps". */
function isPlaced(before: readonly Term[]): boolean {
  const [one, two] = before.slice(-2);
  const last = two ?? one;
  if (before.length < 2 || !last) return false;
  return (
    last.stem === 'be' ||
    /^(?:stand|lie|hang|sit|sleep)$/u.test(last.stem) ||
    (one?.stem === 'be' && /^(?:kept|stored|parked|located|hidden)$/u.test(last.word) && before.length > 2)
  );
}

/** PDF and English are no places. */
function isPlaceName(term: Term): boolean {
  return /\p{Ll}/u.test(term.raw) && !languages.has(term.word);
}

/** "The shutter is in the basement", "… on the roof": one thing is in one place. */
export function placeAttribute(
  before: readonly Term[],
  after: readonly Term[],
  from: readonly Term[],
  to: readonly Term[],
): ChangedValue | null {
  const last = before.at(-1);
  if (!last || after.length > 0 || from.length > 4 || to.length > 4) return null;
  const samePreposition = /^(?:in|at|on)$/u.test(last.word) && isPlaced(before.slice(0, -1));
  const otherPreposition = isPlaced(before);
  if (!samePreposition && !otherPreposition) return null;
  const slots = [from, to].map((terms) => {
    const rest = otherPreposition ? terms.slice(1) : terms;
    const opens =
      !otherPreposition || /^(?:in|at|on|under|behind|above|beside|near|below)$/u.test(terms[0]?.word ?? '');
    const slot = opens ? slotOf(rest) : null;
    const isPlace =
      slot?.kind === 'phrase'
        ? places.has(rest.at(-1)?.stem ?? '')
        : slot?.kind === 'name' && samePreposition && rest.every(isPlaceName);
    return slot && isPlace ? slot : null;
  });
  const [a, b] = slots;
  if (!a || !b) return null;
  const undated = a.kind === 'phrase' && b.kind === 'phrase' ? 'conflict' : 'keep-both';
  return { attribute: { name: 'place', kinds: ['phrase', 'name'], undated }, from: a, to: b };
}
