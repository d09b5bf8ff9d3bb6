import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Matrix, type MatrixChange, type MatrixQuery, matrixBytes } from '../../../src/store/vectors/matrix.ts';
import { TopHits } from '../../../src/store/vectors/top-hits.ts';
import { realArrayByteLength } from '../../../src/store/vectors/vector-bytes.ts';

/** So long that a block holds three rows: the bookkeeping of blocks is met. Odd: so is the end of a row. */
const dimensions = 20_001;
const scopes = ['[]', '["a"]', '["a","b"]'];

interface Row {
  readonly id: string;
  readonly scope: string;
  readonly live: boolean;
  readonly angle: number;
}

/** In the plane of the first and the last axis. Not of unit length: that is the embedder's promise, not the matrix's. */
function vectorOf(degrees: number): Float32Array {
  const vector = new Float32Array(dimensions);
  vector[0] = 3 * Math.cos((degrees * Math.PI) / 180);
  vector[dimensions - 1] = 3 * Math.sin((degrees * Math.PI) / 180);
  return vector;
}

function changeOf(rows: readonly Row[], removedIds: readonly string[]): MatrixChange {
  const stride = realArrayByteLength(dimensions);
  const vectors = new Uint8Array(stride * rows.length);
  const view = new DataView(vectors.buffer);
  for (const [at, row] of rows.entries()) {
    const offset = at * stride;
    view.setInt32(offset, 1);
    view.setInt32(offset + 8, 700);
    view.setInt32(offset + 12, dimensions);
    for (const [i, value] of vectorOf(row.angle).entries()) view.setFloat32(offset + 24 + i * 8, value);
  }
  return {
    ids: rows.map((row) => row.id),
    scopes: rows.map((row) => row.scope),
    live: rows.map((row) => row.live),
    vectors,
    removedIds,
  };
}

const idArbitrary = fc.integer({ min: 0, max: 12 }).map((n) => `id-${String(n).padStart(2, '0')}`);
const rowArbitrary: fc.Arbitrary<Row> = fc.record({
  id: idArbitrary,
  scope: fc.constantFrom(...scopes),
  live: fc.boolean(),
  // Few, so that many rows are equally near.
  angle: fc.constantFrom(0, 30, 60, 90, 120),
});
const changesArbitrary = fc.array(
  fc.record({
    rows: fc.uniqueArray(rowArbitrary, { selector: (row) => row.id, maxLength: 6 }),
    removed: fc.uniqueArray(idArbitrary, { maxLength: 6 }),
  }),
  { maxLength: 8 },
);
const queriesArbitrary = fc.array(
  fc.record({
    limit: fc.integer({ min: 1, max: 15 }),
    scope: fc.option(fc.constantFrom(...scopes, '["never"]')),
    liveOnly: fc.boolean(),
  }),
  { minLength: 1, maxLength: 9 },
);

describe('Matrix', () => {
  it('holds what a map would hold, and ranks it', () => {
    fc.assert(
      fc.property(changesArbitrary, queriesArbitrary, (changes, wanted) => {
        const matrix = new Matrix(dimensions);
        const expected = new Map<string, Row>();
        for (const { rows, removed } of changes) {
          matrix.apply(changeOf(rows, removed));
          for (const id of removed) expected.delete(id);
          for (const row of rows) expected.set(row.id, row);
        }
        expect(matrix.rows).toBe(expected.size);
        expect(matrix.bytes).toBe(matrixBytes(expected.size, dimensions));
        const queries: MatrixQuery[] = wanted.map((query) => ({ ...query, vector: vectorOf(0) }));
        for (const [at, hits] of matrix.search(queries).entries()) {
          const query = wanted[at];
          const ranked = [...expected.values()]
            .filter((row) => (!query?.liveOnly || row.live) && (query?.scope ?? row.scope) === row.scope)
            .sort((one, two) => one.angle - two.angle || (one.id < two.id ? -1 : 1))
            .slice(0, query?.limit);
          expect(hits.ids).toEqual(ranked.map((row) => row.id));
          for (const [rank, similarity] of hits.similarities.entries()) {
            expect(similarity).toBeCloseTo(Math.cos(((ranked[rank]?.angle ?? 0) * Math.PI) / 180), 6);
          }
        }
      }),
      { numRuns: 60 },
    );
  });

  it('gives the same whether a query comes alone or among others', () => {
    const matrix = new Matrix(dimensions);
    const rows = Array.from({ length: 7 }, (_, n) => ({ id: `id-${n}`, scope: '[]', live: true, angle: 50 * n }));
    matrix.apply(changeOf(rows, []));
    const queries = rows.map((row) => ({ vector: vectorOf(row.angle), limit: 3, scope: null, liveOnly: true }));
    const alone = queries.flatMap((query) => matrix.search([query]).map((hits) => hits.ids[0]));
    expect(matrix.search(queries).map((hits) => hits.ids[0])).toEqual(alone);
    expect(alone).toEqual(rows.map((row) => row.id));
  });
});

describe('TopHits', () => {
  it('keeps what sorting everything would keep', () => {
    fc.assert(
      fc.property(
        fc.array(fc.oneof(fc.integer({ min: -3, max: 3 }), fc.constant(Number.NaN)), { maxLength: 60 }),
        fc.integer({ min: 0, max: 20 }),
        (similarities, limit) => {
          const idOf = (row: number) => String((row * 37) % 101).padStart(3, '0');
          const top = new TopHits(limit, idOf);
          for (const [row, similarity] of similarities.entries()) top.offer(row, similarity);
          const expected = similarities
            .map((similarity, row) => ({ row, similarity }))
            .filter(({ similarity }) => !Number.isNaN(similarity))
            .sort((a, b) => b.similarity - a.similarity || (idOf(a.row) < idOf(b.row) ? -1 : 1))
            .slice(0, limit);
          expect(top.ranked()).toEqual(expected);
        },
      ),
    );
  });
});
