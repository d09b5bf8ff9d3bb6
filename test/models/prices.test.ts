import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { ConfigError } from '../../src/config/config-error.ts';
import { amountsOf, priceOf, readPrices, reservationOf } from '../../src/models/prices.ts';
import { createScratchFolder, removeScratchFolder } from '../support/scratch-folder.ts';

const folder = createScratchFolder();
afterAll(() => removeScratchFolder(folder));

function file(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

describe('what a model costs', () => {
  const prices = readPrices();

  it.each([
    ['gpt-5', 1.25, 0.125, 10],
    ['gpt-5-mini', 0.25, 0.025, 2],
    ['gpt-5-nano', 0.05, 0.005, 0.4],
    ['gpt-4.1-mini', 0.4, 0.1, 1.6],
    ['gpt-4o', 2.5, 1.25, 10],
    ['text-embedding-3-small', 0.02, 0.02, 0],
  ])('%s is in the table', (model, input, cached, output) => {
    expect(priceOf(prices, model)).toEqual({ input, cached, output });
  });

  it('a dated snapshot costs what its family does, also where a gateway writes whose it is', () => {
    const mini = priceOf(prices, 'gpt-5-mini');
    for (const name of ['gpt-5-mini-2025-08-07', 'openai/gpt-5-mini', 'openai/gpt-5-mini-2025-08-07']) {
      expect(priceOf(prices, name)).toEqual(mini);
    }
  });

  it('no other name is guessed at', () => {
    for (const name of ['gpt-5-mini-tuned', 'qwen3:8b', 'gpt-oss-20b', 'someone/gpt-5-mini', 'constructor', '']) {
      expect(priceOf(prices, name)).toBeUndefined();
    }
  });
});

describe('a file of prices', () => {
  it('stands above the table, a snapshot above its family, and makes a model free', () => {
    const prices = readPrices(
      file(
        'good.json',
        `{"gpt-5-mini": {"input": 1, "output": 3}, "gpt-5-mini-2025-08-07": {"input": 2, "cached": 1, "output": 4},
          "qwen3:8b": {"input": 0, "output": 0}}`,
      ),
    );
    expect(priceOf(prices, 'gpt-5-mini')).toEqual({ input: 1, cached: 1, output: 3 });
    expect(priceOf(prices, 'gpt-5-mini-2025-08-07')).toEqual({ input: 2, cached: 1, output: 4 });
    expect(priceOf(prices, 'gpt-5-nano')).toBeDefined();
    expect(amountsOf({ promptTokens: 1e6, cachedTokens: 0, outputTokens: 1e6 }, priceOf(prices, 'qwen3:8b'))).toEqual({
      nanoUsd: 0,
      tokens: 2e6,
      unpricedTokens: 0,
    });
  });

  it.each([
    ['no file', 'missing.json', undefined, 'is not a readable JSON file'],
    ['no JSON', 'text.json', 'gpt-5: 1', 'is not a readable JSON file'],
    ['a list', 'list.json', '[1]', 'expected'],
    ['a price without its output', 'half.json', '{"m": {"input": 1}}', 'm.output: expected dollars per million tokens'],
    ['a negative price', 'minus.json', '{"m": {"input": -1, "output": 1}}', 'm.input: expected dollars'],
    ['a price in words', 'words.json', '{"m": {"input": "1", "output": 1}}', 'm.input: expected dollars'],
    ['a mistyped field', 'typo.json', '{"m": {"input": 1, "output": 1, "chached": 1}}', 'chached'],
  ])('%s is an error that names the variable', (_name, name, text, message) => {
    const path = text === undefined ? join(folder, name) : file(name, text);
    expect(() => readPrices(path)).toThrow(ConfigError);
    expect(() => readPrices(path)).toThrow(`ENGRAMD_PRICES_FILE: ${path}: `.slice(0, -2));
    expect(() => readPrices(path)).toThrow(message);
  });

  it('a folder is one as well', () => {
    mkdirSync(join(folder, 'folder'));
    expect(() => readPrices(join(folder, 'folder'))).toThrow(ConfigError);
  });
});

describe('what a call takes of the day', () => {
  const price = { input: 0.25, cached: 0.025, output: 2 };

  it('is counted in whole billionths of a dollar, rounded up', () => {
    const usage = { promptTokens: 1000, cachedTokens: 600, outputTokens: 100 };
    expect(amountsOf(usage, price)).toEqual({
      nanoUsd: 400 * 250 + 600 * 25 + 100 * 2000,
      tokens: 1100,
      unpricedTokens: 0,
    });
    expect(amountsOf(usage, undefined)).toEqual({ nanoUsd: 0, tokens: 1100, unpricedTokens: 1100 });
    // 37.5 billionths a token.
    const half = { input: 0.0375, cached: 0.0375, output: 0 };
    expect(amountsOf({ promptTokens: 1, cachedTokens: 0, outputTokens: 0 }, half).nanoUsd).toBe(38);
    expect(amountsOf({ promptTokens: 2, cachedTokens: 0, outputTokens: 0 }, half).nanoUsd).toBe(75);
  });

  it('is never more than what is reserved, whatever the text and the tokenizer', () => {
    const dollars = fc.double({ min: 0, max: 1000, noNaN: true });
    fc.assert(
      fc.property(
        fc.string({ unit: 'binary' }),
        fc.integer({ min: 0, max: 100_000 }),
        fc.option(fc.record({ input: dollars, cached: dollars, output: dollars }), { nil: undefined }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (text, maxOutputTokens, anyPrice, used, cached) => {
          // At the worst a token for each byte.
          const promptTokens = Buffer.byteLength(text);
          const most = reservationOf({ promptBytes: promptTokens, maxOutputTokens }, anyPrice);
          const real = amountsOf(
            {
              promptTokens: Math.floor(promptTokens * used),
              cachedTokens: Math.floor(promptTokens * used * cached),
              outputTokens: Math.floor(maxOutputTokens * used),
            },
            anyPrice,
          );
          expect(real.nanoUsd).toBeLessThanOrEqual(most.nanoUsd);
          expect(real.tokens).toBeLessThanOrEqual(most.tokens);
          expect(real.unpricedTokens).toBeLessThanOrEqual(most.unpricedTokens);
          expect(most.tokens).toBe(promptTokens + maxOutputTokens);
        },
      ),
    );
  });
});
