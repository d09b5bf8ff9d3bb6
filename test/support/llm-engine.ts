import { v7 as uuid } from 'uuid';
import { createConsolidationEngine } from '../../src/consolidation/create-engine.ts';
import type { Decider } from '../../src/consolidation/decider.ts';
import type { ConsolidationEngine } from '../../src/consolidation/engine.ts';
import { createLlmDecider } from '../../src/consolidation/llm/create-llm-decider.ts';
import { rememberVerdicts } from '../../src/consolidation/remember-verdicts.ts';
import type { Database } from '../../src/db/database.ts';
import { assertNoLease } from '../../src/db/lease.ts';
import { type Budget, createBudget, dayLimits } from '../../src/models/budget.ts';
import { createChatModel } from '../../src/models/chat/create-chat-model.ts';
import { createModelGate } from '../../src/models/create-model-gate.ts';
import { type Embedder, guardedEmbedder } from '../../src/models/embedder.ts';
import { createEndpointEmbedder } from '../../src/models/embeddings/endpoint-embedder.ts';
import { createEmbeddingTransport } from '../../src/models/embeddings/request-embeddings.ts';
import type { ModelGate } from '../../src/models/model-gate.ts';
import { createOpenAiClient, endpointOf } from '../../src/models/openai/create-client.ts';
import { type Prices, readPrices } from '../../src/models/prices.ts';
import { createSlots } from '../../src/models/slots.ts';
import { activeEmbeddingModel, pinEmbeddingModel } from '../../src/store/embedding-models.ts';
import { insertInstance } from '../../src/store/instances.ts';
import { chooseVectorIndex } from '../../src/store/vectors/choose-vector-index.ts';
import type { VectorIndex } from '../../src/store/vectors/vector-index.ts';
import { type Clock, systemClock } from '../../src/telemetry/clock.ts';
import { type Log, silentLog } from '../../src/telemetry/log.ts';
import { createMetrics, type Metrics } from '../../src/telemetry/metrics.ts';
import { inertRacepoints, type Racepoints } from '../../src/telemetry/racepoints.ts';

export interface LlmEngineOptions {
  readonly db: Database;
  /** Of an OpenAI-compatible server, ending in `/v1`. */
  readonly baseUrl: string;
  readonly chatModel?: string;
  readonly adjudicateModel?: string;
  /** Default: the endpoint's, through a gate of its own. */
  readonly embedder?: Embedder;
  readonly embeddingModel?: string;
  readonly concurrency?: number;
  readonly batchMemories?: number;
  readonly apply?: 'auto' | 'review';
  readonly budgetUsdPerDay?: number;
  readonly budgetTokensPerDay?: number;
  readonly prices?: Prices;
  readonly contextTokens?: number;
  readonly timeoutMs?: number;
  readonly clock?: Clock;
  readonly log?: Log;
  readonly metrics?: Metrics;
  readonly racepoints?: Racepoints;
  readonly random?: () => number;
  /** Around each gate, before anything uses it. */
  readonly wrapGate?: (gate: ModelGate) => ModelGate;
}

/** What a daemon is made of between its database and its queue, with a language model for a decider. */
export interface LlmEngine {
  readonly engine: ConsolidationEngine;
  readonly decider: Decider;
  readonly embedder: Embedder;
  readonly vectors: VectorIndex;
  readonly budget: Budget;
  readonly instanceId: string;
  readonly metrics: Metrics;
  /** Requests of this engine that are on their way or being answered. */
  requestsUnderWay(): number;
  release(): Promise<void>;
}

