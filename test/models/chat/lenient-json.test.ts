import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { lenientJson } from '../../../src/models/chat/lenient-json.ts';

describe('finds the value', () => {
  const value = { ops: [{ op: 'create', text: 'a } b { c " d ``` e </think>' }] };
  const json = JSON.stringify(value);
  it.each([
    ['alone', json],
    ['with space around it', `\n  ${json}\n`],
    ['in a fence', `\`\`\`json\n${json}\n\`\`\``],
    ['in a fence without a name', `Here:\n\`\`\`\n${json}\n\`\`\`\nDone.`],
    ['in the second fence', `\`\`\`\nnot this\n\`\`\`\n\`\`\`json\n${json}\n\`\`\``],
    ['after thoughts', `<think>\nmaybe {"ops": []}?\n</think>\n\n${json}`],
    ['after thoughts whose beginning was swallowed', `maybe not\n</think>\n${json}`],
    ['after thoughts with an answer in them whose beginning was swallowed', `{"ops": []}? No.\n</think>\n\n${json}`],
    ['after thoughts about the end of thoughts', `<think>I end with </think>\n{"ops": []}\n</think>\n${json}`],
    ['after thoughts, in a fence', `<thinking>hm</thinking>\`\`\`json\n${json}\n\`\`\``],
    ['in prose', `Sure! ${json} Anything else?`],
    ['after words in brackets', `As {asked} [1]: ${json}`],
  ])('%s', (_name, text) => {
    expect(lenientJson(text)).toEqual({ json: value });
  });
});

describe('finds nothing', () => {
  it.each([
    ['in nothing', ''],
    ['in prose', 'I cannot do that.'],
    ['in a value that was cut off', '{"ops": [{"op": "create"}, {"op": "sk'],
    ['in a value that was cut off behind a whole part', 'Here: {"ops": [{"op": "skip"}'],
    ['in thoughts that did not end', '<think>the answer is {"ops": []}'],
    ['in thoughts, when the answer was cut off', 'Is it {"ops": []}?\n</think>\n{"ops": ['],
    ['in single quotes', "{'ops': []}"],
    ['in a comma too many', '{"ops": [],}'],
    ['in two halves', '{"a": 1'],
  ])('%s', (_name, text) => {
    expect(lenientJson(text)).toBeUndefined();
  });
});

it('leaves out what the database cannot keep', () => {
  expect(lenientJson('{"a":"x\\u0000y","b":["\\ud83d","\\ud83d\\ude00"]}')).toEqual({
    json: { a: 'xy', b: ['\ufffd', '😀'] },
  });
});

describe('for any text', () => {
  /** JSON values that stand in the text, as a person would find them: by trying every piece. */
  function valuesIn(text: string): string[] {
    const found: string[] = [];
    for (let from = 0; from < text.length; from += 1) {
      for (let to = from + 1; to <= text.length; to += 1) {
        try {
          found.push(JSON.stringify(JSON.parse(text.slice(from, to))));
        } catch {
          // No value.
        }
      }
    }
    return found;
  }

  it('never throws, and accepts nothing but JSON that stands in it', () => {
    const pieces = fc.constantFrom(
      '{',
      '}',
      '[',
      ']',
      '"',
      ':',
      ',',
      'a',
      '1',
      ' ',
      '\n',
      '```',
      '```json\n',
      '<think>',
      '</think>',
      '\\',
    );
    const text = fc.array(pieces, { maxLength: 14 }).map((parts) => parts.join(''));
    fc.assert(
      fc.property(text, (input) => {
        const found = lenientJson(input);
        if (found) expect(valuesIn(input)).toContain(JSON.stringify(found.json));
      }),
      { numRuns: 500 },
    );
  });

  it('never throws on what is long, deep or odd', () => {
    const long = fc.constantFrom('{', '[', '{"a":', '"', '```\n', '<think>', '{}', '\\', '\ud800', '\0', '</think>');
    fc.assert(
      fc.property(long, fc.integer({ min: 0, max: 3000 }), fc.string(), (part, times, end) => {
        lenientJson(part.repeat(times) + end);
      }),
    );
  });

  it('finds any object whatever words stand around it', () => {
    const word = fc.stringMatching(/^[A-Za-z .,!?]{0,30}$/);
    fc.assert(
      fc.property(word, fc.dictionary(fc.string(), fc.jsonValue()), word, (before, value, after) => {
        const clean = JSON.parse(JSON.stringify(value).replaceAll('\\u0000', '')) as unknown;
        expect(lenientJson(`${before}${JSON.stringify(clean)}${after}`)).toEqual({ json: clean });
      }),
    );
  });
});
