import { expect, it, vi } from 'vitest';
import { findNeighbours } from '../../../src/store/neighbours/find-neighbours.ts';
import { mostNeighbours, type NearestTable } from '../../../src/store/neighbours/nearest-table.ts';
import { seededRandom } from '../../../src/store/neighbours/seeded-random.ts';
import { FourLanes, UnitRows } from '../../../src/store/neighbours/unit-rows.ts';
import { encodeRealBytes } from '../../../src/store/vectors/vector-bytes.ts';
import { randomVector } from '../vectors/vector-rows.ts';

const dimensions = 24;

function rowsOf(vectors: readonly Float32Array[]): UnitRows {
  const rows = new UnitRows(dimensions);
  for (const vector of vectors) rows.append(encodeRealBytes(vector));
  return rows;
}

/** Around so many topics, as what a bank holds is. */
function clustered(count: number, topics: number, random: () => number): Float32Array[] {
  const middles = Array.from({ length: topics }, () => randomVector(random, dimensions));
  return Array.from({ length: count }, (_, at) => {
    const middle = middles[at % topics];
    return randomVector(random, dimensions).map((value, i) => 0.6 * value + (middle?.[i] ?? 0));
  });
}

const listOf = (table: NearestTable, row: number) =>
  Array.from({ length: table.count(row) }, (_, at) => table.neighbour(row, at));

/** Every pair by itself, in doubles. */
function bruteForce(vectors: readonly Float32Array[], scopes: readonly number[], floor: number) {
  const cosine = (a: Float32Array, b: Float32Array) => {
    const dot = a.reduce((sum, value, i) => sum + value * (b[i] ?? 0), 0);
    return dot / (Math.hypot(...a) * Math.hypot(...b));
  };
  return vectors.map((vector, row) =>
    vectors
      .map((other, at) => ({ row: at, similarity: cosine(vector, other) }))
      .filter(({ row: at, similarity }) => at !== row && scopes[at] === scopes[row] && similarity >= floor)
      .sort((a, b) => b.similarity - a.similarity || a.row - b.row)
      .slice(0, mostNeighbours),
  );
}

it('finds what every pair by itself finds: of the same scope, from the floor on, nearest first', () => {
  const random = seededRandom(3);
  const vectors = clustered(151, 12, random);
  const scopes = vectors.map((_, row) => row % 3);
  const table = findNeighbours(rowsOf(vectors), scopes, { floor: 0.5, random });
  for (const [row, expected] of bruteForce(vectors, scopes, 0.5).entries()) {
    const found = listOf(table, row);
    expect(found.map((neighbour) => neighbour.row)).toEqual(expected.map((neighbour) => neighbour.row));
    for (const [at, { similarity }] of found.entries())
      expect(similarity).toBeCloseTo(expected[at]?.similarity ?? 0, 5);
  }
});

it('lists equals by row, and a vector without a direction nowhere', () => {
  const same = randomVector(seededRandom(5), dimensions);
  const vectors = [...Array.from({ length: 12 }, () => same), new Float32Array(dimensions)];
  const scopes = vectors.map(() => 0);
  for (const exactRows of [4000, 4]) {
    const table = findNeighbours(rowsOf(vectors), scopes, { floor: 0, random: seededRandom(1), exactRows });
    expect(listOf(table, 12)).toEqual([]);
    expect(table.count(0)).toBe(8);
    if (exactRows === 4000) expect(listOf(table, 11).map(({ row }) => row)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    for (let row = 0; row < 12; row += 1) expect(listOf(table, row).map(({ row: other }) => other)).not.toContain(row);
  }
});

it('finds nearly all of them in lists by k-means, the same ones each time, and none of another scope', () => {
  const vectors = clustered(1500, 30, seededRandom(9));
  const scopes = vectors.map((_, row) => (row < 1200 ? 0 : 1));
  const rows = rowsOf(vectors);
  const exact = findNeighbours(rows, scopes, { floor: 0.3, random: seededRandom(1) });
  const clusters = findNeighbours(rows, scopes, { floor: 0.3, random: seededRandom(1), exactRows: 100 });
  const again = findNeighbours(rows, scopes, { floor: 0.3, random: seededRandom(1), exactRows: 100 });
  let all = 0;
  let found = 0;
  for (let row = 0; row < vectors.length; row += 1) {
    const others = new Set(listOf(clusters, row).map((neighbour) => neighbour.row));
    for (const neighbour of listOf(exact, row)) {
      all += 1;
      if (others.has(neighbour.row)) found += 1;
    }
    for (const other of others) expect(scopes[other]).toBe(scopes[row]);
    expect(others.size).toBe(exact.count(row));
    expect(listOf(again, row)).toEqual(listOf(clusters, row));
  }
  expect(all).toBe(12_000);
  expect(found / all).toBeGreaterThan(0.95);
});

it('compares a bounded number of pairs in a bank that says one thing thousands of times', () => {
  const random = seededRandom(2);
  const same = randomVector(random, dimensions);
  const vectors = Array.from({ length: 1200 }, () => same.map((value) => value + 1e-4 * random()));
  const compared = vi.spyOn(FourLanes.prototype, 'with');
  try {
    const table = findNeighbours(rowsOf(vectors), new Uint8Array(1200), { floor: 0.9, random, exactRows: 100 });
    for (let row = 0; row < 1200; row += 1) expect(table.count(row)).toBe(8);
    // Four rows a time: all with all would be 360,000, and k-means with 35 middles takes 52,000 in any case.
    expect(compared.mock.calls.length).toBeLessThan(200_000);
  } finally {
    compared.mockRestore();
  }
});
