import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { ConfigError } from '../config/config-error.ts';
import type { Amounts } from '../store/budget-ledger.ts';
import { errorMessage } from '../telemetry/engramd-error.ts';
import type { CallFacts, TokenUsage } from './model-gate.ts';

/** What tokens cost, in dollars per million. */
export interface Price {
  readonly input: number;
  /** Prompt tokens that the provider had cached. */
  readonly cached: number;
  /** Reasoning included. */
  readonly output: number;
}

/** Prices by model name. */
export type Prices = ReadonlyMap<string, Price>;

/**
 * List prices of OpenAI, in dollars per million tokens: input, cached input, output. To be edited here when they change;
 * until then ENGRAMD_PRICES_FILE stands above it.
 */
const listPrices: Readonly<Record<string, readonly [input: number, cached: number, output: number]>> = {
  'gpt-5': [1.25, 0.125, 10],
  'gpt-5-mini': [0.25, 0.025, 2],
  'gpt-5-nano': [0.05, 0.005, 0.4],
  'gpt-5-pro': [15, 15, 120],
  'gpt-5-chat-latest': [1.25, 0.125, 10],
  'gpt-5.1': [1.25, 0.125, 10],
  'gpt-5.1-chat-latest': [1.25, 0.125, 10],
  'gpt-4.1': [2, 0.5, 8],
  'gpt-4.1-mini': [0.4, 0.1, 1.6],
  'gpt-4.1-nano': [0.1, 0.025, 0.4],
  'gpt-4o': [2.5, 1.25, 10],
  'gpt-4o-mini': [0.15, 0.075, 0.6],
  o3: [2, 0.5, 8],
  'o3-mini': [1.1, 0.55, 4.4],
  'o4-mini': [1.1, 0.275, 4.4],
  'text-embedding-3-small': [0.02, 0.02, 0],
  'text-embedding-3-large': [0.13, 0.13, 0],
  'text-embedding-ada-002': [0.1, 0.1, 0],
};

const expectedPrice = 'expected dollars per million tokens, 0 to 10000';
const dollars = z.number(expectedPrice).min(0, expectedPrice).max(10_000, expectedPrice);

/** `output` has no default: one that was forgotten would make a model look nearly free. */
const fileSchema = z.record(
  z.string().min(1),
  z.strictObject({ input: dollars, cached: dollars.optional(), output: dollars }),
);

/**
 * The built-in table, with the file's prices above it.
 *
 * @param path of a JSON file: `{"my-model": {"input": 0.1, "cached": 0.05, "output": 0.4}}`; `cached` is `input` if absent
 * @throws ConfigError naming ENGRAMD_PRICES_FILE
 */
export function readPrices(path?: string): Prices {
  const prices = new Map<string, Price>();
  for (const [model, [input, cached, output]] of Object.entries(listPrices))
    prices.set(model, { input, cached, output });
  if (path === undefined) return prices;
  for (const [model, price] of Object.entries(readPricesFile(path))) {
    prices.set(model, { input: price.input, cached: price.cached ?? price.input, output: price.output });
  }
  return prices;
}

function readPricesFile(path: string): z.output<typeof fileSchema> {
  let json: unknown;
  try {
    json = JSON.parse(readFileSync(path, 'utf8'));
  } catch (thrown) {
    throw new ConfigError(`ENGRAMD_PRICES_FILE: ${path} is not a readable JSON file: ${errorMessage(thrown)}`, {
      cause: thrown,
    });
  }
  const parsed = fileSchema.safeParse(json);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const where = issue && issue.path.length > 0 ? `${issue.path.join('.')}: ` : '';
  throw new ConfigError(
    `ENGRAMD_PRICES_FILE: ${path}: ${where}${issue?.message ?? 'not usable'}; a line looks like "my-model": {"input": 0.1, "cached": 0.05, "output": 0.4}`,
  );
}

/**
 * Undefined: unknown. By name alone, wherever the model is served: a gateway that offers `gpt-5-mini` passes its price on,
 * and one that is cheaper (or free) can be told so in the file; to take a priced model for a free one would be the costlier
 * mistake. A dated snapshot costs what its family costs, and `openai/` is how gateways write whose model it is.
 */
export function priceOf(prices: Prices, model: string): Price | undefined {
  const exact = prices.get(model);
  if (exact) return exact;
  const own = model.replace(/^openai\//, '');
  return prices.get(own) ?? prices.get(own.replace(/-\d{4}-\d{2}-\d{2}$/, ''));
}

/** Dollars per million tokens are millionths of a dollar a token; in whole 10⁻¹² dollars every price of a list is exact. */
function picoUsdPerToken(usdPerMillion: number): number {
  return Math.round(usdPerMillion * 1_000_000);
}

/** What tokens cost, in billionths of a dollar, rounded up. */
function nanoUsdOf(usage: TokenUsage, price: Price): number {
  const cached = Math.min(usage.cachedTokens, usage.promptTokens);
  const pico =
    (usage.promptTokens - cached) * picoUsdPerToken(price.input) +
    cached * picoUsdPerToken(price.cached) +
    usage.outputTokens * picoUsdPerToken(price.output);
  return Math.ceil(pico / 1000);
}

/** What a use takes of a day's limits. */
export function amountsOf(usage: TokenUsage, price: Price | undefined): Amounts {
  const tokens = usage.promptTokens + usage.outputTokens;
  if (price === undefined) return { nanoUsd: 0, tokens, unpricedTokens: tokens };
  return { nanoUsd: nanoUsdOf(usage, price), tokens, unpricedTokens: 0 };
}

/** The most that a call can take: no tokenizer makes more tokens than there are bytes, and none of them is cached. */
export function reservationOf(
  facts: Pick<CallFacts, 'promptBytes' | 'maxOutputTokens'>,
  price: Price | undefined,
): Amounts {
  return amountsOf(
    { promptTokens: facts.promptBytes, cachedTokens: 0, outputTokens: facts.maxOutputTokens },
    // Where cached input is dearer than fresh (some gateways charge for writing the cache), the bound has to hold too.
    price && { ...price, input: Math.max(price.input, price.cached) },
  );
}
