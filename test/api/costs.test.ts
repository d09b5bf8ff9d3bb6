import { randomBytes } from 'node:crypto';
import { v7 as uuid } from 'uuid';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { forecastText } from '../../src/cli/cost.ts';
import { type ApiFixture, bodyOf, createApiFixture } from './api-fixture.ts';

let fixture: ApiFixture;
beforeEach(async () => {
  fixture = await createApiFixture({ settings: { decider: 'llm' } });
});
afterEach(() => fixture.close());

type Report = {
  from: string;
  to: string;
  rows: Record<string, unknown>[];
  total: Record<string, unknown>;
  forecast: { due: number; usd: number | null; tokens: number | null; days: number | null; learnt_from: number };
};

interface Call {
  readonly daysAgo?: number;
  readonly bank?: string | null;
  readonly purpose?: string;
  readonly model?: string;
  readonly nanoUsd?: number;
  readonly tokens?: number;
  readonly unpriced?: number;
  readonly memories?: number;
  readonly outcome?: string | null;
}

const day = (daysAgo: number) => {
  const now = new Date();
  const local = new Date(now.getFullYear(), now.getMonth(), now.getDate() - daysAgo);
  return [local.getFullYear(), local.getMonth() + 1, local.getDate()]
    .map((part) => String(part).padStart(2, '0'))
    .join('-');
};

async function book(calls: readonly Call[]): Promise<void> {
  for (const call of calls) {
    const outcome = call.outcome === undefined ? 'ok' : call.outcome;
    await fixture.db.query(
      `insert into engram.model_calls (id, day, bank_id, instance_id, purpose, endpoint, model, request_hash, consolidated,
         prompt_bytes, nano_usd, tokens, unpriced_tokens, prompt_tokens, cached_tokens, output_tokens, outcome, settled_at)
       values ($1, $2, $3, $4, $5, 'http://x/v1', $6, $7, $8, 100, $9, $10, $11, 60, 20, 40, $12,
         case when $12::text is not null then now() end)`,
      [
        uuid(),
        day(call.daysAgo ?? 0),
        call.bank === undefined ? 'a' : call.bank,
        uuid(),
        call.purpose ?? 'consolidate',
        call.model ?? 'gpt-5-mini',
        randomBytes(32),
        call.memories ?? 0,
        call.nanoUsd ?? 0,
        call.tokens ?? 100,
        call.unpriced ?? 0,
        outcome,
      ],
    );
  }
}

const costs = async (query = '') => bodyOf<Report>(await fixture.get(`/v1/costs${query}`));

