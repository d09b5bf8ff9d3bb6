import type { Worker } from 'node:worker_threads';

/**
 * As much of a worker thread as is used here. A measurement puts something that works on the main thread in its place,
 * to show what that would cost.
 */
export type WorkerLike = Pick<Worker, 'postMessage' | 'on' | 'ref' | 'unref' | 'terminate'>;
