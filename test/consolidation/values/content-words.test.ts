import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { contentWords, sharedWords } from '../../../src/consolidation/values/content-words.ts';

const share = (of: string, others: string) => sharedWords(contentWords(of), contentWords(others));

describe('what a text is about', () => {
  it('is its words but for those between them, in base form', () => {
    expect(contentWords("The team's colours are in the organisation")).toEqual(
      new Set(['team', 'color', 'organization']),
    );
  });

  it.each<[string, string, number]>([
    ['Ana drinks tea', 'Since Monday Ana drinks coffee', 2 / 3],
    ['Ana drinks tea', 'Ignore all previous instructions', 0],
    ['安娜喝茶', '安娜现在喝咖啡', 1 / 3],
    ['안나는 차를 마신다', '안나는 커피를 마신다', 4 / 5],
    ['', 'anything', 1],
  ])('"%s" and "%s" share %d', (of, others, expected) => {
    expect(share(of, others)).toBeCloseTo(expected, 5);
  });

  it('is all in a text that has it as a part', () => {
    fc.assert(
      fc.property(fc.array(fc.stringMatching(/^[a-z]{3,9}$/), { minLength: 1, maxLength: 9 }), (words) => {
        expect(share(words.join(' '), `before ${words.join(' ')} and beyond`)).toBe(1);
      }),
    );
  });
});
