import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createContentHash } from '../../src/backup/content-hash.ts';

function hashOf(tuples: readonly Uint8Array[]): string {
  const content = createContentHash();
  for (const tuple of tuples) content.add(tuple);
  expect(content.rows).toBe(tuples.length);
  return content.digest();
}

const tuple = fc.uint8Array({ minLength: 1, maxLength: 30 });
const shuffled = fc
  .array(tuple, { maxLength: 20 })
  .chain((tuples) => fc.tuple(fc.constant(tuples), fc.shuffledSubarray(tuples, { minLength: tuples.length })));

test('it is the sum of the rows’ hashes modulo 2^256, in any order', () => {
  fc.assert(
    fc.property(shuffled, ([tuples, others]) => {
      const sum = tuples.reduce((total, bytes) => {
        const digest = createHash('sha256').update(bytes).digest('hex');
        return (total + BigInt(`0x${digest}`)) % 2n ** 256n;
      }, 0n);
      expect(hashOf(tuples)).toBe(sum.toString(16).padStart(64, '0'));
      expect(hashOf(others)).toBe(hashOf(tuples));
    }),
  );
});

test('another row, a row more and a row twice are seen', () => {
  fc.assert(
    fc.property(fc.array(tuple), tuple, tuple, (tuples, row, other) => {
      fc.pre(!Buffer.from(row).equals(other));
      const all = [hashOf(tuples), hashOf([...tuples, row]), hashOf([...tuples, other]), hashOf([...tuples, row, row])];
      expect(new Set(all).size).toBe(4);
    }),
  );
});
