import { expect, test } from 'vitest';
import { type Covers, fuse, type Hit, ranked } from '../../src/recall/fuse.ts';
import type { CoveredBy } from '../../src/store/recall-rows.ts';

const memory = (id: string): Hit => ({ target: 'memories', id });
const observation = (id: string): Hit => ({ target: 'observations', id });
const covers = (entries: Record<string, { rootId: string; by: CoveredBy }[]>): Covers =>
  new Map(Object.entries(entries));
const ids = (hits: readonly Hit[]) => hits.map((hit) => hit.id).join(' ');

test('what both searches put forward comes before what one does', () => {
  const order = fuse([['a', 'b', 'c'].map(memory), ['d', 'b', 'e'].map(memory)], covers({}));
  expect(ids(order)).toBe('b a d c e');
});

test('the first of one search comes before what is far down in both', () => {
  const fill = (prefix: string, count: number) => Array.from({ length: count }, (_, i) => memory(`${prefix}${i}`));
  const firstOf = (count: number) =>
    fuse(
      [
        [...fill('x', count), memory('both')],
        [...fill('y', count), memory('both')],
      ],
      covers({}),
    )[0]?.id;
  expect([firstOf(9), firstOf(12)]).toEqual(['both', 'x0']);
});

test('memories behind the observations that cite them do not push back what follows', () => {
  const cited = covers({ m1: [{ rootId: 'o1', by: 'citation' }], m2: [{ rootId: 'o2', by: 'citation' }] });
  const doubled = [observation('o1'), memory('m1'), observation('o2'), memory('m2'), memory('raw')];
  const plain = [observation('o1'), observation('o2'), memory('raw')];
  const other = [memory('x'), memory('y'), memory('raw')];
  // `raw` is third in both, as it would be if nothing had been consolidated.
  expect(ids(fuse([doubled, other], cited))).toBe('raw o1 x m1 o2 y m2');
  expect(ids(fuse([plain, other], cited))).toBe('raw o1 x o2 y');
});

test('a memory that ranks before the observation keeps its place', () => {
  const cited = covers({ m: [{ rootId: 'o', by: 'citation' }] });
  expect(ids(fuse([[memory('m'), memory('x'), observation('o')]], cited))).toBe('m x o');
});

test('a memory of a folded observation brings the canonical one to its place', () => {
  const cited = covers({ m: [{ rootId: 'canonical', by: 'fold' }] });
  expect(ids(fuse([[memory('m'), memory('x'), observation('canonical')]], cited))).toBe('canonical m x');
  expect(ids(fuse([[memory('m'), memory('x')]], cited))).toBe('canonical m x');
});

test('the newer fact comes before the memory whose fact it took the place of, and does not hide it', () => {
  const outdated = covers({ m: [{ rootId: 'newer', by: 'supersession' }] });
  expect(ids(fuse([[memory('m'), memory('x'), observation('newer')]], outdated))).toBe('newer m x');
  expect(ids(fuse([[memory('m'), memory('x')]], outdated))).toBe('newer m x');
});

test('the same text has the same place, whatever batching did to the last bits of its vector', () => {
  const hits = [
    { ...memory('m'), score: 0.9000001 },
    { ...observation('o'), score: 0.9 },
    { ...memory('n'), score: 0.91 },
  ];
  expect(ids(ranked(hits))).toBe('n o m');
});

test('equal scores are decided by the other search, and only then by kind and id', () => {
  const hits = [
    { ...memory('a'), score: 1 },
    { ...memory('b'), score: 1 },
    { ...observation('o'), score: 1 },
  ];
  expect(ids(ranked(hits))).toBe('o a b');
  expect(ids(ranked(hits, new Map([['b', 0.9]])))).toBe('b o a');
});
