import { validateEmbeddings } from './validate-embedding.ts';

/** What made a vector. Vectors of two ids are never compared. */
export interface EmbeddingModel {
  /** Stored with every vector, e.g. `local/use-512`. */
  readonly id: string;
  /** 0 until the first answer of an endpoint whose model nobody knows. */
  readonly dimensions: number;
  readonly provider: 'local' | 'openai';
  /** Cosine from which two texts are worth a decision, where somebody has calibrated it for this model. */
  readonly repeatSimilarity?: number | undefined;
}

/** `query` has somebody waiting for it and overtakes the others. */
export type EmbedPurpose = 'memory' | 'observation' | 'query';

export interface EmbedOptions {
  readonly purpose: EmbedPurpose;
  /** An abort rejects with the signal's reason. Work already at the model may still run to its end; its answer is dropped. */
  readonly signal?: AbortSignal | undefined;
  /** Whose texts they are, for the ledger; absent: nobody's. */
  readonly bankId?: string | undefined;
}

/** Texts in, vectors out. Never called while a database connection is held (L1). */
export interface Embedder {
  readonly model: EmbeddingModel;
  /** One vector of `model.dimensions` numbers for each text, in the order of `texts`. */
  embed(texts: readonly string[], options: EmbedOptions): Promise<Float32Array[]>;
  /** Gives back the model's memory and thread. Waiting calls are rejected; the next `embed` loads again. */
  release(): Promise<void>;
  /**
   * Where the model may be changed while the process runs: looks, and gives an embedder of the model that holds now,
   * which stays at that model. Whoever embeds and then compares or stores takes one of these and works with it alone.
   */
  readonly current?: () => Promise<Embedder>;
}

/** The embedder of the model that holds now, which stays at that model. */
export async function currentEmbedder(embedder: Embedder): Promise<Embedder> {
  return embedder.current ? await embedder.current() : embedder;
}

/**
 * The only embedder that the rest of the code is given: refuses to run under a held database connection (L1), and
 * turns every answer into unit vectors or an `InvalidEmbeddingError`, so that what is stored can be compared by a dot
 * product and one NaN never poisons an index.
 *
 * @param assertNoLease throws when the caller's async context holds a database connection.
 */
export function guardedEmbedder(inner: Embedder, assertNoLease: (what: string) => void): Embedder {
  return {
    get model() {
      return inner.model;
    },
    embed: async (texts, options) => {
      assertNoLease('embed');
      options.signal?.throwIfAborted();
      if (texts.length === 0) return [];
      // One that may change its model meanwhile has checked the answer against the model that gave it.
      if (inner.current) return inner.embed(texts, options);
      const vectors = await inner.embed(texts, options);
      return validateEmbeddings(vectors, { count: texts.length, dimensions: inner.model.dimensions });
    },
    release: () => inner.release(),
    ...(inner.current && {
      current: async () => guardedEmbedder(await currentEmbedder(inner), assertNoLease),
    }),
  };
}
