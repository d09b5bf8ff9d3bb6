import type { Config } from '../config/schema.ts';
import type { Decider } from '../consolidation/decider.ts';
import { createLlmDecider } from '../consolidation/llm/create-llm-decider.ts';
import { rememberVerdicts } from '../consolidation/remember-verdicts.ts';
import { createRulesDecider } from '../consolidation/rules/rules-decider.ts';
import type { Database } from '../db/database.ts';
import { type Budget, createBudget, dayLimits } from '../models/budget.ts';
import type { ChatModel } from '../models/chat/chat-model.ts';
import { createChatModel } from '../models/chat/create-chat-model.ts';
import { createModelGate } from '../models/create-model-gate.ts';
import { embedTimeoutMs } from '../models/embeddings/endpoint-embedder.ts';
import type { ModelGate } from '../models/model-gate.ts';
import { createOpenAiClient, endpointOf } from '../models/openai/create-client.ts';
import type { Prices } from '../models/prices.ts';
import { scoresKeyOf } from '../models/scores-key.ts';
import { createSlots } from '../models/slots.ts';
import { createLlmScorer } from '../significance/llm/llm-scorer.ts';
import { createRulesScorer } from '../significance/rules/rules-scorer.ts';
import type { Scorer } from '../significance/scorer.ts';
import type { DayLimits } from '../store/budget-ledger.ts';
import { activeEmbeddingModel } from '../store/embedding-models.ts';
import { probeSoon } from '../store/model-breakers.ts';
import type { Clock } from '../telemetry/clock.ts';
import type { Log } from '../telemetry/log.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { Racepoints } from '../telemetry/racepoints.ts';
import { embedderEndpoints } from './open-embedder.ts';

/** Requests for vectors in flight at once: places of their own, so that a query never waits behind a language model. */
const embedConcurrency = 8;

export interface ModelsDeps {
  readonly config: Config;
  readonly prices: Prices;
  readonly db: Database;
  /** Of the process. Only a daemon asks again at once what is out of order: a person may run any number of commands. */
  readonly role: 'daemon' | 'cli';
  readonly instanceId: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly racepoints: Racepoints;
  readonly random: () => number;
  readonly newId: () => string;
}

export interface OpenedModels {
  readonly decider: Decider;
  /** Says how much memories matter: by a model where one decides, else by rules. */
  readonly scorer: Scorer;
  /** The language models in use, each once; none where the rules decide. */
  readonly chats: readonly ChatModel[];
  /** The one of them that scores; undefined where the rules do. */
  readonly scoreChat: ChatModel | undefined;
  readonly limits: DayLimits;
  readonly budget: Budget;
  /** The gate of an embedding model at an endpoint. */
  readonly gateOf: (endpoint: string, model: string) => ModelGate;
}

/**
 * What the settings say about language models, put together: the budget of the day, a gate for each endpoint and
 * model, decider and scorer over them. Asks nobody anything.
 */
export async function openModels(deps: ModelsDeps): Promise<OpenedModels> {
  const { config, db, clock, prices } = deps;
  const limits = dayLimits({
    budgetUsdPerDay: config.budgetUsdPerDay,
    budgetTokensPerDay: config.budgetTokensPerDay,
  });
  const budget = createBudget({ ...deps, limits });
  const embedSlots = createSlots(embedConcurrency);
  const gateOf = (endpoint: string, model: string) =>
    createModelGate({
      ...deps,
      endpoint,
      model,
      modelSetting: 'ENGRAMD_EMBEDDING_MODEL',
      slots: embedSlots,
      budget,
      prices,
      callTimeoutMs: embedTimeoutMs,
    });
  /** A key or a name may have been corrected since: what stood still for it is tried at once. */
  const probeOwn = async (chats: readonly ChatModel[]) => {
    if (deps.role !== 'daemon') return;
    const embedders = embedderEndpoints(config, await activeEmbeddingModel(db));
    await probeSoon(db, [...chats, ...chats.map(scoresKeyOf), ...embedders], clock.now());
  };
  if (config.decider === 'rules') {
    await probeOwn([]);
    const scorer = createRulesScorer();
    return { decider: createRulesDecider(), scorer, chats: [], scoreChat: undefined, limits, budget, gateOf };
  }

  const baseUrl = config.openaiBaseUrl;
  const timeoutMs = config.llmTimeoutMs;
  const client = createOpenAiClient({ apiKey: config.openaiApiKey, baseUrl });
  const slots = createSlots(config.llmConcurrency);
  const chatOf = (model: string, setting: string) =>
    createChatModel({
      ...deps,
      client,
      gate: createModelGate({
        ...deps,
        endpoint: endpointOf(baseUrl),
        model,
        modelSetting: setting,
        windowSetting: 'ENGRAMD_LLM_CONTEXT_TOKENS',
        slots,
        budget,
        prices,
        callTimeoutMs: timeoutMs,
      }),
      settings: {
        baseUrl: 'OPENAI_BASE_URL',
        apiKey: 'OPENAI_API_KEY',
        model: setting,
        timeout: 'ENGRAMD_LLM_TIMEOUT',
        size: 'ENGRAMD_LLM_CONTEXT_TOKENS',
      },
      contextTokens: config.llmContextTokens,
      timeoutMs,
    });
  const namedFor = (own: string | undefined, ownSetting: string): [model: string, setting: string] =>
    own === undefined ? [config.llmModel, 'ENGRAMD_LLM_MODEL'] : [own, ownSetting];
  const consolidate = chatOf(...namedFor(config.llmModelConsolidate, 'ENGRAMD_LLM_MODEL_CONSOLIDATE'));
  const [forPairs, pairSetting] = namedFor(config.llmModelAdjudicate, 'ENGRAMD_LLM_MODEL_ADJUDICATE');
  const adjudicate = forPairs === consolidate.model ? consolidate : chatOf(forPairs, pairSetting);
  const [forScores, scoreSetting] = namedFor(config.llmModelSignificance, 'ENGRAMD_LLM_MODEL_SIGNIFICANCE');
  // One gate a model: breaker and slow start are of the model, whatever it is asked; only bad scores are counted apart.
  const scores = [consolidate, adjudicate].find(({ model }) => model === forScores) ?? chatOf(forScores, scoreSetting);
  const chats = [...new Set([consolidate, adjudicate, scores])];
  await probeOwn(chats);
  return {
    decider: rememberVerdicts(createLlmDecider({ consolidate, adjudicate }), { db }),
    scorer: createLlmScorer(scores, deps),
    chats,
    scoreChat: scores,
    limits,
    budget,
    gateOf,
  };
}
