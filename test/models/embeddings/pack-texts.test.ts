import fc from 'fast-check';
import { expect, test } from 'vitest';
import { endpointModelId, parseEndpointModelId } from '../../../src/models/embeddings/model-id.ts';
import { cutToTokens, estimateTokens, packTexts, requestLimits } from '../../../src/models/embeddings/pack-texts.ts';

test('every text is in one request, in order, and none of them is too large unless a text alone is', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 9000 }), { maxLength: 300 }), (sizes) => {
      const texts = sizes.map((size) => 'x'.repeat(size));
      const requests = packTexts(texts, (text) => text.length);
      expect(requests.flat()).toEqual(texts.map((_, at) => at));
      for (const request of requests) {
        const tokens = request.reduce((sum, at) => sum + (sizes[at] ?? 0), 0);
        expect(request.length).toBeLessThanOrEqual(requestLimits.texts);
        expect(tokens <= requestLimits.tokens || request.length === 1).toBe(true);
      }
    }),
  );
});

test('a cut is a beginning of the text within its tokens, never empty, never half a character', () => {
  fc.assert(
    fc.property(
      fc.string({ unit: 'grapheme', minLength: 1, maxLength: 400 }),
      fc.integer({ min: 2, max: 200 }),
      (text, max) => {
        const cut = cutToTokens(text, max, estimateTokens);
        expect(text.startsWith(cut)).toBe(true);
        expect(cut).not.toBe('');
        expect(cut.isWellFormed()).toBe(text.isWellFormed());
        expect(estimateTokens(cut) <= max || [...cut].length === 1).toBe(true);
        if (estimateTokens(text) <= max) expect(cut).toBe(text);
      },
    ),
  );
});

test.each([
  ['textembedding-gecko@003', null, 'openai/textembedding-gecko@003'],
  ['textembedding-gecko@003', 256, 'openai/textembedding-gecko@003@256'],
  ['model@512', null, 'openai/model@512@'],
  ['model', 512, 'openai/model@512'],
])('an id tells a version in the name of %s from a length, %s', (model, askedDimensions, id) => {
  expect(endpointModelId({ model, askedDimensions })).toBe(id);
  expect(parseEndpointModelId(id)).toEqual({ model, askedDimensions });
});

test('an id is read back as what it was made of, and two models never have one', () => {
  const model = fc.string({ unit: fc.constantFrom('a', '@', '0', '3', '/', ':'), minLength: 1 });
  const dimensions = fc.option(fc.integer({ min: 1, max: 16_000 }));
  fc.assert(
    fc.property(model, dimensions, (name, askedDimensions) => {
      const made = { model: name, askedDimensions };
      expect(parseEndpointModelId(endpointModelId(made))).toEqual(made);
    }),
  );
});

test('an id names the model and the length that was asked for', () => {
  for (const model of [
    { model: 'text-embedding-3-small', askedDimensions: null },
    { model: 'BAAI/bge-m3:latest', askedDimensions: 512 },
  ]) {
    expect(parseEndpointModelId(endpointModelId(model))).toEqual(model);
  }
  expect(parseEndpointModelId('local/use-512')).toBeNull();
});
