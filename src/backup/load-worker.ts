import { constants, setPriority } from 'node:os';
import { parentPort, workerData } from 'node:worker_threads';
import { openDirectSession } from '../db/direct-session.ts';
import { checkRestored } from './check-restored.ts';
import { failureOf } from './dump-servant.ts';
import type { LoadEvent, LoadTask } from './load-thread.ts';

// As for the worker of a backup: nobody waits for it as one waits for an answer.
if (process.platform === 'linux') setPriority(constants.priority.PRIORITY_BELOW_NORMAL);

const { connectionString, source, migrations } = workerData as LoadTask;
const tell = (event: LoadEvent) => parentPort?.postMessage(event);
const mayCompare = Promise.withResolvers<void>();
// The one word that comes: the other thread stands where its tests hold it.
parentPort?.once('message', () => mayCompare.resolve());

async function carryOut(): Promise<void> {
  const session = await openDirectSession({ connectionString, applicationName: 'engramd verification' });
  try {
    await checkRestored(session, source, {
      migrations,
      // The thread is ended from outside.
      signal: new AbortController().signal,
      onProgress: (progress) => tell({ kind: 'progress', progress }),
      loaded: () => {
        tell({ kind: 'loaded' });
        return mayCompare.promise;
      },
    });
  } finally {
    await session.close().catch(() => undefined);
  }
}

carryOut().then(
  () => tell({ kind: 'verified' }),
  (thrown: unknown) => tell({ kind: 'failed', failure: failureOf(thrown) }),
);
