import type { Database } from '../../db/database.ts';
import { activeEmbeddingModel, type PinnedModel, pinEmbeddingModel } from '../../store/embedding-models.ts';
import type { Clock } from '../../telemetry/clock.ts';
import { errorMessage } from '../../telemetry/engramd-error.ts';
import type { Log } from '../../telemetry/log.ts';
import { type Embedder, type EmbeddingModel, guardedEmbedder } from '../embedder.ts';
import { EmbeddingModelMovedError } from './embedding-errors.ts';

export interface PinnedEmbedderDeps {
  readonly db: Database;
  readonly clock: Clock;
  readonly log: Log;
  readonly assertNoLease: (what: string) => void;
  /** The embedder of a model that the database is pinned to. @throws EmbeddingModelUnavailableError */
  readonly open: (model: PinnedModel) => Embedder;
  /** What search needs for a model, before its first vector is stored. */
  readonly prepare: (model: PinnedModel) => Promise<void>;
}

/** The embedder of the database's model, whichever that is by now. */
export interface PinnedEmbedder extends Embedder {
  readonly current: () => Promise<Embedder>;
  /** Whether the first good answer is still to come, which pins the model. */
  readonly isPinned: () => boolean;
}

interface Holder {
  readonly inner: Embedder;
  readonly guarded: Embedder;
  isPinned: boolean;
  repeatSimilarity: number | undefined;
  inFlight: number;
  isLeft: boolean;
}

/**
 * The one place that knows that the model may change. Before the database has one, the first good answer pins it: a
 * wrong key or name pins nothing, and the daemon starts while the endpoint is down. Afterwards it follows the pin, looked
 * at by whoever takes {@link Embedder.current}: a row of a table of a handful, by an index, before work of milliseconds
 * and more.
 */
export function createPinnedEmbedder(deps: PinnedEmbedderDeps, first: Embedder, isPinned: boolean): PinnedEmbedder {
  const { db, clock, log } = deps;
  let holder = holderOf(first, isPinned);

  function holderOf(inner: Embedder, pinned: boolean): Holder {
    const guarded = guardedEmbedder(inner, deps.assertNoLease);
    return { inner, guarded, isPinned: pinned, repeatSimilarity: undefined, inFlight: 0, isLeft: false };
  }

  function modelOf({ inner, repeatSimilarity }: Holder): EmbeddingModel {
    return repeatSimilarity === undefined ? inner.model : { ...inner.model, repeatSimilarity };
  }

  /** An embedder that stays at its model; its first answer pins it where nothing is pinned. */
  function fixed(of: Holder): Embedder {
    return {
      get model() {
        return modelOf(of);
      },
      async embed(texts, options) {
        of.inFlight += 1;
        try {
          const vectors = await of.guarded.embed(texts, options);
          if (!of.isPinned && texts.length > 0) await pin(of);
          return vectors;
        } finally {
          of.inFlight -= 1;
          if (of.isLeft && of.inFlight === 0) void of.inner.release();
        }
      },
      release: () => of.inner.release(),
    };
  }

  async function pin(of: Holder): Promise<void> {
    const { model } = of.inner;
    const pinned = await pinEmbeddingModel(db, model);
    if (pinned.id !== model.id || pinned.dimensions !== model.dimensions) {
      follow(pinned);
      // Another process was first, with another model: these vectors belong nowhere.
      throw new EmbeddingModelMovedError(
        `the database took ${pinned.id} as its embedding model meanwhile`,
        clock.now(),
      );
    }
    if (of.isPinned) return;
    of.isPinned = true;
    log.info({ model: model.id, dimensions: model.dimensions }, 'first vectors: this database keeps to their model');
    await deps.prepare(pinned);
  }

  function follow(pinned: PinnedModel): void {
    if (holder.isPinned && holder.inner.model.id === pinned.id) return;
    const left = holder;
    if (left.inner.model.id === pinned.id && left.inner.model.dimensions === pinned.dimensions) {
      left.isPinned = true;
      return;
    }
    holder = holderOf(open(pinned), true);
    log.info({ model: pinned.id, before: left.inner.model.id }, 'the embedding model of this database has changed');
    left.isLeft = true;
    if (left.inFlight === 0) void left.inner.release();
  }

  /** This process may lack what the new model needs; then each use of it says so, and nothing is made with another. */
  function open(pinned: PinnedModel): Embedder {
    try {
      return deps.open(pinned);
    } catch (thrown) {
      log.error({ error: errorMessage(thrown) }, 'the embedding model of this database cannot be asked from here');
      return {
        model: { id: pinned.id, dimensions: pinned.dimensions, provider: 'openai' },
        embed: () => Promise.reject(thrown),
        release: async () => undefined,
      };
    }
  }

  async function current(): Promise<Embedder> {
    const pinned = await activeEmbeddingModel(db);
    if (pinned) {
      follow(pinned);
      holder.repeatSimilarity = pinned.repeatSimilarity ?? undefined;
    }
    return fixed(holder);
  }

  return {
    get model() {
      return modelOf(holder);
    },
    embed: (texts, options) => fixed(holder).embed(texts, options),
    release: () => holder.inner.release(),
    current,
    isPinned: () => holder.isPinned,
  };
}
