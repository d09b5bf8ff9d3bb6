import type { Config } from '../config/schema.ts';
import type { Database } from '../db/database.ts';
import { assertNoLease } from '../db/lease.ts';
import type { Embedder, EmbeddingModel } from '../models/embedder.ts';
import { EmbeddingModelUnavailableError } from '../models/embeddings/embedding-errors.ts';
import { createEndpointEmbedder } from '../models/embeddings/endpoint-embedder.ts';
import {
  type EndpointModel,
  endpointModelId,
  parseEndpointModelId,
  type WantedModel,
} from '../models/embeddings/model-id.ts';
import { createPinnedEmbedder, type PinnedEmbedder } from '../models/embeddings/pinned-embedder.ts';
import { createEmbeddingTransport } from '../models/embeddings/request-embeddings.ts';
import { createLocalEmbedder, localEmbeddingModel } from '../models/local/local-embedder.ts';
import type { ModelGate } from '../models/model-gate.ts';
import { createOpenAiClient, endpointOf } from '../models/openai/create-client.ts';
import { activeEmbeddingModel, type PinnedModel, pinEmbeddingModel } from '../store/embedding-models.ts';
import type { Clock } from '../telemetry/clock.ts';
import type { Log } from '../telemetry/log.ts';

export const defaultEmbeddingModel = 'text-embedding-3-small';

export interface EmbedderOptions {
  readonly config: Config;
  readonly clock: Clock;
  /** The gate of an embedding model at an endpoint (a base URL without credentials). */
  readonly gateOf: (endpoint: string, model: string) => ModelGate;
}

export interface OpenedEmbedder {
  readonly embedder: PinnedEmbedder;
  /** What the settings ask for; where they ask for nothing, the model of the database. */
  readonly configuredModel: () => EmbeddingModel;
  /** An embedder of any model that this engramd can ask. @throws EmbeddingModelUnavailableError */
  readonly open: (model: WantedModel) => Embedder;
}

/**
 * The embedder of the database's model. The settings say which one it becomes: `local` at once, one of an endpoint with
 * its first good answer. From then on the pin holds, whatever is configured, since vectors of two models cannot be
 * compared; only `embeddings switch` changes it.
 *
 * @throws EmbeddingModelUnavailableError
 */
export async function openEmbedder(
  options: EmbedderOptions & {
    readonly db: Database;
    readonly log: Log;
    /** Instead of the configured one. */
    readonly inner: Embedder | undefined;
    readonly prepare: (model: PinnedModel) => Promise<void>;
  },
): Promise<OpenedEmbedder> {
  const { config, db, clock, log, inner, prepare } = options;
  const open = (model: WantedModel) => (inner?.model.id === model.id ? inner : openModel(options, model));
  const wanted = inner ? toWanted(inner.model) : wantedModel(config);
  let pinned = await activeEmbeddingModel(db);
  if (!pinned && wanted.provider === 'local') {
    pinned = await pinEmbeddingModel(db, { ...wanted, dimensions: wanted.dimensions ?? 0 });
  }
  const first =
    pinned && inner?.model.id !== pinned.id && inner ? refuse(pinned, inner) : open(toWanted(pinned ?? wanted));
  if (pinned) await prepare(pinned);
  const embedder = createPinnedEmbedder(
    { db, clock, log, assertNoLease, prepare, open: (model) => open(toWanted(model)) },
    first,
    pinned !== null,
  );
  const asked = inner ? toWanted(inner.model) : askedModel(config);
  return {
    embedder,
    open,
    configuredModel: () => (asked === null ? embedder.model : { ...asked, dimensions: asked.dimensions ?? 0 }),
  };
}

/**
 * For a look from outside (doctor): the embedder of the database's model, or of the one that first use would take.
 *
 * @throws EmbeddingModelUnavailableError
 */
export function openConfiguredEmbedder(options: EmbedderOptions, pinned: PinnedModel | null): Embedder {
  return openModel(options, pinned === null ? wantedModel(options.config) : toWanted(pinned));
}

/** Where the embedders are that the settings and the database name; none of those that run in the process. */
export function embedderEndpoints(
  config: Config,
  pinned: PinnedModel | null,
): { readonly endpoint: string; readonly model: string }[] {
  const ids = [wantedModel(config).id, ...(pinned ? [pinned.id] : [])];
  return ids.flatMap((id) => {
    const model = parseEndpointModelId(id);
    return model ? [{ endpoint: endpointOf(config.embeddingBaseUrl ?? config.openaiBaseUrl), model: model.model }] : [];
  });
}

/** What first use takes, and a switch that names nothing. */
export function wantedModel(config: Config): WantedModel {
  return askedModel(config) ?? (hasEndpoint(config) ? endpointModel(config, defaultEmbeddingModel) : localModel);
}

/** A model of the endpoint, by its name there. */
export function endpointModel(config: Config, model: string): WantedModel {
  const asked: EndpointModel = { model, askedDimensions: config.embeddingDimensions ?? null };
  return { id: endpointModelId(asked), provider: 'openai', dimensions: asked.askedDimensions };
}

export const localModel: WantedModel = { ...localEmbeddingModel, provider: 'local' };

/** Null: the settings leave it to the database. */
function askedModel(config: Config): WantedModel | null {
  if (config.embedder === 'local') return localModel;
  if (config.embedder === 'openai' || config.embeddingModel !== undefined) {
    return endpointModel(config, config.embeddingModel ?? defaultEmbeddingModel);
  }
  return null;
}

function hasEndpoint(config: Config): boolean {
  const { embeddingBaseUrl, embeddingApiKey, openaiBaseUrl, openaiApiKey } = config;
  return [embeddingBaseUrl, embeddingApiKey, openaiBaseUrl, openaiApiKey].some((value) => value !== undefined);
}

function openModel({ config, clock, gateOf }: EmbedderOptions, wanted: WantedModel): Embedder {
  if (wanted.id === localEmbeddingModel.id) return createLocalEmbedder();
  const model = parseEndpointModelId(wanted.id);
  if (model === null) {
    throw new EmbeddingModelUnavailableError(
      `the vectors of this database come from ${wanted.id}, which this engramd does not have; they cannot be mixed with others`,
    );
  }
  if (!hasEndpoint(config)) {
    throw new EmbeddingModelUnavailableError(
      `${wanted.id} needs its endpoint: set OPENAI_API_KEY or OPENAI_BASE_URL, or those of ENGRAMD_EMBEDDING`,
    );
  }
  const baseUrl = config.embeddingBaseUrl ?? config.openaiBaseUrl;
  const apiKey = config.embeddingApiKey ?? config.openaiApiKey;
  const endpoint = endpointOf(baseUrl);
  return createEndpointEmbedder({
    ...model,
    pinnedDimensions: wanted.dimensions,
    gate: gateOf(endpoint, model.model),
    transport: createEmbeddingTransport({
      client: createOpenAiClient({ apiKey, baseUrl }),
      clock,
      endpoint,
      secrets: apiKey === undefined ? [] : [apiKey],
    }),
    clock,
  });
}

function refuse(pinned: PinnedModel, inner: Embedder): never {
  throw new EmbeddingModelUnavailableError(
    `the vectors of this database come from ${pinned.id}; this engramd has ${inner.model.id} and they cannot be mixed`,
  );
}

function toWanted(model: {
  readonly id: string;
  readonly provider: string;
  readonly dimensions: number | null;
}): WantedModel {
  const { id, dimensions } = model;
  return { id, provider: model.provider === 'local' ? 'local' : 'openai', dimensions };
}
