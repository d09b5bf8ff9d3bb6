import { z } from 'zod';
import { type BudgetUse, readBudget } from '../models/budget.ts';
import { parseEndpointModelId } from '../models/embeddings/model-id.ts';
import { scoresKeyOf } from '../models/scores-key.ts';
import { readModelHealth } from '../store/model-breakers.ts';
import type { AppDeps } from './app-deps.ts';

const time = z.iso.datetime();

const useSchema = z.strictObject({
  limit: z.number(),
  spent: z.number(),
  reserved: z.number().meta({ description: 'Held by calls under way.' }),
  left: z.number(),
});

export const modelStatusSchema = {
  models: z
    .array(
      z.strictObject({
        model: z.string(),
        endpoint: z.string(),
        state: z.enum(['ready', 'out_of_order']),
        problem: z.string().nullable().meta({ description: 'What is wrong and what to change, in one line.' }),
        retry_at: time.nullable().meta({ description: 'When it is tried again; memories wait until then.' }),
      }),
    )
    .meta({ description: 'Language models in use, and every endpoint that is out of order.' }),
  waits_until: time.nullable().meta({
    description: 'Decisions wait until then, for a model that is out of order or for the budget; null: they do not.',
  }),
  scores_wait_until: time.nullable().meta({
    description:
      "Scores wait until then, for their model or because they stop at half of the day's budget; null: they do not.",
  }),
  budget: z
    .strictObject({
      day: z.string(),
      resets_at: time,
      usd: useSchema,
      tokens: useSchema.nullable().meta({ description: 'Null where no limit of tokens is set.' }),
      unpriced_tokens: useSchema.meta({ description: 'Of models whose price is unknown.' }),
    })
    .nullable()
    .meta({ description: 'What models may cost today; null: not read yet.' }),
};

interface Endpoint {
  readonly endpoint: string;
  readonly model: string;
}

const isIn = (one: Endpoint) => (other: Endpoint) => one.endpoint === other.endpoint && one.model === other.model;

const dollarsPerNano = 1e-9;

/** What `status` says of models and money. */
export async function presentModelStatus({ db, clock, settings, embedder, decider, significance }: AppDeps) {
  const embeddingModel = parseEndpointModelId(embedder.model.id)?.model;
  // What is no longer in use stays on record for a while and is nobody's trouble.
  const inUse = [...settings.chatModels, ...settings.chatModels.map(scoresKeyOf)];
  const health = (await readModelHealth(db)).filter((one) => one.model === embeddingModel || inUse.some(isIn(one)));
  const ready = settings.chatModels.filter((model) => !health.some(isIn(model)));
  const budget = await readBudget(db, { limits: settings.budgetLimits, now: clock.now() });
  return {
    models: [
      ...ready.map(({ model, endpoint }) => ({
        model,
        endpoint,
        state: 'ready' as const,
        problem: null,
        retry_at: null,
      })),
      ...health.map(({ model, endpoint, message, retryAt }) => ({
        model,
        endpoint,
        state: 'out_of_order' as const,
        problem: message,
        retry_at: retryAt.toISOString(),
      })),
    ],
    waits_until: (await decider.readyAt())?.toISOString() ?? null,
    scores_wait_until: (await significance.readyAt())?.toISOString() ?? null,
    budget: {
      day: budget.day,
      resets_at: budget.resetsAt.toISOString(),
      usd: inDollars(budget.nanoUsd),
      tokens: budget.tokens && { ...budget.tokens },
      unpriced_tokens: { ...budget.unpricedTokens },
    },
  };
}

function inDollars(use: BudgetUse) {
  return {
    limit: use.limit * dollarsPerNano,
    spent: use.spent * dollarsPerNano,
    reserved: use.reserved * dollarsPerNano,
    left: use.left * dollarsPerNano,
  };
}
