import type { BuildOutcome } from '../../builds/build-outcome.ts';
import { createSingleFlight, type SingleFlight } from '../../builds/single-flight.ts';
import type { Database } from '../../db/database.ts';
import { assertNoLease } from '../../db/lease.ts';
import { type Clock, systemClock } from '../../telemetry/clock.ts';
import type { Log } from '../../telemetry/log.ts';
import type { Metrics } from '../../telemetry/metrics.ts';
import { CachedMatrix, type MatrixView, scopeKey } from './cached-matrix.ts';
import type { MatrixQuery } from './matrix.ts';
import type { MatrixKey } from './matrix-rows.ts';
import { MatrixThread, type StartWorker, startMatrixWorker } from './matrix-thread.ts';
import { ModelDimensions } from './model-dimensions.ts';
import { answerInGroups } from './query-groups.ts';
import { streamedSearch, toHits } from './streamed-search.ts';
import { VectorThreadError } from './vector-errors.ts';
import type { VectorHit, VectorIndex, VectorQuery } from './vector-index.ts';

export interface ExactIndexOptions {
  readonly db: Database;
  readonly log: Log;
  readonly metrics?: Metrics;
  /** What all cached matrices may occupy together, in bytes. Default 256 MiB: some 110,000 vectors of 512 numbers. */
  readonly maxBytes?: number;
  /** For the waiting of those who share a read; the system's if not given. */
  readonly clock?: Clock;
  /** Tests stop the thread they started. */
  readonly startWorker?: StartWorker;
}

export interface ExactIndex extends VectorIndex {
  readonly kind: 'exact';
  /** What is held now. */
  cached(): { readonly matrices: number; readonly bytes: number; readonly liveRows: number };
}

/** An entry without rows costs something too: names of banks come from outside. */
const entryBytes = 1024;

/** A statement of a read may take a minute and a bank of a million rows some of them; those who wait ask again after two. */
const wholeReadBoundsMs = { waitMs: 120_000, buildMs: 600_000 };

type Queries = readonly [VectorQuery, ...VectorQuery[]];

/**
 * Vector search without pgvector: every query scans every vector of its bank, target and model, which are kept in a
 * worker thread and brought up to date before each scan by one short statement.
 *
 * It lets go of the least recently used matrices above `maxBytes`. Matrices in use stay, so that for a moment there may
 * be more.
 */
export function createExactIndex(options: ExactIndexOptions): ExactIndex {
  return new ExactVectorIndex(options);
}

class ExactVectorIndex implements ExactIndex {
  readonly kind = 'exact';
  readonly #db: Database;
  readonly #log: Log;
  readonly #metrics: Metrics | undefined;
  readonly #maxBytes: number;
  readonly #startWorker: StartWorker;
  readonly #dimensions: ModelDimensions;
  readonly #flights: SingleFlight<MatrixView>;
  /** Least recently used first. */
  readonly #matrices = new Map<string, CachedMatrix>();
  readonly #inFlight = new Set<Promise<unknown>>();
  readonly #warnedOf = new Set<string>();
  #thread: MatrixThread | undefined;

