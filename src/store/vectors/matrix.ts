import { TopHits } from './top-hits.ts';
import { decodeRealArrayInto, realArrayByteLength } from './vector-bytes.ts';

/** Rows as they come from the database, and the ids of rows that are no longer there. */
export interface MatrixChange {
  readonly ids: readonly string[];
  /** `JSON.stringify` of each row's tags. */
  readonly scopes: readonly string[];
  readonly live: readonly boolean[];
  /** `array_send(embedding)` of each row, one behind the other. */
  readonly vectors: Uint8Array<ArrayBuffer>;
  readonly removedIds: readonly string[];
}

export interface MatrixQuery {
  readonly vector: Float32Array;
  readonly limit: number;
  /** As in {@link MatrixChange}; null: any. */
  readonly scope: string | null;
  readonly liveOnly: boolean;
}

/** Hits of one query, best first. */
export interface MatrixHits {
  readonly ids: readonly string[];
  readonly similarities: Float64Array<ArrayBuffer>;
}

/** Numbers stand in blocks of this size: growing copies nothing, and a bank of three rows costs little. */
const blockBytes = 256 * 1024;
/** Id, its entry in the index, scope, flag and norm of a row, as measured with 50,000 rows. */
const rowOverheadBytes = 200;

interface Scope {
  readonly key: string;
  rows: number;
}

/**
 * The vectors of one bank, target and model, scanned whole by each query. Pure computation, no I/O: it lives in the
 * thread of `matrix-worker.ts`.
 *
 * A scan takes up to four queries along, so that a row is read and converted once for all of them: 2,500 × 512 took
 * 0.50 ms a query that way and 0.85 ms one by one.
 */
export class Matrix {
  readonly dimensions: number;
  readonly #rowsPerBlock: number;
  readonly #blocks: Float32Array[] = [];
  readonly #rowOfId = new Map<string, number>();
  readonly #ids: string[] = [];
  readonly #scopes: Scope[] = [];
  readonly #live: boolean[] = [];
  readonly #inverseNorms: number[] = [];
  readonly #scopeOfKey = new Map<string, Scope>();
  #liveRows = 0;

  constructor(dimensions: number) {
    this.dimensions = dimensions;
    this.#rowsPerBlock = rowsPerBlock(dimensions);
  }

  get rows(): number {
    return this.#ids.length;
  }

  /** Rows that a search of the living ranks. */
  get liveRows(): number {
    return this.#liveRows;
  }

  get bytes(): number {
    return matrixBytes(this.rows, this.dimensions);
  }

  /**
   * Idempotent: what the matrix holds already is written over with the same. An id that is both removed and among the
   * rows was deleted and written again: it stays.
   */
  apply(change: MatrixChange): void {
    for (const id of change.removedIds) this.#remove(id);
    const stride = realArrayByteLength(this.dimensions);
    const { vectors } = change;
    const view = new DataView(vectors.buffer, vectors.byteOffset, vectors.byteLength);
    for (const [at, id] of change.ids.entries()) {
      const row = this.#rowOfId.get(id) ?? this.#append(id);
      this.#setScope(row, change.scopes[at] ?? '');
      this.#setLive(row, change.live[at] ?? false);
      const { block, offset } = this.#place(row);
      decodeRealArrayInto(view, at * stride, stride, block, offset);
      let squares = 0;
      for (let i = offset; i < offset + this.dimensions; i += 1) squares += (block[i] ?? 0) ** 2;
      this.#inverseNorms[row] = 1 / Math.sqrt(squares);
    }
  }

