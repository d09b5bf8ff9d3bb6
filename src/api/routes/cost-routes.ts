import { z } from 'zod';
import { bankNameSchema } from '../../ingest/bank-name.ts';
import { type CostForecast, forecastOf, freeForecast } from '../../models/cost-forecast.ts';
import { localDay } from '../../models/local-day.ts';
import { type Costs, costGroupings, costReport, sampleBacklog } from '../../store/cost-report.ts';
import type { AppDeps } from '../app-deps.ts';
import { type Route, route } from '../route.ts';

const count = z.int().min(0);
const dollars = z.number().min(0);

const costsShape = {
  calls: count,
  prompt_tokens: count.meta({ description: 'As the provider counted them.' }),
  cached_tokens: count.meta({ description: 'Of the prompt tokens, those that the provider had cached.' }),
  output_tokens: count.meta({ description: 'Reasoning included.' }),
  tokens: count.meta({ description: 'All that was booked, also for calls whose use nobody told.' }),
  unpriced_tokens: count.meta({ description: 'Of models without a known price; they cost 0 here.' }),
  usd: dollars,
  memories: count.meta({ description: 'Memories consolidated.' }),
  usd_per_1000_memories: dollars
    .nullable()
    .meta({ description: 'Of consolidation itself, without embeddings. Null where no memory was consolidated.' }),
};

export const costReportSchema = z
  .strictObject({
    from: z.iso.date(),
    to: z.iso.date(),
    by: z.enum(costGroupings),
    rows: z.array(
      z.strictObject({
        key: z.string().nullable().meta({ description: 'Day, bank, purpose or model. Null: of no bank.' }),
        ...costsShape,
      }),
    ),
    total: z.strictObject(costsShape),
    forecast: z
      .strictObject({
        due: count.meta({ description: 'Memories due now, over all banks.' }),
        usd: dollars.nullable().meta({ description: 'What they need; null where nothing is known yet.' }),
        tokens: count.nullable(),
        days: z.number().min(0).nullable().meta({ description: 'Days of the whole budget.' }),
        learnt_from: count.meta({ description: 'Memories whose cost this is reckoned by.' }),
      })
      .meta({ description: 'By what the last calls cost.' }),
  })
  .meta({ id: 'CostReport' });

const expectedDays = 'must be a whole number from 1 to 366';

export function costRoutes({ db, clock, settings }: AppDeps): Route[] {
  return [
    route({
      method: 'GET',
      path: '/v1/costs',
      operationId: 'costs',
      summary: 'What models cost in the last days, and what the backlog will cost.',
      query: z.strictObject({
        by: z.enum(costGroupings, { error: `must be one of ${costGroupings.join(', ')}` }).default('day'),
        days: z
          .string()
          .regex(/^[1-9]\d{0,2}$/, expectedDays)
          .transform(Number)
          .refine((days) => days <= 366, expectedDays)
          .default(30)
          .meta({ description: 'Today is the last of them.' }),
        bank: bankNameSchema.optional(),
      }),
      response: costReportSchema,
      successStatus: 200,
      isWork: false,
      async handle({ query }) {
        const today = clock.now();
        const first = new Date(today.getFullYear(), today.getMonth(), today.getDate() - query.days + 1);
        const range = { from: localDay(first), to: localDay(today), by: query.by, bankId: query.bank };
        const rows = await costReport(db, range);
        const sample = await sampleBacklog(db);
        const forecast = settings.decider.startsWith('rules')
          ? freeForecast(sample.dueMemories)
          : forecastOf(sample, settings.budgetLimits);
        return {
          status: 200,
          body: {
            from: range.from,
            to: range.to,
            by: range.by,
            rows: rows.map((row) => ({ key: row.key, ...presentCosts(row) })),
            total: presentCosts(sumOf(rows)),
            forecast: presentForecast(forecast),
          },
        };
      },
    }),
  ];
}

const noCosts: Costs = {
  calls: 0,
  promptTokens: 0,
  cachedTokens: 0,
  outputTokens: 0,
  tokens: 0,
  unpricedTokens: 0,
  nanoUsd: 0,
  consolidationNanoUsd: 0,
  memories: 0,
};

function sumOf(rows: readonly Costs[]): Costs {
  return rows.reduce(
    (sum, row) => ({
      calls: sum.calls + row.calls,
      promptTokens: sum.promptTokens + row.promptTokens,
      cachedTokens: sum.cachedTokens + row.cachedTokens,
      outputTokens: sum.outputTokens + row.outputTokens,
      tokens: sum.tokens + row.tokens,
      unpricedTokens: sum.unpricedTokens + row.unpricedTokens,
      nanoUsd: sum.nanoUsd + row.nanoUsd,
      consolidationNanoUsd: sum.consolidationNanoUsd + row.consolidationNanoUsd,
      memories: sum.memories + row.memories,
    }),
    noCosts,
  );
}

function presentCosts(costs: Costs) {
  return {
    calls: costs.calls,
    prompt_tokens: costs.promptTokens,
    cached_tokens: costs.cachedTokens,
    output_tokens: costs.outputTokens,
    tokens: costs.tokens,
    unpriced_tokens: costs.unpricedTokens,
    usd: costs.nanoUsd / 1e9,
    memories: costs.memories,
    usd_per_1000_memories: costs.memories === 0 ? null : (costs.consolidationNanoUsd * 1000) / costs.memories / 1e9,
  };
}

function presentForecast({ dueMemories, needed, learntFrom }: CostForecast) {
  const known = needed
    ? { usd: needed.nanoUsd / 1e9, tokens: needed.tokens, days: needed.days }
    : { usd: null, tokens: null, days: null };
  return { due: dueMemories, ...known, learnt_from: learntFrom };
}
