import { Worker } from 'node:worker_threads';
import { errorMessage } from '../../telemetry/engramd-error.ts';
import { workerUrl } from '../../telemetry/worker-url.ts';
import type { Embedder, EmbeddingModel, EmbedOptions } from '../embedder.ts';
import { type BatchItem, EmbedQueue } from './embed-queue.ts';
import type { EmbedAnswer, EmbedRequest } from './embed-worker.ts';
import { EmbedderCrashedError, EmbedderReleasedError } from './embedder-errors.ts';

/** The universal sentence encoder (lite), English. A change to what it is given or to its answers needs a new id. */
export const localEmbeddingModel: EmbeddingModel = { id: 'local/use-512', dimensions: 512, provider: 'local' };

/**
 * Splitting texts into pieces makes much short-lived garbage. With Node's default young generation the process settled
 * at 430 MB and kept 300 MB after a release; with this one at 270 MB and 165 MB, at the same speed.
 */
const workerLimits = { maxYoungGenerationSizeMb: 8 };

/**
 * The embedder that needs no key, no network and no native addon. The model occupies its thread for as long as it
 * computes, so it lives in a worker thread: started by the first call, one batch at a time, holding the process open
 * only while somebody waits.
 *
 * @param options.workerUrl another thread that speaks the protocol of `embed-worker.ts`.
 */
export function createLocalEmbedder(options: { workerUrl?: URL } = {}): Embedder {
  return new LocalEmbedder(options.workerUrl ?? workerUrl(import.meta.url, './embed-worker'));
}

class LocalEmbedder implements Embedder {
  readonly model = localEmbeddingModel;
  readonly #workerUrl: URL;
  readonly #queue = new EmbedQueue();
  #worker: Worker | null = null;
  #out: { readonly id: number; readonly batch: readonly BatchItem[] } | null = null;
  #lastId = 0;

  constructor(url: URL) {
    this.#workerUrl = url;
  }

  async embed(texts: readonly string[], { purpose, signal }: EmbedOptions): Promise<Float32Array[]> {
    signal?.throwIfAborted();
    if (texts.length === 0) return [];
    const call = this.#queue.add([...texts], purpose);
    const onAbort = () => {
      this.#queue.reject(call, signal?.reason);
      this.#keepProcessAliveWhileAwaited();
    };
    signal?.addEventListener('abort', onAbort, { once: true });
    // Not at once: calls made in the same turn share a batch.
    queueMicrotask(() => this.#sendNext());
    return call.answer.promise.finally(() => signal?.removeEventListener('abort', onAbort));
  }

  async release(): Promise<void> {
    const worker = this.#worker;
    this.#forget(new EmbedderReleasedError());
    await worker?.terminate();
  }

  #sendNext(): void {
    if (this.#out === null) {
      const batch = this.#queue.takeBatch();
      if (batch.length > 0) {
        const request: EmbedRequest = { id: ++this.#lastId, inputs: batch.map((item) => item.input) };
        this.#out = { id: request.id, batch };
        this.#worker ??= this.#start();
        this.#worker.postMessage(request);
      }
    }
    this.#keepProcessAliveWhileAwaited();
  }

  #start(): Worker {
    const worker = new Worker(this.#workerUrl, { name: 'embedder', resourceLimits: workerLimits });
    worker.on('message', (answer: EmbedAnswer) => this.#settle(worker, answer));
    worker.on('error', (cause) => this.#ended(worker, `the embedder's thread failed: ${errorMessage(cause)}`, cause));
    worker.on('exit', (exitCode) => this.#ended(worker, `the embedder's thread exited with code ${exitCode}`));
    return worker;
  }

  #settle(worker: Worker, { id, vectors }: EmbedAnswer): void {
    if (worker !== this.#worker || this.#out?.id !== id) return;
    const { batch } = this.#out;
    this.#out = null;
    const { dimensions } = this.model;
    // Copies, so that one vector that is kept does not keep its whole batch.
    this.#queue.settleBatch(
      batch,
      batch.map((_, at) => vectors.slice(at * dimensions, (at + 1) * dimensions)),
    );
    this.#sendNext();
  }

  #ended(worker: Worker, message: string, cause?: unknown): void {
    // A thread that failed also exits, and a released one exits too: only the current one's first event counts.
    if (worker !== this.#worker) return;
    this.#forget(new EmbedderCrashedError(message, { cause }));
  }

  #forget(reason: Error): void {
    this.#worker = null;
    this.#out = null;
    this.#queue.rejectAll(reason);
  }

  #keepProcessAliveWhileAwaited(): void {
    if (this.#queue.isEmpty) this.#worker?.unref();
    else this.#worker?.ref();
  }
}
