import { Worker } from 'node:worker_threads';
import { EngramdError, errorMessage } from '../../telemetry/engramd-error.ts';
import { workerUrl } from '../../telemetry/worker-url.ts';
import { realArrayByteLength } from '../vectors/vector-bytes.ts';
import type { WorkerLike } from '../vectors/worker-like.ts';
import type { NeighbourRow } from './neighbour-rows.ts';
import type { NeighbourCommand, NeighbourEvent } from './neighbour-servant.ts';

export type StartNeighbourWorker = () => WorkerLike;

export const startNeighbourWorker = (): Worker =>
  new Worker(workerUrl(import.meta.url, './neighbour-worker'), { name: 'neighbours' });

/** The thread that finds neighbours ended before it had. */
class NeighbourThreadError extends EngramdError {
  readonly code = 'NEIGHBOUR_THREAD';
  override readonly retryable = true;
}

/**
 * One set of lists, found in a thread that lives for as long as that takes. Nothing of it is there when the signal has
 * ended it: a thread can be stopped at any instruction.
 *
 * @param pages rows by id.
 * @throws the signal's reason, what the pages threw, or NeighbourThreadError.
 */
export async function findInThread(
  pages: AsyncIterable<readonly NeighbourRow[]>,
  options: {
    readonly dimensions: number;
    readonly floor: number;
    readonly startWorker: StartNeighbourWorker;
    readonly signal: AbortSignal;
  },
): Promise<NeighbourEvent> {
  const { dimensions, floor, signal } = options;
  signal.throwIfAborted();
  const worker = options.startWorker();
  const found = Promise.withResolvers<NeighbourEvent>();
  // It may be over before anybody waits for it.
  found.promise.catch(() => undefined);
  const abort = () => found.reject(signal.reason);
  signal.addEventListener('abort', abort, { once: true });
  worker.on('message', (event: NeighbourEvent) => found.resolve(event));
  worker.on('error', (cause) =>
    found.reject(new NeighbourThreadError(`the neighbour thread failed: ${errorMessage(cause)}`, { cause })),
  );
  worker.on('exit', (exitCode) =>
    found.reject(new NeighbourThreadError(`the neighbour thread exited with code ${exitCode}`)),
  );
  const post = (command: NeighbourCommand, transfer: ArrayBuffer[] = []) => worker.postMessage(command, transfer);
  try {
    post({ kind: 'open', dimensions });
    for await (const page of pages) {
      signal.throwIfAborted();
      const command = appendOf(page, dimensions);
      post(command, [command.vectors.buffer]);
    }
    post({ kind: 'find', floor });
    return await found.promise;
  } finally {
    signal.removeEventListener('abort', abort);
    await worker.terminate();
  }
}

/** Rows with a vector of another length, as somebody may have written by hand, are left out. */
function appendOf(page: readonly NeighbourRow[], dimensions: number) {
  const stride = realArrayByteLength(dimensions);
  const kept = page.filter((row) => row.bytes.byteLength === stride);
  const vectors = new Uint8Array(kept.length * stride);
  for (const [at, row] of kept.entries()) vectors.set(row.bytes, at * stride);
  return {
    kind: 'append' as const,
    ids: kept.map((row) => row.id),
    scopes: kept.map((row) => JSON.stringify(row.tags)),
    vectors,
  };
}