/** Wired as the daemon wires itself, against a scripted model. The database is migrated; nothing else is needed in it. */
export async function createLlmEngine(options: LlmEngineOptions): Promise<LlmEngine> {
  const { db, baseUrl } = options;
  const clock = options.clock ?? systemClock;
  const log = options.log ?? silentLog;
  const metrics = options.metrics ?? createMetrics();
  const racepoints = options.racepoints ?? inertRacepoints;
  const random = options.random ?? (() => 0.5);
  const concurrency = options.concurrency ?? 4;
  const timeoutMs = options.timeoutMs ?? 120_000;
  const prices = options.prices ?? readPrices();
  const instanceId = uuid();
  await insertInstance(db, { id: instanceId, role: 'daemon', host: 'test', pid: process.pid, version: '0.0.0' });
  const budget = createBudget({
    db,
    limits: dayLimits({
      budgetUsdPerDay: options.budgetUsdPerDay ?? 1000,
      budgetTokensPerDay: options.budgetTokensPerDay,
    }),
    clock,
    metrics,
  });
  const client = createOpenAiClient({ apiKey: 'test-key', baseUrl });
  const slots = createSlots(concurrency);
  let underWay = 0;

  function gateOf(model: string, own = slots): ModelGate {
    const gate = createModelGate({
      db,
      endpoint: baseUrl,
      model,
      modelSetting: 'ENGRAMD_LLM_MODEL',
      slots: own,
      budget,
      prices,
      callTimeoutMs: timeoutMs,
      instanceId,
      clock,
      log,
      metrics,
      racepoints,
      random,
      newId: uuid,
    });
    const counted: ModelGate = {
      ...gate,
      run: (facts, perform, signal) =>
        gate.run(
          facts,
          async (signalOfCall) => {
            underWay += 1;
            try {
              return await perform(signalOfCall);
            } finally {
              underWay -= 1;
            }
          },
          signal,
        ),
    };
    return options.wrapGate?.(counted) ?? counted;
  }

  const settings = { baseUrl: 'OPENAI_BASE_URL', apiKey: 'OPENAI_API_KEY', model: 'ENGRAMD_LLM_MODEL' };
  const chatOf = (gate: ModelGate) =>
    createChatModel({
      gate,
      client,
      db,
      clock,
      log,
      metrics,
      settings,
      timeoutMs,
      ...(options.contextTokens !== undefined && { contextTokens: options.contextTokens }),
    });
  const chatModel = options.chatModel ?? 'scripted';
  const consolidate = chatOf(gateOf(chatModel));
  const adjudicateModel = options.adjudicateModel ?? chatModel;
  const adjudicate = adjudicateModel === chatModel ? consolidate : chatOf(gateOf(adjudicateModel));
  const decider = rememberVerdicts(createLlmDecider({ consolidate, adjudicate }), { db });

  const inner = options.embedder ?? (await endpointEmbedder());
  async function endpointEmbedder(): Promise<Embedder> {
    const model = options.embeddingModel ?? 'scripted-embedding';
    const pinned = await activeEmbeddingModel(db);
    return createEndpointEmbedder({
      model,
      askedDimensions: null,
      pinnedDimensions: pinned?.dimensions ?? 512,
      gate: gateOf(model, createSlots(4)),
      transport: createEmbeddingTransport({ client, clock, endpoint: endpointOf(baseUrl), secrets: [] }),
      clock,
    });
  }
  await pinEmbeddingModel(db, inner.model);
  const embedder = guardedEmbedder(inner, assertNoLease);
  const vectors = await chooseVectorIndex({ db, log, metrics });
  await vectors.prepare(embedder.model);
  const engine = createConsolidationEngine({
    db,
    vectors,
    embedder,
    decider,
    instanceId,
    concurrency,
    apply: options.apply ?? 'auto',
    ...(options.batchMemories !== undefined && { batchMemories: options.batchMemories }),
    log,
    clock,
    metrics,
    racepoints,
    random,
    newId: uuid,
  });
  return {
    engine,
    decider,
    embedder,
    vectors,
    budget,
    instanceId,
    metrics,
    requestsUnderWay: () => underWay,
    async release() {
      await vectors.release();
      await inner.release();
    },
  };
}
