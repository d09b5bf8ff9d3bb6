import { expect, test } from 'vitest';
import { BudgetSpentError } from '../../src/models/provider-errors.ts';
import { createSignificanceEngine } from '../../src/significance/create-engine.ts';
import { systemClock } from '../../src/telemetry/clock.ts';
import { createLlmBench } from './llm-bench.ts';
import { llmScorerOf } from './llm-scorer-of.ts';

const { bench, model } = await createLlmBench();

const clock = { ...systemClock, now: () => new Date(2026, 2, 1, 12) };

async function engineOf(budgetTokensPerDay: number) {
  const { log } = bench.deps;
  const scorer = await llmScorerOf({ db: bench.db, baseUrl: model.baseUrl, budgetTokensPerDay, clock, log });
  return createSignificanceEngine({ ...bench.deps, scorer });
}

const told = () => bench.logged.filter((line) => line.includes('raise ENGRAMD_BUDGET_TOKENS_PER_DAY'));
const standing = async () => (await bench.memories()).map(({ isScored, attempts }) => [isScored, attempts]);

test('a batch that half of no day has room for is asked for in smaller ones', async () => {
  await bench.remember(...Array.from({ length: 12 }, (_, index) => `${index} ${'It rained. '.repeat(145)}`));
  const engine = await engineOf(40_000);
  expect(await engine.readyAt()).toBeNull();
  expect(await bench.score(engine)).toEqual({ scored: 12, remaining: 0 });
  expect(model.count.chat).toBeGreaterThan(1);
  expect(told()).toEqual([]);
});

test('one memory that half of no day has room for waits and says what to raise; the others are scored', async () => {
  await bench.remember('It rained.', 'It snowed. '.repeat(1000), 'It was warm.', 'It was cold. '.repeat(1000));
  const engine = await engineOf(20_000);
  expect(await bench.score(engine)).toEqual({ scored: 2, remaining: 0 });
  expect(await standing()).toEqual([
    [true, 0],
    [false, 0],
    [true, 0],
    [false, 0],
  ]);
  // No midnight changes that: nothing says that scores go on then, and nobody else waits.
  expect(await engine.readyAt()).toBeNull();
  expect(await bench.rows('select from engram.model_breakers')).toEqual([]);

  await bench.wakeAll();
  expect(await bench.score(engine)).toEqual({ scored: 0, remaining: 0 });
  expect(told()).toHaveLength(1);
  expect(told()[0]).toContain('the half of a day that scores may spend has 10000');

  await bench.wakeAll();
  expect(await bench.score(await engineOf(200_000))).toEqual({ scored: 2, remaining: 0 });
});

test('a day of which half holds no call at all sends nothing, and promises no midnight', async () => {
  await bench.remember('It rained.', 'It snowed.');
  for (const tokens of [1, 6000]) {
    const engine = await engineOf(tokens);
    expect(await engine.readyAt()).toBeNull();
    expect(await bench.score(engine)).toEqual({ scored: 0, remaining: 0 });
    expect(await engine.readyAt()).toBeNull();
    await bench.wakeAll();
  }
  expect(told()).toHaveLength(2);
  expect(model.count.chat).toBe(0);
});

test('what fits half of a day that is partly spent waits for the next day as it is', async () => {
  await bench.remember('It rained.', 'It snowed.');
  await bench.db.query(
    `insert into engram.budget_ledger (day, nano_usd, tokens, unpriced_tokens, calls)
     values ('2026-03-01', 0, 19000, 19000, 1)`,
  );
  const engine = await engineOf(40_000);
  await expect(bench.score(engine)).rejects.toThrow(BudgetSpentError);
  expect(await engine.readyAt()).toEqual(new Date(2026, 2, 2));
  expect(model.count.chat).toBe(0);
  expect(told()).toEqual([]);
});
