import type { Database } from '../db/database.ts';
import type { Embedder } from '../models/embedder.ts';
import { parseEndpointModelId, type WantedModel } from '../models/embeddings/model-id.ts';
import { amountsOf, type Price } from '../models/prices.ts';
import { activeEmbeddingModel, type PinnedModel, readCalibration } from '../store/embedding-models.ts';
import { beginSwitch, cancelSwitch, type EmbeddingSwitch, readSwitch, switchCost } from '../store/embedding-switch.ts';
import { measureSwitch } from '../store/next-embeddings.ts';
import { EngramdError } from '../telemetry/engramd-error.ts';

/** The models cannot be changed over as asked; the message says what stands in the way. */
export class EmbeddingSwitchRefusedError extends EngramdError {
  readonly code = 'EMBEDDING_SWITCH_REFUSED';
  override readonly exitCode = 4;
}

/** What changing to a model takes, before anybody pays for it. */
export interface SwitchEstimate {
  readonly from: string | null;
  readonly to: string;
  readonly texts: number;
  /** Of all texts, by four bytes a token. */
  readonly tokens: number;
  /** Null: the price of the model is not known. 0 for the local one. */
  readonly nanoUsd: number | null;
  readonly seconds: number;
}

export interface SwitchProgress {
  readonly model: PinnedModel;
  readonly startedAt: Date;
  /** Whether a process says that it is at it. */
  readonly isWorkedOn: boolean;
  /** Why none is, as the last one that tried said it. */
  readonly problem: string | null;
  readonly texts: number;
  readonly done: number;
  /** So far. */
  readonly nanoUsd: number;
  readonly tokens: number;
}

export interface EmbeddingsStatus {
  /** Null before the first vector. */
  readonly active: PinnedModel | null;
  readonly calibration: { readonly repeatSimilarity: number | null; readonly calibratedAt: Date | null };
  readonly switching: SwitchProgress | null;
}

export interface EmbeddingSwitcher {
  status(): Promise<EmbeddingsStatus>;
  estimate(wanted: WantedModel): Promise<SwitchEstimate>;
  /**
   * Makes the model the next one. Asks it for one vector first: a wrong name or key is found out before anything starts.
   *
   * @throws EmbeddingSwitchRefusedError, and what the embedder throws
   */
  start(wanted: WantedModel, signal: AbortSignal): Promise<SwitchEstimate>;
  /** Forgets what was made; the model's id, null where none was on its way. */
  cancel(): Promise<string | null>;
}

export interface EmbeddingSwitcherDeps {
  readonly db: Database;
  /** Guarded. @throws EmbeddingModelUnavailableError */
  readonly open: (model: WantedModel) => Embedder;
  /** By the name that an endpoint knows. */
  readonly priceOf: (model: string) => Price | undefined;
  /** Told when a switch has begun, so that it is taken up at once. */
  readonly onStart: () => void;
}

/** One core makes a sentence in 7 to 9 ms; longer texts make up for short ones. */
const localSecondsPerText = 0.015;
/** One request of 64 texts after the other; a hosted endpoint takes about a second for one. */
const endpointSecondsPerText = 1 / 64;

export function createEmbeddingSwitcher(deps: EmbeddingSwitcherDeps): EmbeddingSwitcher {
  const { db } = deps;

  async function estimate(wanted: WantedModel): Promise<SwitchEstimate> {
    const active = await activeEmbeddingModel(db);
    const { texts, bytes } = await measureSwitch(db, null);
    const tokens = Math.ceil(bytes / 4);
    const endpointModel = parseEndpointModelId(wanted.id)?.model;
    const price = endpointModel === undefined ? undefined : deps.priceOf(endpointModel);
    const usage = { promptTokens: tokens, cachedTokens: 0, outputTokens: 0 };
    return {
      from: active?.id ?? null,
      to: wanted.id,
      texts,
      tokens,
      nanoUsd: endpointModel === undefined ? 0 : price === undefined ? null : amountsOf(usage, price).nanoUsd,
      seconds: Math.ceil(texts * (endpointModel === undefined ? localSecondsPerText : endpointSecondsPerText)),
    };
  }

  async function progressOf({ model, startedAt, workerId, problem }: EmbeddingSwitch): Promise<SwitchProgress> {
    const { texts, done } = await measureSwitch(db, model.id);
    const endpointModel = parseEndpointModelId(model.id)?.model;
    const cost =
      endpointModel === undefined ? { nanoUsd: 0, tokens: 0 } : await switchCost(db, endpointModel, startedAt);
    return { model, startedAt, isWorkedOn: workerId !== null, problem, texts, done, ...cost };
  }

  return {
    estimate,

    async status() {
      const active = await activeEmbeddingModel(db);
      const switching = await readSwitch(db);
      return {
        active,
        calibration: active ? await readCalibration(db, active.id) : { repeatSimilarity: null, calibratedAt: null },
        switching: switching && (await progressOf(switching)),
      };
    },

    async start(wanted, signal) {
      const active = await activeEmbeddingModel(db);
      if (!active) {
        throw new EmbeddingSwitchRefusedError('nothing is embedded yet: the settings alone decide which model is used');
      }
      if (active.id === wanted.id) {
        throw new EmbeddingSwitchRefusedError(`the vectors of this database are from ${wanted.id} already`);
      }
      const dimensions = await probe(wanted, signal);
      const begun = await beginSwitch(db, { id: wanted.id, provider: wanted.provider, dimensions });
      const now = await readSwitch(db);
      if (!begun && now?.model.id !== wanted.id) {
        throw new EmbeddingSwitchRefusedError(
          now
            ? `a switch to ${now.model.id} is under way; engramd embeddings switch --cancel ends it`
            : `${wanted.id} made vectors of another length in this database than the ${dimensions} it makes now`,
        );
      }
      deps.onStart();
      return estimate(wanted);
    },

    cancel: () => db.tx({ label: 'cancel-switch' }, (tx) => cancelSwitch(tx)),
  };

  async function probe(wanted: WantedModel, signal: AbortSignal): Promise<number> {
    const embedder = deps.open(wanted);
    try {
      await embedder.embed(['The embedder answers.'], { purpose: 'query', signal });
      return embedder.model.dimensions;
    } finally {
      await embedder.release();
    }
  }
}
