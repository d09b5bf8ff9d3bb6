import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { dirtyLimit, type FreshnessFacts, freshness } from '../../src/builds/freshness.ts';
import { isSameSize, sizeClass } from '../../src/builds/size-class.ts';

describe('the class of a bank', () => {
  it('is ten rows wide below 200, and 5 % from there on', () => {
    expect([0, 9, 10, 199, 200, 209, 210, 220, 221, 37_000].map(sizeClass)).toEqual([
      0, 0, 1, 19, 20, 20, 21, 21, 22, 126,
    ]);
  });

  it('never goes down as the bank grows', () => {
    fc.assert(
      fc.property(fc.nat(2_000_000), (rows) => {
        expect(sizeClass(rows + 1)).toBeGreaterThanOrEqual(sizeClass(rows));
        expect(sizeClass(rows + 1) - sizeClass(rows)).toBeLessThanOrEqual(1);
      }),
    );
  });
});

/** Rows as they come and go, with a look after each; how often what is there does not do. */
function misses(from: number, looks: readonly number[]): number {
  let builtOf = from;
  let count = 0;
  for (const rows of looks) {
    if (isSameSize(builtOf, rows)) continue;
    count += 1;
    builtOf = rows;
  }
  return count;
}

describe('cache keys so fine that each wake misses', () => {
  it.each([400, 1000, 4000, 37_000])(
    'do not come back: a day of 150 inserts with a wake after each 1 % (%i rows)',
    (from) => {
      const wakes = Array.from({ length: 100 }, (_, wake) => from + Math.round(1.5 * (wake + 1)));
      expect(misses(from, wakes)).toBeLessThanOrEqual(7);
    },
  );

  it('nor by an edge: one row that comes and goes there never misses', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 200_000 }), (builtOf) => {
        const wobble = Array.from({ length: 20 }, (_, at) => builtOf + (at % 2 === 0 ? 1 : -1));
        expect(misses(builtOf, wobble)).toBe(0);
      }),
    );
  });

  it('and what has grown or shrunk by two classes is missed', () => {
    fc.assert(
      fc.property(fc.integer({ min: 60, max: 200_000 }), (builtOf) => {
        const step = Math.ceil(Math.max(20, builtOf * 0.105));
        expect(isSameSize(builtOf, builtOf + step)).toBe(false);
        expect(isSameSize(builtOf, builtOf - step)).toBe(false);
      }),
    );
  });
});

describe('the fuse', () => {
  const facts: FreshnessFacts = { ageSeconds: 0, builtOf: 1000, isComplete: true, rows: 1000, dirty: 0 };
  const hour = 3600;

  it('goes at 25 hours and a second', () => {
    expect(freshness({ ...facts, ageSeconds: 25 * hour })).toBe('fresh');
    expect(freshness({ ...facts, ageSeconds: 25 * hour + 1 })).toBe('stale');
  });

  it('goes at 51 changed rows, or one above a fiftieth of a large bank', () => {
    expect(freshness({ ...facts, dirty: 50 })).toBe('fresh');
    expect(freshness({ ...facts, dirty: 51 })).toBe('stale');
    const large = { ...facts, builtOf: 37_000, rows: 37_000 };
    expect(dirtyLimit(37_000)).toBe(740);
    expect(freshness({ ...large, dirty: 740 })).toBe('fresh');
    expect(freshness({ ...large, dirty: 741 })).toBe('stale');
  });

  it('takes what is not complete for stale, and what is of another size for missing', () => {
    expect(freshness({ ...facts, isComplete: false })).toBe('stale');
    expect(freshness({ ...facts, rows: 1200 })).toBe('missing');
  });
});
