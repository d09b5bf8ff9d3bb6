import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { attemptsBeforeParking, restMs } from '../../src/consolidation/back-off.ts';

const restMinutes = (attempts: number, random: number) => {
  const ms = restMs(attempts, random);
  return ms === null ? null : ms / 60_000;
};

describe('the next attempt of a memory without progress (L5)', () => {
  it('is after 5 min × 4ⁿ, of which a random half is waited, and never after the fifth', () => {
    expect([0, 1, 2, 3, 4].map((attempts) => restMinutes(attempts, 0))).toEqual([2.5, 10, 40, 160, null]);
    expect([0, 1, 2, 3].map((attempts) => restMinutes(attempts, 1 - Number.EPSILON)?.toFixed(3))).toEqual([
      '5.000',
      '20.000',
      '80.000',
      '320.000',
    ]);
    expect(attemptsBeforeParking).toBe(5);
  });

  it('lies between half and all of its pause, and within a day', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 3 }),
        fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
        (n, r) => {
          const full = Math.min(5 * 4 ** n, 24 * 60);
          const minutes = restMinutes(n, r) ?? 0;
          expect(minutes).toBeGreaterThanOrEqual(full / 2 - 0.001);
          expect(minutes).toBeLessThanOrEqual(full);
        },
      ),
    );
  });
});
