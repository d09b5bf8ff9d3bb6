import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fitBudget, interleave } from '../../src/consolidation/interleave.ts';

describe('interleave', () => {
  it('takes the best of every list before the second best of any', () => {
    expect(interleave([['a1', 'a2', 'a3'], ['b1'], [], ['c1', 'c2']])).toEqual(['a1', 'b1', 'c1', 'a2', 'c2', 'a3']);
  });

  it('names an item once, at its best rank', () => {
    expect(
      interleave([
        ['x', 'y'],
        ['y', 'z'],
      ]),
    ).toEqual(['x', 'y', 'z']);
    expect(interleave([])).toEqual([]);
  });

  it('keeps every item, and never ranks the first of a list behind as many as there are lists', () => {
    fc.assert(
      fc.property(
        fc.array(fc.array(fc.integer({ min: 0, max: 30 }), { maxLength: 10 }), { maxLength: 10 }),
        (lists) => {
          const ranked = interleave(lists);
          expect(new Set(ranked)).toEqual(new Set(lists.flat()));
          expect(ranked.length).toBe(new Set(ranked).size);
          for (const [best] of lists) if (best !== undefined) expect(ranked.indexOf(best)).toBeLessThan(lists.length);
        },
      ),
    );
  });
});

describe('fitBudget', () => {
  const costOf = (item: number) => item;

  it('passes over one item that is too big, also the first: it is not the end of the list', () => {
    expect(fitBudget([101, 40, 80, 60, 1], costOf, 100)).toEqual([40, 60]);
  });

  it('keeps the order and the budget, and leaves out only what did not fit when its turn came', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 50 })), fc.integer({ min: 0, max: 200 }), (items, budget) => {
        let left = budget;
        const expected: number[] = [];
        for (const item of items) {
          if (item > left) continue;
          expected.push(item);
          left -= item;
        }
        expect(fitBudget(items, costOf, budget)).toEqual(expected);
      }),
    );
  });
});