describe('what was spent', () => {
  beforeEach(() =>
    book([
      { nanoUsd: 3_000_000, memories: 10 },
      { nanoUsd: 1_000_000, purpose: 'adjudicate' },
      { nanoUsd: 500_000, purpose: 'embed', model: 'text-embedding-3-small' },
      { daysAgo: 1, bank: 'b', nanoUsd: 2_000_000, memories: 5 },
      // Never came back: spent, and no memory is the wiser.
      { daysAgo: 1, bank: 'b', nanoUsd: 2_000_000, outcome: null },
      { daysAgo: 2, bank: null, purpose: 'check', model: 'llama', tokens: 7, unpriced: 7 },
      { outcome: 'not_sent' },
      { daysAgo: 40, nanoUsd: 9_000_000, memories: 1 },
    ]),
  );

  it('is told by day, oldest first, with what 1,000 memories cost', async () => {
    const report = await costs();
    expect(report).toMatchObject({ from: day(29), to: day(0), by: 'day' });
    expect(report.rows).toEqual([
      expect.objectContaining({
        key: day(2),
        calls: 1,
        usd: 0,
        tokens: 7,
        unpriced_tokens: 7,
        usd_per_1000_memories: null,
      }),
      expect.objectContaining({ key: day(1), calls: 2, usd: 0.004, memories: 5, usd_per_1000_memories: 0.8 }),
      // Embeddings are in the dollars of the day and not in those of consolidation.
      expect.objectContaining({ key: day(0), calls: 3, usd: 0.0045, memories: 10, usd_per_1000_memories: 0.4 }),
    ]);
    expect(report.total).toMatchObject({ calls: 6, usd: 0.0085, memories: 15, prompt_tokens: 360, cached_tokens: 120 });
    expect((await costs('?days=1')).total).toMatchObject({ calls: 3 });
    expect((await costs('?days=366')).total).toMatchObject({ calls: 7 });
  });

  it('is told by bank, purpose and model, the dearest first, and of one bank', async () => {
    const keys = async (query: string) => (await costs(query)).rows.map((row) => [row.key, row.calls]);
    expect(await keys('?by=bank')).toEqual([
      ['a', 3],
      ['b', 2],
      [null, 1],
    ]);
    expect(await keys('?by=purpose')).toEqual([
      ['consolidate', 3],
      ['adjudicate', 1],
      ['embed', 1],
      ['check', 1],
    ]);
    expect(await keys('?by=model')).toEqual([
      ['gpt-5-mini', 4],
      ['text-embedding-3-small', 1],
      ['llama', 1],
    ]);
    expect(await keys('?by=purpose&bank=b')).toEqual([['consolidate', 2]]);
    expect(await keys('?bank=nobody')).toEqual([]);
  });

  it.each(['?by=month', '?days=0', '?days=367', '?days=x', '?bank=', '?since=x'])('%s is refused', async (query) => {
    expect((await fixture.get(`/v1/costs${query}`)).statusCode).toBe(422);
  });

  it('asking is never activity', async () => {
    await costs();
    expect(fixture.work).toEqual([]);
  });
});

describe('what the backlog will cost', () => {
  const remember = (...texts: string[]) =>
    fixture.post('/v1/banks/b/memories', texts.map((text) => ({ text })) as unknown as object);

  it('is nothing where nothing is due, and unknown before the first memory', async () => {
    expect((await costs()).forecast).toEqual({ due: 0, usd: 0, tokens: 0, days: 0, learnt_from: 0 });
    await remember('one', 'two');
    expect((await costs()).forecast).toEqual({ due: 2, usd: null, tokens: null, days: null, learnt_from: 0 });
  });

  it('is what the last memories cost, in dollars and in days of the budget', async () => {
    await remember('one', 'two', 'three', 'four');
    const limit = fixture.deps.settings.budgetLimits.nanoUsd;
    await book([
      { nanoUsd: limit / 2, memories: 2, tokens: 400 },
      { nanoUsd: limit / 2, purpose: 'rewrite', tokens: 100 },
      { nanoUsd: limit * 9, purpose: 'embed' },
    ]);
    expect((await costs()).forecast).toEqual({
      due: 4,
      usd: (2 * limit) / 1e9,
      tokens: 1000,
      days: 2,
      learnt_from: 2,
    });
  });

  it('is nothing where the rules decide', async () => {
    await fixture.close();
    fixture = await createApiFixture({ settings: { decider: 'rules' } });
    await remember('one');
    expect((await costs()).forecast).toEqual({ due: 1, usd: 0, tokens: 0, days: 0, learnt_from: 0 });
  });

  it.each([
    [{ due: 0, usd: 0, tokens: 0, days: 0 }, 'nothing is due'],
    [{ due: 1, usd: 0, tokens: 0, days: 0 }, 'the 1 memory that is due will cost nothing: the rules decide'],
    [{ due: 2, usd: null, tokens: null, days: null }, 'is not known before a model has consolidated the first'],
    [{ due: 1200, usd: 0.5, tokens: 9, days: 0.5 }, "will take about $0.5000, less than a day at today's budget"],
    [{ due: 9999, usd: 42.5, tokens: 9, days: 42.5 }, "will take about $42.50, 43 days at today's budget"],
    [{ due: 9999, usd: 0, tokens: 5e6, days: 2.5 }, "will take 5,000,000 tokens, 2.5 days at today's budget"],
  ])('%j is said in a sentence', (forecast, text) => {
    expect(forecastText({ ...forecast, learnt_from: 1 })).toContain(text);
  });
});
