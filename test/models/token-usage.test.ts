import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { usageTold } from '../../src/models/token-usage.ts';

describe('what a server says that it used', () => {
  it('is taken as it is where it makes sense, rounded', () => {
    expect(usageTold({ prompt: 100.4, output: 20, cached: 60 })).toEqual({
      promptTokens: 100,
      cachedTokens: 60,
      outputTokens: 20,
    });
  });

  it('has the reasoning that only the total counts', () => {
    expect(usageTold({ prompt: 100, output: 20, total: 500 })).toMatchObject({ outputTokens: 400 });
  });

  it.each([
    ['nothing', undefined, 5],
    ['a prompt of no tokens', 0, 0],
    ['less than nothing', -1, 5],
    ['less than nothing for the answer', 100, -5],
    ['no number', '100', 5],
    ['infinitely many', Number.POSITIVE_INFINITY, 5],
    ['not a number', Number.NaN, 5],
  ])('is nothing said where it is %s', (_name, prompt, output) => {
    expect(usageTold({ prompt, output })).toBeNull();
  });

  const anything = fc.oneof(fc.double(), fc.integer(), fc.anything());
  it('is whole, not negative and no more than the ledger holds, whatever comes', () => {
    fc.assert(
      fc.property(anything, anything, anything, anything, (prompt, output, total, cached) => {
        const usage = usageTold({ prompt, output, total, cached });
        if (usage === null) return;
        for (const count of Object.values(usage)) {
          expect(Number.isSafeInteger(count) && count >= 0 && count < 2 ** 31).toBe(true);
        }
        expect(usage.cachedTokens).toBeLessThanOrEqual(usage.promptTokens);
      }),
    );
  });
});
