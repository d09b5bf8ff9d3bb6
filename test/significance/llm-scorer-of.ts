import { v7 as uuid } from 'uuid';
import type { Database } from '../../src/db/database.ts';
import { createBudget, dayLimits } from '../../src/models/budget.ts';
import type { ChatModel } from '../../src/models/chat/chat-model.ts';
import { createChatModel } from '../../src/models/chat/create-chat-model.ts';
import { createModelGate } from '../../src/models/create-model-gate.ts';
import { createOpenAiClient } from '../../src/models/openai/create-client.ts';
import { readPrices } from '../../src/models/prices.ts';
import { createSlots } from '../../src/models/slots.ts';
import { createLlmScorer } from '../../src/significance/llm/llm-scorer.ts';
import type { Scorer } from '../../src/significance/scorer.ts';
import { insertInstance } from '../../src/store/instances.ts';
import { type Clock, systemClock } from '../../src/telemetry/clock.ts';
import { type Log, silentLog } from '../../src/telemetry/log.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { inertRacepoints, type Racepoints } from '../../src/telemetry/racepoints.ts';

export interface LlmScorerOptions {
  readonly db: Database;
  /** Of a scripted model. */
  readonly baseUrl: string;
  readonly contextTokens?: number;
  readonly budgetTokensPerDay?: number;
  readonly clock?: Clock;
  readonly racepoints?: Racepoints;
  readonly log?: Log;
}

/** The scorer as the daemon makes it, over the real client, gate, budget and breaker. */
export async function llmScorerOf(options: LlmScorerOptions): Promise<Scorer> {
  const chat = await chatModelOf(options);
  return createLlmScorer(chat, { clock: options.clock ?? systemClock, log: options.log ?? silentLog });
}

/** The model under it, for what else it is asked. */
export async function chatModelOf(options: LlmScorerOptions): Promise<ChatModel> {
  const { db, baseUrl, clock = systemClock } = options;
  const instanceId = uuid();
  await insertInstance(db, { id: instanceId, role: 'daemon', host: 'test', pid: process.pid, version: '0.0.0' });
  const shared = {
    db,
    clock,
    log: silentLog,
    metrics: createMetrics(),
    racepoints: options.racepoints ?? inertRacepoints,
  };
  const settings = { baseUrl: 'OPENAI_BASE_URL', apiKey: 'OPENAI_API_KEY', model: 'ENGRAMD_LLM_MODEL_SIGNIFICANCE' };
  const gate = createModelGate({
    ...shared,
    endpoint: baseUrl,
    model: 'scripted',
    modelSetting: settings.model,
    slots: createSlots(4),
    budget: createBudget({
      ...shared,
      limits: dayLimits({ budgetUsdPerDay: 1000, budgetTokensPerDay: options.budgetTokensPerDay }),
    }),
    prices: readPrices(),
    callTimeoutMs: 60_000,
    instanceId,
    random: () => 0.5,
    newId: uuid,
  });
  return createChatModel({
    ...shared,
    gate,
    client: createOpenAiClient({ apiKey: 'test-key', baseUrl }),
    settings,
    timeoutMs: 120_000,
    ...(options.contextTokens !== undefined && { contextTokens: options.contextTokens }),
  });
}