  /** One result a query, in their order. Each query's vector has `dimensions` numbers. */
  search(queries: readonly MatrixQuery[]): MatrixHits[] {
    const tops = queries.map((query) => new TopHits(query.limit, (row) => this.#ids[row] ?? ''));
    const byFilter = Map.groupBy(queries.keys(), (at) => JSON.stringify([queries[at]?.scope, queries[at]?.liveOnly]));
    for (const group of byFilter.values()) {
      for (let from = 0; from < group.length; from += 4) {
        const lanes = group.slice(from, from + 4).flatMap((at) => {
          const query = queries[at];
          const top = tops[at];
          return query && top ? [{ query, top, vector: unit(query.vector) }] : [];
        });
        this.#scan(lanes);
      }
    }
    return tops.map((top) => {
      const ranked = top.ranked();
      return {
        ids: ranked.map(({ row }) => this.#ids[row] ?? ''),
        similarities: Float64Array.from(ranked, ({ similarity }) => similarity),
      };
    });
  }

  /** Up to four queries with the same filter. */
  #scan(lanes: readonly { query: MatrixQuery; top: TopHits; vector: Float64Array }[]): void {
    const [first, second = first, third = first, fourth = first] = lanes;
    if (!first || !second || !third || !fourth) return;
    const scope = first.query.scope === null ? null : this.#scopeOfKey.get(first.query.scope);
    if (scope === undefined) return;
    const { liveOnly } = first.query;
    const dots = new Float64Array(4);
    for (let row = 0; row < this.#ids.length; row += 1) {
      if ((liveOnly && !this.#live[row]) || (scope !== null && this.#scopes[row] !== scope)) continue;
      const { block, offset } = this.#place(row);
      if (lanes.length > 2) {
        dotFour(block, offset, first.vector, second.vector, third.vector, fourth.vector, dots);
      } else {
        dots[0] = dotOne(block, offset, first.vector);
        if (lanes.length === 2) dots[1] = dotOne(block, offset, second.vector);
      }
      const inverseNorm = this.#inverseNorms[row] ?? 0;
      for (let lane = 0; lane < lanes.length; lane += 1) {
        lanes[lane]?.top.offer(row, Math.max(-1, Math.min(1, (dots[lane] ?? 0) * inverseNorm)));
      }
    }
  }

  #place(row: number): { block: Float32Array; offset: number } {
    const block = this.#blocks[Math.floor(row / this.#rowsPerBlock)];
    if (!block) throw new RangeError(`row ${row} of ${this.rows}`);
    return { block, offset: (row % this.#rowsPerBlock) * this.dimensions };
  }

  #append(id: string): number {
    const row = this.#ids.push(id) - 1;
    this.#rowOfId.set(id, row);
    if (row === this.#blocks.length * this.#rowsPerBlock) {
      this.#blocks.push(new Float32Array(this.#rowsPerBlock * this.dimensions));
    }
    return row;
  }

  /** The last row takes the place of the removed one, so that a scan never meets holes. */
  #remove(id: string): void {
    const row = this.#rowOfId.get(id);
    if (row === undefined) return;
    const last = this.rows - 1;
    this.#dropScope(row);
    this.#setLive(row, false);
    if (row !== last) {
      const from = this.#place(last);
      const to = this.#place(row);
      to.block.set(from.block.subarray(from.offset, from.offset + this.dimensions), to.offset);
      const lastId = this.#ids[last] ?? '';
      this.#ids[row] = lastId;
      this.#rowOfId.set(lastId, row);
      this.#live[row] = this.#live[last] ?? false;
      this.#inverseNorms[row] = this.#inverseNorms[last] ?? 0;
      const lastScope = this.#scopes[last];
      if (lastScope) this.#scopes[row] = lastScope;
    }
    this.#rowOfId.delete(id);
    for (const column of [this.#ids, this.#scopes, this.#live, this.#inverseNorms]) column.length = last;
    if (this.#blocks.length > Math.ceil(last / this.#rowsPerBlock)) this.#blocks.pop();
  }

  #setLive(row: number, live: boolean): void {
    this.#liveRows += Number(live) - Number(this.#live[row] ?? false);
    this.#live[row] = live;
  }

  #setScope(row: number, key: string): void {
    if (this.#scopes[row]?.key === key) return;
    this.#dropScope(row);
    let scope = this.#scopeOfKey.get(key);
    if (!scope) {
      scope = { key, rows: 0 };
      this.#scopeOfKey.set(key, scope);
    }
    scope.rows += 1;
    this.#scopes[row] = scope;
  }

  /** Counted, since a scope that nobody is in any more would stay for the life of the matrix. */
  #dropScope(row: number): void {
    const scope = this.#scopes[row];
    if (!scope) return;
    scope.rows -= 1;
    if (scope.rows === 0) this.#scopeOfKey.delete(scope.key);
  }
}

/** What a matrix of so many rows occupies, in bytes. */
export function matrixBytes(rows: number, dimensions: number): number {
  const perBlock = rowsPerBlock(dimensions);
  return Math.ceil(rows / perBlock) * perBlock * dimensions * 4 + rows * rowOverheadBytes;
}

function rowsPerBlock(dimensions: number): number {
  return Math.max(1, Math.floor(blockBytes / (dimensions * 4)));
}

/** In doubles: the products of a scan are summed in doubles, and converting once saves it for each row. */
function unit(vector: Float32Array): Float64Array {
  const doubles = Float64Array.from(vector);
  const norm = Math.sqrt(doubles.reduce((sum, value) => sum + value * value, 0));
  return doubles.map((value) => value / norm);
}

function dotOne(block: Float32Array, offset: number, query: Float64Array): number {
  let even = 0;
  let odd = 0;
  const { length } = query;
  for (let i = 0; i + 1 < length; i += 2) {
    even += (block[offset + i] ?? 0) * (query[i] ?? 0);
    odd += (block[offset + i + 1] ?? 0) * (query[i + 1] ?? 0);
  }
  if (length % 2 === 1) even += (block[offset + length - 1] ?? 0) * (query[length - 1] ?? 0);
  return even + odd;
}

function dotFour(
  block: Float32Array,
  offset: number,
  a: Float64Array,
  b: Float64Array,
  c: Float64Array,
  d: Float64Array,
  dots: Float64Array,
): void {
  let sumA = 0;
  let sumB = 0;
  let sumC = 0;
  let sumD = 0;
  for (let i = 0; i < a.length; i += 1) {
    const value = block[offset + i] ?? 0;
    sumA += value * (a[i] ?? 0);
    sumB += value * (b[i] ?? 0);
    sumC += value * (c[i] ?? 0);
    sumD += value * (d[i] ?? 0);
  }
  dots[0] = sumA;
  dots[1] = sumB;
  dots[2] = sumC;
  dots[3] = sumD;
}
