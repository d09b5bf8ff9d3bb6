/** Which table's rows a vector search ranks. */
export type VectorTarget = 'memories' | 'observations';

export interface VectorQuery {
  readonly bankId: string;
  readonly target: VectorTarget;
  /** Only rows embedded by this model are compared: cosines across models mean nothing. */
  readonly model: string;
  /** Unit length, as the embedder port returns it. */
  readonly vector: Float32Array;
  readonly limit: number;
  /** Exactly this set of tags, sorted as `engram.scope_of` sorts; absent: any. */
  readonly scope?: readonly string[];
  /**
   * Observations: neither folded, superseded nor retired. Memories: not invalidated.
   * `false` ranks every row that has a vector.
   */
  readonly liveOnly: boolean;
}

export interface VectorHit {
  readonly id: string;
  /** Cosine, -1 to 1. */
  readonly similarity: number;
}

/**
 * The nearest rows by cosine, best first, ties by id. Two adapters (pgvector, exact scan) answer alike and see every
 * row committed before the call, whichever process wrote it; one conformance suite holds them to it.
 */
export interface VectorIndex {
  readonly kind: 'pgvector' | 'exact';
  /**
   * One list of hits a query, in the order of the queries. Queries of one call share round trips where they can. A bank
   * or model that is not there has no rows; a vector without a direction (all zeros) is near to nothing.
   *
   * @throws VectorDimensionsError if a query's vector has another length than its model makes; HeldConnectionError if
   *   the caller holds a database connection.
   */
  nearest(queries: readonly VectorQuery[]): Promise<VectorHit[][]>;
  /**
   * Makes what a model of these dimensions needs (an index). Idempotent. Over rows that are there already it may take
   * minutes, holding one connection; searches and writes go on meanwhile, so nobody has to wait for it.
   */
  prepare(model: { readonly id: string; readonly dimensions: number }): Promise<void>;
  /** Takes away what {@link prepare} made for a model that is no longer in use; what is left of its vectors is still found. */
  drop(model: { readonly id: string }): Promise<void>;
  /** Begins what the first search after a release would have to wait for. */
  warm?(): void;
  /** Drops caches and threads, after the searches that are under way; the next call builds them again. */
  release(): Promise<void>;
}
