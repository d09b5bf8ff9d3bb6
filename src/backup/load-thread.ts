import { Worker } from 'node:worker_threads';
import type { Migration } from '../db/migrate.ts';
import { EngramdError, errorMessage } from '../telemetry/engramd-error.ts';
import { workerUrl } from '../telemetry/worker-url.ts';
import type { BackupProgress, OnProgress } from './backup-store.ts';
import { errorOf, type Failure } from './dump-servant.ts';
import type { BackupSource } from './table-files.ts';

/** What the thread is to do: restore into this database, which is there for nothing else, and compare. */
export interface LoadTask {
  readonly connectionString: string;
  readonly source: BackupSource;
  readonly migrations: readonly Migration[];
}

/** `loaded` waits for one word before it goes on; `verified` and `failed` are the last. */
export type LoadEvent =
  | { readonly kind: 'progress'; readonly progress: BackupProgress }
  | { readonly kind: 'loaded' }
  | { readonly kind: 'verified' }
  | { readonly kind: 'failed'; readonly failure: Failure };

/** The thread of a verification ended before the verification did. */
class VerificationThreadError extends EngramdError {
  readonly code = 'VERIFICATION_THREAD';
  override readonly retryable = true;
}

/** As for the thread of a backup. */
const resourceLimits = { maxYoungGenerationSizeMb: 2, maxOldGenerationSizeMb: 64 };

/**
 * Carries out a verification in a thread of its own, and ends it with the signal at whatever instruction: the database
 * that it works in is thrown away.
 *
 * @throws BackupDamagedError, BackupUnverifiedError, BackupNewerError, errors of the server, the reason of the signal
 */
export async function checkInThread(
  task: LoadTask,
  options: {
    readonly signal: AbortSignal;
    readonly onProgress: OnProgress;
    readonly loaded: () => Promise<void>;
  },
): Promise<void> {
  const { signal } = options;
  signal.throwIfAborted();
  const worker = new Worker(workerUrl(import.meta.url, './load-worker'), {
    name: 'verification',
    workerData: task,
    resourceLimits,
  });
  const { promise: ended, resolve, reject } = Promise.withResolvers<void>();
  const abort = () => reject(signal.reason);
  signal.addEventListener('abort', abort, { once: true });
  worker.on('message', (event: LoadEvent) => {
    switch (event.kind) {
      case 'progress':
        options.onProgress(event.progress);
        return;
      case 'loaded':
        options.loaded().then(() => worker.postMessage('compare'), reject);
        return;
      case 'verified':
        resolve();
        return;
      case 'failed':
        reject(errorOf(event.failure));
        return;
      default:
        event satisfies never;
    }
  });
  worker.on('error', (cause) =>
    reject(new VerificationThreadError(`the thread of a verification failed: ${errorMessage(cause)}`, { cause })),
  );
  worker.on('exit', (exitCode) =>
    reject(new VerificationThreadError(`the thread of a verification exited with code ${exitCode}`)),
  );
  try {
    await ended;
  } finally {
    signal.removeEventListener('abort', abort);
    await worker.terminate();
  }
}
