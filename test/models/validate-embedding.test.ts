import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { InvalidEmbeddingError, validateEmbeddings } from '../../src/models/validate-embedding.ts';

const dimensions = 8;
const finite = fc.float({ noNaN: true, noDefaultInfinity: true });
const vector = fc.float32Array({ minLength: dimensions, maxLength: dimensions, noNaN: true, noDefaultInfinity: true });
const nonZero = vector.filter((numbers) => numbers.some((value) => value !== 0));
const answer = fc.array(nonZero, { minLength: 1, maxLength: 6 });

function failureOf(work: () => unknown): InvalidEmbeddingError {
  try {
    work();
  } catch (error) {
    if (error instanceof InvalidEmbeddingError) return error;
    throw error;
  }
  throw new Error('expected an InvalidEmbeddingError');
}

describe('validateEmbeddings', () => {
  it('returns unit vectors of the same direction and leaves its input alone', () => {
    fc.assert(
      fc.property(answer, (vectors) => {
        const before = vectors.map((each) => each.slice());
        const units = validateEmbeddings(vectors, { count: vectors.length, dimensions });
        expect(vectors).toEqual(before);
        for (const [index, unit] of units.entries()) {
          expect(Math.hypot(...unit)).toBeCloseTo(1, 5);
          const original = vectors[index] ?? new Float32Array();
          const norm = Math.hypot(...original);
          for (const [at, value] of unit.entries()) expect(value).toBeCloseTo((original[at] ?? 0) / norm, 5);
        }
      }),
    );
  });

  it('refuses another count of vectors than of texts', () => {
    fc.assert(
      fc.property(answer, fc.nat(10), (vectors, count) => {
        fc.pre(count !== vectors.length);
        const failure = failureOf(() => validateEmbeddings(vectors, { count, dimensions }));
        expect(failure).toMatchObject({ code: 'INVALID_EMBEDDING', index: null, retryable: false });
      }),
    );
  });

  it('names the first vector of another dimension', () => {
    fc.assert(
      fc.property(answer, fc.nat(), fc.array(finite, { maxLength: 20 }), (vectors, seed, numbers) => {
        fc.pre(numbers.length !== dimensions);
        const index = seed % vectors.length;
        const bad = vectors.with(index, Float32Array.from(numbers));
        const failure = failureOf(() => validateEmbeddings(bad, { count: bad.length, dimensions }));
        expect(failure.index).toBe(index);
        expect(failure.reason).toContain(`${numbers.length} dimensions, expected ${dimensions}`);
      }),
    );
  });

  it('names the first vector with a number that is not finite', () => {
    const notFinite = fc.constantFrom(Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY);
    fc.assert(
      fc.property(answer, fc.nat(), fc.nat(dimensions - 1), notFinite, (vectors, seed, at, value) => {
        const index = seed % vectors.length;
        const bad = vectors.with(index, (vectors[index] ?? new Float32Array()).with(at, value));
        const failure = failureOf(() => validateEmbeddings(bad, { count: bad.length, dimensions }));
        expect(failure.index).toBe(index);
        expect(failure.reason).toBe(`number ${at} is ${value}`);
      }),
    );
  });

  it('names a vector of zeros', () => {
    const zeros = new Float32Array(dimensions);
    const failure = failureOf(() => validateEmbeddings([zeros.with(0, 1), zeros], { count: 2, dimensions }));
    expect(failure).toMatchObject({ index: 1, reason: 'all numbers are zero' });
  });

  it.each([3.4e38, 1.4e-45])('normalises numbers as extreme as %d', (value) => {
    const [unit] = validateEmbeddings([new Float32Array(dimensions).fill(value)], { count: 1, dimensions });
    expect(unit?.[0]).toBeCloseTo(1 / Math.sqrt(dimensions), 5);
  });
});
