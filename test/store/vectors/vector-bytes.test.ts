import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  decodeRealArray,
  decodeRealArrayInto,
  encodeRealArray,
  realArrayByteLength,
} from '../../../src/store/vectors/vector-bytes.ts';
import { createTestDatabase, type TestDatabase } from '../../support/test-database.ts';

/** Bit patterns, so that 0 and -0 differ and a NaN equals itself. */
const bitsOf = (vector: Float32Array) => [...new Uint32Array(vector.slice().buffer)];

const finiteVector = fc.float32Array({ noNaN: true, noDefaultInfinity: true, minLength: 1, maxLength: 40 });

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());

async function bytesOf(literal: string): Promise<Buffer> {
  const { rows } = await database.db.query<{ bytes: Buffer }>('select array_send($1::real[]) as bytes', [literal]);
  const bytes = rows[0]?.bytes;
  if (!bytes) throw new Error('no row');
  return bytes;
}

describe('encodeRealArray and decodeRealArray', () => {
  it('bring every finite vector through PostgreSQL bit by bit', async () => {
    await fc.assert(
      fc.asyncProperty(finiteVector, async (vector) => {
        expect(bitsOf(decodeRealArray(await bytesOf(encodeRealArray(vector))))).toEqual(bitsOf(vector));
      }),
      { numRuns: 300 },
    );
  });

  it('keep the smallest, the largest and the signed zero', async () => {
    const vector = Float32Array.of(-0, 0, 1.401298464324817e-45, 3.4028234663852886e38, -1.1754943508222875e-38, 1e-7);
    expect(bitsOf(decodeRealArray(await bytesOf(encodeRealArray(vector))))).toEqual(bitsOf(vector));
  });

  it('bring through what is not finite, so that it is the guard of the embedder that refuses it', async () => {
    const vector = Float32Array.of(Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.NaN);
    expect([...decodeRealArray(await bytesOf(encodeRealArray(vector)))]).toEqual([...vector]);
  });

  it('know the empty array', async () => {
    expect(encodeRealArray(new Float32Array())).toBe('{}');
    expect(decodeRealArray(await bytesOf('{}'))).toHaveLength(0);
  });

  it('read a part of a larger buffer', () => {
    const bytes = realArrayBytes(Float32Array.of(1, 2));
    const padded = new Uint8Array(bytes.length + 10);
    padded.set(bytes, 3);
    expect([...decodeRealArray(padded.subarray(3, 3 + bytes.length))]).toEqual([1, 2]);
    expect(encodeRealArray(Float32Array.of(9, 1, 2, 9).subarray(1, 3))).toBe('{1,2}');
  });
});

describe('decodeRealArrayInto', () => {
  it('decodes many rows of one buffer', () => {
    fc.assert(
      fc.property(
        fc
          .integer({ min: 1, max: 9 })
          .chain((dimensions) =>
            fc.array(fc.float32Array({ minLength: dimensions, maxLength: dimensions }), { minLength: 1, maxLength: 9 }),
          ),
        (vectors) => {
          const dimensions = vectors[0]?.length ?? 0;
          const stride = realArrayByteLength(dimensions);
          const joined = new Uint8Array(stride * vectors.length);
          for (const [row, vector] of vectors.entries()) joined.set(realArrayBytes(vector), row * stride);
          const target = new Float32Array(dimensions * vectors.length);
          const view = new DataView(joined.buffer);
          for (const row of vectors.keys()) decodeRealArrayInto(view, row * stride, stride, target, row * dimensions);
          expect([...target]).toEqual(vectors.flatMap((vector) => [...vector]));
        },
      ),
    );
  });
});

describe('decodeRealArray refuses', () => {
  it.each([
    ['a NULL inside', "'{1,NULL}'::real[]"],
    ['two dimensions', "'{{1,2},{3,4}}'::real[]"],
    ['doubles', "'{1,2}'::float8[]"],
    ['integers', "'{1,2}'::int[]"],
    ['empty integers', "'{}'::int[]"],
  ])('%s', async (_, expression) => {
    const { rows } = await database.db.query<{ bytes: Buffer }>(`select array_send(${expression}) as bytes`);
    expect(() => decodeRealArray(rows[0]?.bytes ?? Buffer.alloc(0))).toThrow(TypeError);
  });

  it('any other bytes, without reading beyond them', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        try {
          decodeRealArray(bytes);
        } catch (thrown) {
          expect(thrown).toBeInstanceOf(TypeError);
        }
      }),
    );
  });

  it('bytes that end early', () => {
    const bytes = realArrayBytes(Float32Array.of(1, 2, 3));
    for (let length = 0; length < bytes.length; length += 1) {
      expect(() => decodeRealArray(bytes.subarray(0, length))).toThrow(TypeError);
    }
  });
});

/** What `array_send` writes, by its documentation: the tests above hold both to the server. */
function realArrayBytes(vector: Float32Array): Uint8Array {
  const bytes = new Uint8Array(realArrayByteLength(vector.length));
  const view = new DataView(bytes.buffer);
  view.setInt32(0, 1);
  view.setInt32(8, 700);
  view.setInt32(12, vector.length);
  view.setInt32(16, 1);
  for (const [i, value] of vector.entries()) {
    view.setInt32(20 + i * 8, 4);
    view.setFloat32(24 + i * 8, value);
  }
  return bytes;
}
