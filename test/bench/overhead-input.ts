import { wordVector } from '../support/fake-embedder.ts';

/** A memory with its vector ready, as the background embedder would have left it. */
export interface ReadyMemory {
  readonly text: string;
  readonly mentionedAt: Date;
  readonly vector: Float32Array;
}

/** Deterministic, so that two runs and two adapters get the same rows (mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

const subjects = [
  'Ada',
  'Bela',
  'Chidi',
  'Dana',
  'Edda',
  'Farid',
  'Goran',
  'Hana',
  'Ivo',
  'Jun',
  'Kira',
  'Luca',
  'Mina',
  'Nils',
  'Oona',
  'Pavel',
];
const verbs = [
  'repaired',
  'borrowed',
  'painted',
  'sold',
  'photographed',
  'cleaned',
  'measured',
  'wrapped',
  'labelled',
  'weighed',
  'moved',
  'catalogued',
];
const things = [
  'lamp',
  'kayak',
  'ladder',
  'globe',
  'accordion',
  'telescope',
  'bench',
  'teapot',
  'mirror',
  'drill',
  'quilt',
  'compass',
  'radio',
  'trunk',
];
const places = [
  'the attic',
  'the harbour shed',
  'the school',
  'the north office',
  'the garden',
  'the archive',
  'the chapel',
  'the workshop',
];

/**
 * 10,000 memories over 2,500 facts: each fact is told four times or so, word for word, in capitals or without its full
 * stop, so that a consolidator ends between 2,000 and 3,000 observations and most of its work is finding what it knows.
 */
export function overheadMemories(count: number, facts: number): ReadyMemory[] {
  const random = seededRandom(7);
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T;
  const texts = new Set<string>();
  while (texts.size < facts) texts.add(`${pick(subjects)} ${pick(verbs)} the ${pick(things)} in ${pick(places)}.`);
  const told = [...texts];
  const start = Date.UTC(2026, 0, 1);
  return Array.from({ length: count }, (_, index) => {
    const fact = index < facts ? (told[index] as string) : pick(told);
    const how = random();
    const text = how < 0.7 ? fact : how < 0.85 ? fact.toUpperCase() : fact.slice(0, -1);
    return { text, mentionedAt: new Date(start + index * 60_000), vector: wordVector(text) };
  });
}
