import type { SingleFlight } from '../../builds/single-flight.ts';
import type { Database } from '../../db/database.ts';
import { createFreshRun } from './fresh-run.ts';
import { type MatrixChange, matrixBytes } from './matrix.ts';
import { type MatrixKey, type MatrixRow, type ReadMark, readDelta, readWhole } from './matrix-rows.ts';
import type { MatrixThread } from './matrix-thread.ts';
import { realArrayByteLength } from './vector-bytes.ts';

/** What a search finds after a refresh. `oversized`: too large to be kept, to be read by each search. */
export type MatrixView =
  | { readonly kind: 'empty' }
  | { readonly kind: 'ready'; readonly matrix: number }
  | { readonly kind: 'oversized' };

/** Bounds what this process holds of a page or a delta: 8 MiB of bytes, twice that as the text they arrive in. */
export function rowsPerPage(dimensions: number): number {
  return Math.max(100, Math.floor((8 * 1024 * 1024) / realArrayByteLength(dimensions)));
}

/** What this process knows of one bank, target and model; the numbers themselves are in the thread. */
export class CachedMatrix {
  readonly key: MatrixKey;
  readonly dimensions: number;
  readonly thread: MatrixThread;
  /** Searches that need it now; it is not evicted while there are any. */
  users = 0;
  readonly #db: Database;
  readonly #maxBytes: number;
  readonly #flights: SingleFlight<MatrixView>;
  readonly #readDelta: () => Promise<MatrixView>;
  #matrix: number | undefined;
  #bytes = 0;
  #liveRows = 0;
  #mark: ReadMark | undefined;
  #isOversized = false;

  constructor(options: {
    readonly key: MatrixKey;
    readonly dimensions: number;
    readonly thread: MatrixThread;
    readonly db: Database;
    readonly maxBytes: number;
    readonly flights: SingleFlight<MatrixView>;
  }) {
    this.key = options.key;
    this.dimensions = options.dimensions;
    this.thread = options.thread;
    this.#db = options.db;
    this.#maxBytes = options.maxBytes;
    this.#flights = options.flights;
    this.#readDelta = createFreshRun(() => this.#readNews());
  }

  /**
   * Brings the matrix up to a snapshot taken after the call. Callers share: one reads the whole of a cold one, however
   * many ask, and of a warm one at most one reads the news and one waits to.
   */
  async refresh(): Promise<MatrixView> {
    while (this.#mark === undefined && !this.#isOversized) {
      const { view, isMine } = await this.#readWholeOnce();
      if (isMine) return view;
      // It began before this call, or was read into a thread that has ended.
    }
    return this.#readDelta();
  }

  /** What it occupies in the thread. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Rows that a search of the living ranks. */
  get liveRows(): number {
    return this.#liveRows;
  }

  /** Gives its memory back; the next refresh reads everything again. */
  close(): void {
    if (this.#matrix !== undefined) this.thread.close(this.#matrix);
    this.#matrix = undefined;
    this.#bytes = 0;
    this.#liveRows = 0;
    this.#mark = undefined;
  }

  /** A search that read all rows counted them. */
  noteRows(rows: number): void {
    // Some way below the limit, or a bank that is just as large as that is read whole by every other search.
    if (matrixBytes(rows, this.dimensions) < 0.8 * this.#maxBytes) this.#isOversized = false;
  }

  async #readNews(): Promise<MatrixView> {
    if (this.#isOversized) return { kind: 'oversized' };
    if (!this.#mark) return (await this.#readWholeOnce()).view;
    const limit = rowsPerPage(this.dimensions);
    const delta = await readDelta(this.#db, this.key, this.#mark, limit);
    if (delta.mustReadWhole || delta.rows.length > limit) return (await this.#readWholeOnce()).view;
    const change = matrixChange(delta.rows, this.dimensions);
    if (change.ids.length > 0) this.#matrix ??= this.#open();
    if (this.#matrix !== undefined && delta.rows.length > 0) this.thread.apply(this.#matrix, change);
    this.#mark = delta.mark;
    if (this.#bytes > this.#maxBytes) return this.#giveUp();
    return this.#view();
  }

  /** One at a time in this process for each bank, target and model, also where a thread that ended left one reading. */
  async #readWholeOnce(): Promise<{ view: MatrixView; isMine: boolean }> {
    let isMine = false;
    const { bankId, target, model } = this.key;
    const view = await this.#flights.run(JSON.stringify([bankId, target, model]), (signal) => {
      isMine = true;
      return this.#readWhole(signal);
    });
    return { view, isMine };
  }

  /**
   * Into a new matrix, since searches go on in the old one until this is complete. One that fails half-way leaves the old
   * one, or none: what was read so far is never searched.
   */
  async #readWhole(signal: AbortSignal): Promise<MatrixView> {
    const pageRows = rowsPerPage(this.dimensions);
    let matrix: number | undefined;
    let rows = 0;
    let liveRows = 0;
    let fits = true;
    try {
      const filter = { scope: null, liveOnly: false };
      const mark = await readWhole(this.#db, this.key, { filter, pageRows }, async (page) => {
        signal.throwIfAborted();
        this.thread.assertAlive();
        rows += page.length;
        liveRows += page.filter((row) => row.live).length;
        fits = matrixBytes(rows, this.dimensions) <= this.#maxBytes;
        if (!fits) return 'stop';
        matrix ??= this.#open();
        this.thread.apply(matrix, matrixChange(page, this.dimensions));
        return 'continue';
      });
      if (fits) {
        this.close();
        this.#matrix = matrix;
        this.#bytes = matrixBytes(rows, this.dimensions);
        this.#liveRows = liveRows;
        this.#mark = mark;
        matrix = undefined;
        return this.#view();
      }
    } finally {
      if (matrix !== undefined) this.thread.close(matrix);
    }
    return this.#giveUp();
  }

  #open(): number {
    const matrix = this.thread.open(this.dimensions, ({ bytes, liveRows }) => {
      if (matrix !== this.#matrix) return;
      this.#bytes = bytes;
      this.#liveRows = liveRows;
    });
    return matrix;
  }

  #view(): MatrixView {
    return this.#matrix === undefined ? { kind: 'empty' } : { kind: 'ready', matrix: this.#matrix };
  }

  #giveUp(): MatrixView {
    this.close();
    this.#isOversized = true;
    return { kind: 'oversized' };
  }
}

/** Rows without a vector of this length, for whatever reason, are among the removed. */
export function matrixChange(rows: readonly MatrixRow[], dimensions: number): MatrixChange {
  const stride = realArrayByteLength(dimensions);
  const kept = rows.filter((row) => row.bytes?.byteLength === stride);
  const vectors = new Uint8Array(kept.length * stride);
  for (const [at, row] of kept.entries()) if (row.bytes) vectors.set(row.bytes, at * stride);
  return {
    ids: kept.map((row) => row.id),
    scopes: kept.map((row) => scopeKey(row.tags)),
    live: kept.map((row) => row.live),
    vectors,
    removedIds: rows.filter((row) => row.bytes?.byteLength !== stride).map((row) => row.id),
  };
}

export function scopeKey(tags: readonly string[]): string {
  return JSON.stringify(tags);
}
