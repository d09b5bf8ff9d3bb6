import type { Database } from '../../db/database.ts';
import { assertNoLease } from '../../db/lease.ts';
import type { Log } from '../../telemetry/log.ts';
import { ModelDimensions } from './model-dimensions.ts';
import { type DistanceRow, type ScanRequest, type ScanRule, scanRows } from './pgvector-scan.ts';
import { dropVectorIndex, ensureVectorIndex } from './pgvector-setup.ts';
import { indexedStatements, indexName } from './pgvector-statements.ts';
import { answerInGroups, byNearness } from './query-groups.ts';
import { encodeRealArray } from './vector-bytes.ts';
import type { VectorHit, VectorIndex, VectorQuery } from './vector-index.ts';

export interface PgvectorIndexOptions {
  readonly db: Database;
  readonly log: Log;
  /** pgvector 0.8 and newer go on walking the index until enough rows have passed the filter. Default true. */
  readonly iterativeScan?: boolean;
  /** Default {@link defaultScanRule}. */
  readonly scanRule?: ScanRule;
}

/**
 * Four queries of 512 dimensions in one call took 4, 8, 20 and 350 ms by scanning 500, 1,000, 2,500 and 50,000 rows,
 * and 6 to 8 ms by the index, so they meet below 1,000. A step through the index that meets another bank's row costs
 * about as much as scanning two rows.
 */
export const defaultScanRule: ScanRule = { minRows: 800, perRow: 2 };

/**
 * A near-twin that is not found becomes a second observation. Of the 20 nearest among 2,500 vectors without any
 * structure, the worst case, pgvector's default of 40 found 63 %, 100 90 % and 200 99 %; of clustered ones 97, 99 and
 * 100 %; of 933 real sentences all three found all. 200 costs half a millisecond a query more than 100.
 */
const minEfSearch = 200;
const maxEfSearch = 1000;

const maxRemembered = 1000;

type Queries = readonly [VectorQuery, ...VectorQuery[]];

/**
 * Vector search by pgvector: an HNSW index on the expression `embedding::vector(n)`, partial for each model and shared
 * by all banks, or a scan in the server where few rows can match.
 *
 * The index is a proposal: it applies the bank's, scope's and live filter after it has chosen rows, and may give up
 * (`hnsw.max_scan_tuples`) before it found as many as asked for. Whenever it returns fewer, the rows are scanned. The
 * live filter is not part of the index, since then a search that includes superseded rows would have none.
 */
export function createPgvectorIndex(options: PgvectorIndexOptions): VectorIndex {
  return new PgvectorIndex(options);
}

class PgvectorIndex implements VectorIndex {
  readonly kind = 'pgvector';
  readonly #db: Database;
  readonly #log: Log;
  readonly #iterativeScan: boolean;
  readonly #scanRule: ScanRule;
  readonly #dimensions: ModelDimensions;
  /** Filters that had too many rows for a scan when last counted. */
  readonly #large = new Set<string>();

  constructor(options: PgvectorIndexOptions) {
    this.#db = options.db;
    this.#log = options.log;
    this.#iterativeScan = options.iterativeScan ?? true;
    this.#scanRule = options.scanRule ?? defaultScanRule;
    this.#dimensions = new ModelDimensions(options.db);
  }

  async nearest(queries: readonly VectorQuery[]): Promise<VectorHit[][]> {
    assertNoLease('a vector search');
    return answerInGroups(queries, filterOf, (group) => this.#search(group));
  }

  async prepare(model: { readonly id: string; readonly dimensions: number }): Promise<void> {
    const deps = { db: this.#db, log: this.#log };
    await ensureVectorIndex(deps, 'observations', model);
    await ensureVectorIndex(deps, 'memories', model);
  }

  async drop(model: { readonly id: string }): Promise<void> {
    await dropVectorIndex(this.#db, 'observations', model.id);
    await dropVectorIndex(this.#db, 'memories', model.id);
  }

  async release(): Promise<void> {
    this.#large.clear();
  }

  /** Queries that differ in vector and limit only. */
  async #search(queries: Queries): Promise<VectorHit[][]> {
    const { bankId, target, model, scope, liveOnly } = queries[0];
    const dimensions = await this.#dimensions.of(model, queries);
    if (dimensions === undefined) return queries.map(() => []);
    const request: ScanRequest = {
      bankId,
      target,
      model,
      dimensions,
      scope: scope ?? null,
      liveOnly,
      vectors: queries.map((query) => encodeRealArray(query.vector)),
      limit: Math.max(...queries.map((query) => query.limit)),
    };
    const rows = await this.#rank(request, JSON.stringify(filterOf(queries[0])));
    const byQuery = Map.groupBy(rows, (row) => row.ordinality);
    return queries.map((query, at) => toHits(byQuery.get(at + 1) ?? []).slice(0, query.limit));
  }

  async #rank(request: ScanRequest, filter: string): Promise<DistanceRow[]> {
    const search = indexedStatements(request.dimensions)?.search[request.target];
    if (search === undefined) return scanAll(this.#db, request);
    if (!this.#large.has(filter)) {
      const index = { name: indexName(request.target, request.model), rule: this.#scanRule };
      const scanned = await scanRows(this.#db, request, index);
      if (scanned !== 'too many') return scanned;
      if (this.#large.size >= maxRemembered) this.#large.clear();
      this.#large.add(filter);
    }
    const walked = await this.#walkIndex(search, request);
    const found = new Map<number, number>();
    for (const { ordinality } of walked) found.set(ordinality, (found.get(ordinality) ?? 0) + 1);
    if (request.vectors.every((_, at) => (found.get(at + 1) ?? 0) >= request.limit)) return walked;
    this.#large.delete(filter);
    return scanAll(this.#db, request);
  }

  async #walkIndex(search: string, request: ScanRequest): Promise<DistanceRow[]> {
    const { bankId, model, scope, liveOnly, vectors, limit } = request;
    return this.#db.tx({ label: 'vector search', readOnly: true }, async (tx) => {
      // Without iterative scans a filter only gets to see the ef_search nearest rows of all.
      const efSearch = Math.min(maxEfSearch, Math.max(minEfSearch, this.#iterativeScan ? limit : 4 * limit));
      // The planner takes vectors for stored in the row and a scan for cheap: it sorted 2,500 of them,
      // 35 ms against 4.
      await tx.query(
        `select set_config('hnsw.ef_search', $1, true), set_config('enable_sort', 'off', true), set_config('jit', 'off', true),
           case when $2 then set_config('hnsw.iterative_scan', 'strict_order', true) end`,
        [String(efSearch), this.#iterativeScan],
      );
      const { rows } = await tx.query<DistanceRow>(search, [bankId, model, scope, liveOnly, vectors, limit]);
      return rows;
    });
  }
}

function filterOf({ bankId, target, model, scope, liveOnly }: VectorQuery): readonly unknown[] {
  return [bankId, target, model, scope ?? null, liveOnly];
}

async function scanAll(db: Database, request: ScanRequest): Promise<DistanceRow[]> {
  const rows = await scanRows(db, request);
  return rows === 'too many' ? [] : rows;
}

/** NaN: one of the two vectors has no direction. */
function toHits(rows: readonly DistanceRow[]): VectorHit[] {
  return rows
    .filter((row) => !Number.isNaN(row.distance))
    .map(({ id, distance }) => ({ id, similarity: 1 - distance }))
    .sort(byNearness);
}
