import { Worker } from 'node:worker_threads';
import { errorMessage } from '../../telemetry/engramd-error.ts';
import { workerUrl } from '../../telemetry/worker-url.ts';
import type { MatrixChange, MatrixHits, MatrixQuery } from './matrix.ts';
import type { MatrixCommand, MatrixEvent } from './matrix-servant.ts';
import { VectorThreadError } from './vector-errors.ts';
import type { WorkerLike } from './worker-like.ts';

export type StartWorker = () => WorkerLike;

export const startMatrixWorker = (): Worker =>
  new Worker(workerUrl(import.meta.url, './matrix-worker'), { name: 'vectors' });

export interface MatrixSize {
  readonly bytes: number;
  readonly liveRows: number;
}

interface Waiting {
  readonly resolve: (hits: readonly MatrixHits[]) => void;
  readonly reject: (error: Error) => void;
}

/**
 * The thread that holds matrices, seen from outside. It starts with the first matrix and lives once: when it ends, for
 * whatever reason, every search that waits is rejected with a {@link VectorThreadError}, and so is every later one.
 */
export class MatrixThread {
  readonly #startWorker: StartWorker;
  readonly #waiting = new Map<number, Waiting>();
  readonly #onResized = new Map<number, (size: MatrixSize) => void>();
  readonly #onEnd: () => void;
  #worker: WorkerLike | undefined;
  #ended: VectorThreadError | undefined;
  #lastId = 0;

  /** @param onEnd called once, before anybody who waits hears of it. */
  constructor(startWorker: StartWorker, onEnd: () => void) {
    this.#startWorker = startWorker;
    this.#onEnd = onEnd;
  }

  /** Ahead of the first matrix: a thread takes 40 ms to begin. */
  start(): void {
    if (!this.#ended) this.#worker ??= this.#start();
  }

  /**
   * A new, empty matrix.
   *
   * @param onResized hears how large the matrix is after each change and before any search posted after it.
   */
  open(dimensions: number, onResized: (size: MatrixSize) => void): number {
    const matrix = ++this.#lastId;
    this.#onResized.set(matrix, onResized);
    this.#post({ kind: 'open', matrix, dimensions });
    return matrix;
  }

  /** The vectors' buffer moves to the thread. */
  apply(matrix: number, change: MatrixChange): void {
    this.#post({ kind: 'apply', matrix, change }, [change.vectors.buffer]);
  }

  close(matrix: number): void {
    this.#onResized.delete(matrix);
    this.#post({ kind: 'close', matrix });
  }

  search(matrix: number, queries: readonly MatrixQuery[]): Promise<readonly MatrixHits[]> {
    return new Promise((resolve, reject) => {
      if (this.#ended) return reject(this.#ended);
      const search = ++this.#lastId;
      this.#waiting.set(search, { resolve, reject });
      this.#post({ kind: 'search', matrix, search, queries });
      // Keeps the process alive, but only while somebody waits.
      this.#worker?.ref();
    });
  }

  /** @throws VectorThreadError if it has ended: what was posted to it is gone. */
  assertAlive(): void {
    if (this.#ended) throw this.#ended;
  }

  async terminate(): Promise<void> {
    await this.#worker?.terminate();
  }

  #post(command: MatrixCommand, transfer: readonly ArrayBuffer[] = []): void {
    if (this.#ended) return;
    this.#worker ??= this.#start();
    this.#worker.postMessage(command, transfer);
  }

  #start(): WorkerLike {
    const worker = this.#startWorker();
    worker.on('message', (event: MatrixEvent) => this.#hear(event));
    worker.on('error', (cause) => this.#end(`the vector thread failed: ${errorMessage(cause)}`, cause));
    worker.on('exit', (exitCode) => this.#end(`the vector thread exited with code ${exitCode}`));
    worker.unref();
    return worker;
  }

  #hear(event: MatrixEvent): void {
    switch (event.kind) {
      case 'resized':
        this.#onResized.get(event.matrix)?.(event);
        return;
      case 'found':
        this.#take(event.search)?.resolve(event.hits);
        return;
      case 'failed':
        this.#take(event.search)?.reject(new Error(`a vector search failed: ${event.message}`));
        return;
    }
  }

  #take(search: number): Waiting | undefined {
    const waiting = this.#waiting.get(search);
    this.#waiting.delete(search);
    if (this.#waiting.size === 0) this.#worker?.unref();
    return waiting;
  }

  #end(message: string, cause?: unknown): void {
    // A thread that failed also exits.
    if (this.#ended) return;
    this.#ended = new VectorThreadError(message, { cause });
    this.#onEnd();
    for (const { reject } of this.#waiting.values()) reject(this.#ended);
    this.#waiting.clear();
  }
}
