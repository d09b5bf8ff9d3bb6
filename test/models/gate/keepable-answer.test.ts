import fc from 'fast-check';
import { expect, it } from 'vitest';
import { keepable } from '../../../src/models/keepable-answer.ts';

const text = fc
  .array(fc.constantFrom('\\', 'u0000', 'ud83d', 'uDE00', '\0', '\ud83d', '\ude00', '😀', '"', 'a'), { maxLength: 8 })
  .map((parts) => parts.join(''));

it('keeps every answer but those with characters that the database refuses', () => {
  fc.assert(
    fc.property(text, (content) => {
      const isStorable = !content.includes('\0') && content.isWellFormed();
      expect(keepable({ content })).toBe(isStorable ? JSON.stringify({ content }) : null);
    }),
  );
});

it('keeps an answer that is JSON with escapes in it', () => {
  const content = '{"text":"\\ud83d\\ude00 and \\u0000"}';
  expect(keepable({ content })).toBe(JSON.stringify({ content }));
});
