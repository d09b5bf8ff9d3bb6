import type { Database } from '../db/database.ts';
import type { Embedder } from '../models/embedder.ts';
import type { WantedModel } from '../models/embeddings/model-id.ts';
import { activeEmbeddingModel, type PinnedModel } from '../store/embedding-models.ts';
import {
  claimSwitch,
  clearSwitchProblem,
  type EmbeddingSwitch,
  flipModel,
  leaveSwitch,
  lockSwitch,
  readSwitch,
} from '../store/embedding-switch.ts';
import {
  bankIdsInOrder,
  moveNextEmbeddings,
  selectWithoutNext,
  storeNextEmbeddings,
  type TextToEmbed,
} from '../store/next-embeddings.ts';
import type { VectorTarget } from '../store/vectors/vector-index.ts';
import { errorMessage } from '../telemetry/engramd-error.ts';
import type { Log } from '../telemetry/log.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { Racepoints } from '../telemetry/racepoints.ts';
import { embedEach } from './embed-each.ts';
import { embedBatchSize } from './embed-pending.ts';

/** What a step of the change of models came to. `elsewhere`: another process is at it. */
export type ReEmbedStep =
  | { readonly kind: 'none' | 'elsewhere' }
  | { readonly kind: 'embedded'; readonly texts: number }
  | { readonly kind: 'switched'; readonly model: string };

export interface ReEmbedder {
  /**
   * Embeds at most 64 texts with the model to come, or makes it the one of the database where none is left. Whatever it
   * has stored is not made again, by whichever process: it may be killed at any instant.
   *
   * @throws what the embedder throws (RetryLaterError: the budget is spent, the endpoint is down); nothing is lost then
   */
  step(signal: AbortSignal): Promise<ReEmbedStep>;
  /** Gives the next model's memory back. */
  release(): Promise<void>;
}

export interface ReEmbedderDeps {
  readonly db: Database;
  /** Guarded: an embedder of the model to come. */
  readonly open: (model: WantedModel) => Embedder;
  readonly prepare: (model: PinnedModel) => Promise<void>;
  /** Takes away what was prepared for a model that was left. */
  readonly dispose: (model: PinnedModel) => Promise<void>;
  /** Row of `engram.instances` that this process works as. */
  readonly instanceId: string;
  readonly racepoints: Racepoints;
  readonly metrics: Metrics;
  readonly log: Log;
}

/** Longer than a chunk takes, halved and asked again included; of a process that dies it is taken at once. */
const claimMs = 300_000;
/** Vectors of 1,536 numbers are 6 KiB each: some 3 MiB a statement. */
const moveAtOnce = 500;
/** With memories coming in all the time the last few are never there: after this many passes they are left to follow. */
const mostPasses = 3;

const targets = ['memories', 'observations'] as const satisfies readonly VectorTarget[];

interface Chunk {
  readonly bankId: string;
  readonly target: VectorTarget;
  readonly rows: readonly TextToEmbed[];
}

export function createReEmbedder(deps: ReEmbedderDeps): ReEmbedder {
  return new ModelSwitch(deps);
}

class ModelSwitch implements ReEmbedder {
  readonly #deps: ReEmbedderDeps;
  #next: Embedder | null = null;
  /** Where the pass over all rows is; null at its beginning. */
  #at: { readonly bankId: string; readonly target: VectorTarget; readonly afterId: string | null } | null = null;
  #madeInPass = 0;
  #passes = 0;

  constructor(deps: ReEmbedderDeps) {
    this.#deps = deps;
  }

  async step(signal: AbortSignal): Promise<ReEmbedStep> {
    const { db, instanceId } = this.#deps;
    const asked = await readSwitch(db);
    if (asked === null) {
      await this.release();
      return { kind: 'none' };
    }
    try {
      // Before the claim: what cannot ask the model must not keep it from a process that can.
      const next = await this.#embedderOf(asked);
      const claimed = await claimSwitch(db, instanceId, claimMs);
      if (claimed?.model.id !== asked.model.id) {
        await this.release();
        return { kind: 'elsewhere' };
      }
      const step = await this.#work(next, claimed.model, signal);
      await clearSwitchProblem(db);
      return step;
    } catch (thrown) {
      // The budget or an endpoint that is down too: another daemon may have a budget or an endpoint of its own.
      await leaveSwitch(db, instanceId, signal.aborted ? null : errorMessage(thrown)).catch((error: unknown) => {
        this.#deps.log.debug({ error: errorMessage(error) }, 'the claim of the switch ends by itself');
      });
      throw thrown;
    }
  }

