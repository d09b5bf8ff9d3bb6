import fc from 'fast-check';
import { expect, it } from 'vitest';
import { diffWords } from '../../src/cli/word-diff.ts';

const show = (before: string, after: string) =>
  diffWords(before, after)
    .map(({ kind, text }) => ({ kept: text, removed: `[-${text}-]`, added: `{+${text}+}` })[kind])
    .join('');

it.each([
  ['Mara drinks tea.', 'Mara drinks coffee.', 'Mara drinks [-tea-]{+coffee+}.'],
  ['The fee is 40 €.', 'The fee is 45 € a month.', 'The fee is [-40-]{+45+} €{+ a month+}.'],
  ['same', 'same', 'same'],
  ['', 'new', '{+new+}'],
])('%j to %j', (before, after, expected) => {
  expect(show(before, after)).toBe(expected);
});

it('loses no letter of either side', () => {
  const text = fc
    .array(fc.constantFrom('tea', 'Tee', ' ', '\n', '.', '42', 'ü', '👩‍🚀', ''), { maxLength: 30 })
    .map((parts) => parts.join(''));
  fc.assert(
    fc.property(text, text, (before, after) => {
      const parts = diffWords(before, after);
      const side = (without: string) => parts.filter(({ kind }) => kind !== without).map((part) => part.text);
      expect(side('added').join('')).toBe(before);
      expect(side('removed').join('')).toBe(after);
    }),
  );
});