  constructor(options: ExactIndexOptions) {
    this.#db = options.db;
    this.#log = options.log;
    this.#metrics = options.metrics;
    this.#maxBytes = options.maxBytes ?? 256 * 1024 * 1024;
    this.#startWorker = options.startWorker ?? startMatrixWorker;
    this.#dimensions = new ModelDimensions(options.db);
    this.#flights = createSingleFlight({
      clock: options.clock ?? systemClock,
      ...wholeReadBoundsMs,
      rounds: 4,
      onOutcome: (outcome: BuildOutcome) => this.#metrics?.builds.inc({ kind: 'matrix', outcome }),
    });
  }

  async nearest(queries: readonly VectorQuery[]): Promise<VectorHit[][]> {
    // Said here, since only the caller that happens to start the shared read would be refused by the pool.
    assertNoLease('a vector search');
    const answers = answerInGroups(
      queries,
      ({ bankId, target, model }) => [bankId, target, model],
      (group) => this.#searchTwice(group),
    );
    this.#inFlight.add(answers);
    return answers.finally(() => this.#inFlight.delete(answers));
  }

  async prepare(): Promise<void> {
    // A scan needs nothing made.
  }

  async drop(): Promise<void> {
    // Nothing was made; a matrix that is asked for no more goes by itself.
  }

  warm(): void {
    this.#currentThread().start();
  }

  async release(): Promise<void> {
    await Promise.allSettled(this.#inFlight);
    const thread = this.#thread;
    this.#forget();
    // Whoever came meanwhile searches again, in a new thread.
    await thread?.terminate();
  }

  cached(): { matrices: number; bytes: number; liveRows: number } {
    const matrices = [...this.#matrices.values()];
    return {
      matrices: matrices.length,
      bytes: matrices.reduce((sum, matrix) => sum + matrix.bytes, 0),
      liveRows: matrices.reduce((sum, matrix) => sum + matrix.liveRows, 0),
    };
  }

  /** A thread that ends takes every search with it that waits; each tries once more with a new one. */
  async #searchTwice(queries: Queries): Promise<VectorHit[][]> {
    try {
      return await this.#search(queries);
    } catch (thrown) {
      if (!(thrown instanceof VectorThreadError)) throw thrown;
      this.#log.warn({ error: thrown.message }, 'the vector thread ended during a search; trying once more');
      return this.#search(queries);
    }
  }

  async #search(queries: Queries): Promise<VectorHit[][]> {
    const { bankId, target, model } = queries[0];
    const dimensions = await this.#dimensions.of(model, queries);
    if (dimensions === undefined) return queries.map(() => []);
    const matrix = this.#matrixOf({ bankId, target, model }, dimensions);
    matrix.users += 1;
    try {
      const view = await matrix.refresh();
      switch (view.kind) {
        case 'empty':
          return queries.map(() => []);
        case 'ready':
          return (await matrix.thread.search(view.matrix, queries.map(toMatrixQuery))).map(toHits);
        case 'oversized':
          return await this.#stream(matrix, queries);
      }
    } finally {
      matrix.users -= 1;
      this.#evict();
    }
  }

  async #stream(matrix: CachedMatrix, queries: Queries): Promise<VectorHit[][]> {
    const { key, thread, dimensions } = matrix;
    const name = JSON.stringify(key);
    if (!this.#warnedOf.has(name)) {
      this.#warnedOf.add(name);
      this.#log.warn(
        { bank: key.bankId, target: key.target, maxBytes: this.#maxBytes },
        'the vectors of this bank do not fit into memory and are read for each search; install pgvector',
      );
    }
    const asked = queries.map(toMatrixQuery);
    const common = {
      scope: asked.every((query) => query.scope === asked[0]?.scope) ? (queries[0].scope ?? null) : null,
      liveOnly: asked.every((query) => query.liveOnly),
    };
    const { hits, rows } = await streamedSearch({
      db: this.#db,
      thread,
      key,
      dimensions,
      filter: common,
      queries: asked,
    });
    if (common.scope === null && !common.liveOnly) matrix.noteRows(rows);
    return hits;
  }

  #matrixOf(key: MatrixKey, dimensions: number): CachedMatrix {
    const name = JSON.stringify([key.bankId, key.target, key.model]);
    const matrix =
      this.#matrices.get(name) ??
      new CachedMatrix({
        key,
        dimensions,
        thread: this.#currentThread(),
        db: this.#db,
        maxBytes: this.#maxBytes,
        flights: this.#flights,
      });
    this.#matrices.delete(name);
    this.#matrices.set(name, matrix);
    return matrix;
  }

  #currentThread(): MatrixThread {
    if (this.#thread) return this.#thread;
    const thread = new MatrixThread(this.#startWorker, () => {
      if (this.#thread === thread) this.#forget();
    });
    this.#thread = thread;
    return thread;
  }

  #forget(): void {
    this.#thread = undefined;
    this.#matrices.clear();
    this.#metrics?.vectorCacheBytes.set(0);
  }

  #evict(): void {
    let { bytes } = this.cached();
    for (const [name, matrix] of this.#matrices) {
      if (bytes + entryBytes * this.#matrices.size <= this.#maxBytes) break;
      if (matrix.users > 0) continue;
      bytes -= matrix.bytes;
      matrix.close();
      this.#matrices.delete(name);
    }
    this.#metrics?.vectorCacheBytes.set(bytes);
  }
}

function toMatrixQuery({ vector, limit, scope, liveOnly }: VectorQuery): MatrixQuery {
  // A copy: posting a part of a larger buffer would post the whole.
  return { vector: vector.slice(), limit, scope: scope ? scopeKey(scope) : null, liveOnly };
}