  async #work(next: Embedder, model: PinnedModel, signal: AbortSignal): Promise<ReEmbedStep> {
    const chunk = await this.#nextChunk(model.id);
    if (chunk) {
      await this.#embed(next, chunk, signal);
      return { kind: 'embedded', texts: chunk.rows.length };
    }
    const isComplete = this.#madeInPass === 0 || (this.#passes >= mostPasses && this.#madeInPass <= embedBatchSize);
    this.#passes += 1;
    this.#madeInPass = 0;
    // What was written during the pass is looked for in another.
    if (!isComplete) return { kind: 'embedded', texts: 0 };
    await this.#deps.prepare(model);
    signal.throwIfAborted();
    const left = await activeEmbeddingModel(this.#deps.db);
    const isDone = await this.#flip(model.id);
    await this.release();
    if (!isDone) return { kind: 'none' };
    if (left) await this.#dispose(left);
    return { kind: 'switched', model: model.id };
  }

  /** The change is made; an index that stays costs space and nothing else. */
  async #dispose(left: PinnedModel): Promise<void> {
    try {
      await this.#deps.dispose(left);
    } catch (thrown) {
      this.#deps.log.warn({ model: left.id, error: errorMessage(thrown) }, 'the vector index of the old model stays');
    }
  }

  async release(): Promise<void> {
    const next = this.#next;
    this.#next = null;
    this.#at = null;
    this.#madeInPass = 0;
    this.#passes = 0;
    await next?.release();
  }

  async #embedderOf({ model }: EmbeddingSwitch): Promise<Embedder> {
    if (this.#next?.model.id !== model.id) await this.release();
    const { id, dimensions, provider } = model;
    this.#next ??= this.#deps.open({ id, dimensions, provider: provider === 'local' ? 'local' : 'openai' });
    return this.#next;
  }

  /** The next rows of the pass that have no vector of the model; null at its end. */
  async #nextChunk(model: string): Promise<Chunk | null> {
    const { db } = this.#deps;
    const from = this.#at;
    const banks = await bankIdsInOrder(db);
    // A bank that is gone meanwhile: from the beginning, which costs a look at what is done.
    const first = from === null ? 0 : Math.max(0, banks.indexOf(from.bankId));
    for (const bankId of banks.slice(first)) {
      for (const target of targets) {
        const isHere = from !== null && bankId === from.bankId;
        if (isHere && targets.indexOf(target) < targets.indexOf(from.target)) continue;
        const afterId = isHere && target === from.target ? from.afterId : null;
        const rows = await selectWithoutNext(db, bankId, { target, model, afterId, limit: embedBatchSize });
        const last = rows.at(-1);
        if (last === undefined) continue;
        this.#at = { bankId, target, afterId: last.id };
        return { bankId, target, rows };
      }
    }
    this.#at = null;
    return null;
  }

  async #embed(next: Embedder, { bankId, target, rows }: Chunk, signal: AbortSignal): Promise<void> {
    const { db, racepoints, metrics, log } = this.#deps;
    const purpose = target === 'memories' ? 'memory' : 'observation';
    const model = next.model.id;
    try {
      const { vectors, refused } = await embedEach(next, rows, { purpose, signal, bankId });
      for (const { row, reason } of refused) {
        log.warn({ target, id: row.id, model, reason }, 'a text cannot be embedded; full text finds it');
      }
      await racepoints.reach('embed:before-store', { bankId, memoryIds: rows.map((row) => row.id) });
      await storeNextEmbeddings(db, bankId, {
        target,
        model,
        rows: [
          ...vectors.map(({ row, vector }) => ({ id: row.id, hash: row.hash, vector })),
          ...refused.map(({ row }) => ({ id: row.id, hash: row.hash, vector: null })),
        ],
      });
      this.#madeInPass += rows.length;
      metrics.embeddings.inc({ purpose }, vectors.length);
    } catch (thrown) {
      // From the beginning, which costs a look: this chunk is still without.
      this.#at = null;
      throw thrown;
    }
  }

  /**
   * All vectors and the pin in one transaction: a search sees the old model's or the new one's, never both. Applies that
   * are under way end first; those that come meanwhile are told to come back.
   */
  async #flip(model: string): Promise<boolean> {
    const { db, racepoints } = this.#deps;
    return db.tx({ label: 'switch-embeddings' }, async (tx) => {
      if (!(await lockSwitch(tx, model))) return false;
      // All memories before the first observation, as everywhere (law L4).
      for (const target of targets) {
        for (const bankId of await bankIdsInOrder(tx)) {
          let afterId: string | null = null;
          do {
            const page: { target: VectorTarget; model: string; afterId: string | null; limit: number } = {
              target,
              model,
              afterId,
              limit: moveAtOnce,
            };
            afterId = await moveNextEmbeddings(tx, bankId, page);
          } while (afterId !== null);
        }
      }
      await flipModel(tx, model);
      await racepoints.reach('switch:before-commit', { model });
      return true;
    });
  }
}
