import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { checkBudget, checkScoreBudget } from '../../src/cli/doctor-checks.ts';
import { fullCallOf } from '../../src/consolidation/llm/limits.ts';
import { createBudget, dayLimits, readBudget } from '../../src/models/budget.ts';
import { priceOf, readPrices, reservationOf } from '../../src/models/prices.ts';
import { systemClock } from '../../src/telemetry/clock.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { createFakeChat } from '../consolidation/llm/fake-chat.ts';
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
});
beforeEach(async () => void (await database.db.query('truncate engram.budget_ledger')));
afterAll(() => database.drop());

const now = new Date(2026, 2, 1, 12);
const prices = readPrices();

async function check(model: string | null, settings: { usd?: number; tokens?: number; spentUsd?: number }) {
  const { db } = database;
  const limits = dayLimits({ budgetUsdPerDay: settings.usd ?? 1, budgetTokensPerDay: settings.tokens });
  const clock = { ...systemClock, now: () => now };
  const budget = createBudget({ db, limits, clock, metrics: createMetrics() });
  if (settings.spentUsd !== undefined) {
    await db.query(
      `insert into engram.budget_ledger (day, nano_usd, tokens, unpriced_tokens, calls) values ($1, $2, 0, 0, 1)`,
      [budget.today(), settings.spentUsd * 1e9],
    );
  }
  const chat = model === null ? undefined : createFakeChat({ model });
  return checkBudget(await readBudget(db, { limits, now }), budget, chat, prices);
}

it('is fine while a full batch has room', async () => {
  expect(await check('gpt-5-mini', { spentUsd: 0.5 })).toMatchObject({
    status: 'ok',
    detail: '$0.5000 of $1.00 spent today',
  });
});

it('warns where money is left and not enough for a batch', async () => {
  const batch = reservationOf(fullCallOf(createFakeChat()), priceOf(prices, 'gpt-5-mini')).nanoUsd / 1e9;
  const finding = await check('gpt-5-mini', { spentUsd: 1 - batch / 2 });
  expect(finding).toMatchObject({
    status: 'warn',
    detail: expect.stringContaining(new Date(2026, 2, 2).toISOString()),
  });
});

it('names a model whose batches no day can pay for', async () => {
  expect(await check('gpt-5-pro', {})).toMatchObject({
    status: 'warn',
    advice: expect.stringMatching(/one call of gpt-5-pro may cost \$1\.\d+ .*raise ENGRAMD_BUDGET_USD_PER_DAY/),
  });
  expect(await check('unheard-of', { tokens: 5000 })).toMatchObject({
    advice: expect.stringContaining('raise ENGRAMD_BUDGET_TOKENS_PER_DAY'),
  });
});

it('is no matter where the rules decide', async () => {
  expect(await check(null, { spentUsd: 1 })).toMatchObject({ status: 'ok' });
});

it.each([
  ['gpt-5-mini', {}, null],
  [
    'gpt-5-pro',
    { usd: 1.2 },
    /one call of gpt-5-pro may cost .*half of a day .* has \$0\.6: raise ENGRAMD_BUDGET_USD_PER_DAY/,
  ],
  ['unheard-of', { tokens: 40_000 }, /half of a day .* has 20000: raise ENGRAMD_BUDGET_TOKENS_PER_DAY/],
  [null, { tokens: 1 }, null],
] as const)('says where half of a day cannot hold a score: %s, %o', (model, settings, advice) => {
  const limits = dayLimits(renamed(settings));
  const budget = createBudget({ db: database.db, limits, clock: systemClock, metrics: createMetrics() });
  const findings = checkScoreBudget(budget, model === null ? undefined : createFakeChat({ model }), prices);
  expect(findings).toEqual(
    advice === null
      ? []
      : [
          expect.objectContaining({
            check: 'budget for scores',
            status: 'warn',
            advice: expect.stringMatching(advice),
          }),
        ],
  );
});

function renamed({ usd = 1, tokens }: { readonly usd?: number; readonly tokens?: number }) {
  return { budgetUsdPerDay: usd, budgetTokensPerDay: tokens };
}
