import fc from 'fast-check';
import { expect, test } from 'vitest';
import { readScores } from '../../src/significance/llm/read-scores.ts';
import { scoreDocuments } from '../../src/significance/llm/score-documents.ts';
import { scorable } from './scorable.ts';

const shown = [
  { alias: 'm1a', shown: 'Anna Berg lives in Basel.\nchat' },
  { alias: 'm2b', shown: 'It rained.\n' },
];
const entry = (alias: string, significance: unknown, entities: unknown = []) => ({ alias, significance, entities });
const good = entry('m2b', 1);

test.each([
  ['a score of 7', entry('m1a', 7)],
  ['a score of NaN', entry('m1a', Number.NaN)],
  ['a score of -0.5', entry('m1a', -0.5)],
  ['a score of Infinity', entry('m1a', Number.POSITIVE_INFINITY)],
  ['a score of "high"', entry('m1a', 'high')],
  ['a score of "3"', entry('m1a', '3')],
  ['a score of some text', entry('m1a', 'as high as it gets, and then some')],
  ['a score of nothing', entry('m1a', null)],
  ['a score of nothing', { alias: 'm1a' }],
  ['a score of a object', entry('m1a', { value: 3 })],
  ['a score of a boolean', entry('m1a', true)],
  ['no answer for it', 'm1a: 3'],
  ['no answer for it', entry('m9z', 3)],
])('accepted a score of 7 or NaN: %s refuses its memory alone', (why, wrong) => {
  expect(readScores({ scores: [wrong, good] }, shown)).toEqual({
    value: [
      { kind: 'refused', why },
      { kind: 'scored', significance: 1, entities: [] },
    ],
  });
});

test('the same answer twice is one, two that differ are none', () => {
  const twice = readScores({ scores: [entry('m1a', 2), entry('M1A ', 2), good] }, shown);
  expect(twice).toMatchObject({ value: [{ kind: 'scored', significance: 2 }, {}] });
  const differ = readScores({ scores: [entry('m1a', 2), entry('m1a', 3), good] }, shown);
  expect(differ).toMatchObject({ value: [{ kind: 'refused' }, { kind: 'scored' }] });
});

test('names are those of the text, each once, bounded, whatever else is listed', () => {
  const entities = ['Anna Berg', 'anna berg', 'BASEL', 'Zurich', '', 7, null, { name: 'Anna' }, 'x'.repeat(5000)];
  expect(readScores({ scores: [entry('m1a', 2, entities), good] }, shown)).toMatchObject({
    value: [{ entities: ['Anna Berg', 'BASEL'] }, {}],
  });
  expect(readScores({ scores: [entry('m1a', 2, 'Anna'), good] }, shown)).toMatchObject({
    value: [{ entities: [] }, {}],
  });
});

test('a list at the top and a lone entry are read, anything else is a problem to be repaired', () => {
  expect(readScores([entry('m1a', 2), good], shown)).toHaveProperty('value');
  expect(readScores(good, shown)).toHaveProperty('value');
  for (const json of [null, 'no', 3, {}, { scores: {} }, { scores: [] }, { scores: [entry('m1a', 9)] }]) {
    expect(readScores(json, shown)).toHaveProperty('problem');
  }
});

test('any JSON: one answer for each memory or a problem, and only whole numbers from 0 to 3', () => {
  const near = fc.record({
    alias: fc.constantFrom('m1a', 'm2b', 'M1A', 'm3c', ''),
    significance: fc.oneof(fc.integer({ min: -2, max: 9 }), fc.double(), fc.string(), fc.constant(null)),
    entities: fc.oneof(fc.array(fc.string()), fc.jsonValue()),
  });
  fc.assert(
    fc.property(fc.oneof(fc.jsonValue(), fc.record({ scores: fc.array(near) })), (json) => {
      const read = readScores(json, shown);
      if ('problem' in read) return;
      expect(read.value).toHaveLength(shown.length);
      for (const one of read.value) if (one.kind === 'scored') expect([0, 1, 2, 3]).toContain(one.significance);
    }),
  );
});

const window = { contextTokens: 8192, tokensOf: (text: string) => Math.ceil(Buffer.byteLength(text) / 4) };

test('the same memories are the same bytes, and an alias is of one memory in one version', () => {
  const memories = ['It rained.', 'It snowed.'].map((text) => scorable(text));
  expect(scoreDocuments(window, memories)).toEqual(scoreDocuments(window, structuredClone(memories)));
  const aliasOf = (version: number) =>
    scoreDocuments(window, [{ ...(memories[0] ?? scorable('')), version }])[0]?.shown[0]?.alias;
  expect(aliasOf(1)).not.toBe(aliasOf(2));
});

test('whatever a text holds, the document is JSON and every memory is in one, in order', () => {
  const text = fc.oneof(fc.string({ unit: 'binary' }), fc.constantFrom('.......', '"}]}', '$&', '\ud800'));
  fc.assert(
    fc.property(fc.array(fc.record({ text, context: fc.option(text) }), { minLength: 1, maxLength: 30 }), (rows) => {
      const memories = rows.map((row) => scorable(row.text, { context: row.context }));
      const documents = scoreDocuments(window, memories);
      expect(documents.flatMap((document) => document.memories)).toEqual(memories);
      for (const { json, shown: seen } of documents) {
        const parsed: unknown = JSON.parse(json);
        expect(parsed).toMatchObject({ memories: seen.map(({ alias }) => ({ alias })) });
        expect(seen.length).toBeLessThanOrEqual(12);
      }
    }),
  );
});
