/**
 * The model's vocabulary knows 193 characters: Latin, little else. Any run of other characters becomes one and the
 * same "unknown" piece, so that two unrelated Japanese sentences had a cosine of exactly 1. The words it cannot read
 * are therefore hashed by their letter pairs and take their share of the vector: a text in another script is compared
 * by its spelling, English stays as it is.
 *
 * @param vector the model's unit vector of `input`; changed in place, stays a unit vector.
 * @param readable every character of the vocabulary.
 */
export function blendUnreadableWords(vector: Float32Array, input: string, readable: ReadonlySet<string>): void {
  const words = input.split(' ').filter((word) => word !== '');
  const unreadable = words.filter((word) => [...word].some((character) => !readable.has(character)));
  const spelling = spellingVector(unreadable, vector.length);
  if (!spelling) return;
  const share = totalLength(unreadable) / totalLength(words);
  const ownWeight = Math.sqrt(1 - share);
  const spellingWeight = Math.sqrt(share);
  let squares = 0;
  for (let at = 0; at < vector.length; at++) {
    const value = ownWeight * (vector[at] ?? 0) + spellingWeight * (spelling[at] ?? 0);
    vector[at] = value;
    squares += value * value;
  }
  const norm = Math.sqrt(squares);
  for (let at = 0; at < vector.length; at++) vector[at] = (vector[at] ?? 0) / norm;
}

/** A unit vector of the words' letter pairs, edges of words included; undefined where nothing is left to hash. */
function spellingVector(words: readonly string[], dimensions: number): Float64Array | undefined {
  const vector = new Float64Array(dimensions);
  for (const word of words) {
    const characters = ['', ...word, ''];
    for (let at = 1; at < characters.length; at++) {
      const hash = fnv1a(`${characters[at - 1]}\u0000${characters[at]}`);
      const slot = hash % dimensions;
      // A sign from a bit that the slot does not use: without it all spellings would lean the same way.
      vector[slot] = (vector[slot] ?? 0) + (hash >>> 31 === 0 ? 1 : -1);
    }
  }
  const norm = Math.hypot(...vector);
  return norm === 0 ? undefined : vector.map((value) => value / norm);
}

function totalLength(words: readonly string[]): number {
  return words.reduce((sum, word) => sum + word.length, 0);
}

function fnv1a(text: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193) >>> 0;
  return hash;
}
