import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { EngramdError, errorMessage } from '../telemetry/engramd-error.ts';
import { workerUrl } from '../telemetry/worker-url.ts';
import type { Dump, DumpOptions } from './dump.ts';
import { type DumpCommand, type DumpEvent, errorOf } from './dump-servant.ts';

/** The thread of a backup ended before the backup did. */
class BackupThreadError extends EngramdError {
  readonly code = 'BACKUP_THREAD';
  override readonly retryable = true;
}

/**
 * Chunks lie outside the heap and go when it is swept: with 8 MB of young heap in this thread and that of the verification
 * a backup of 10,000 memories stood 98 MB over idle, with 2 MB 81, and was no slower.
 */
const resourceLimits = { maxYoungGenerationSizeMb: 2, maxOldGenerationSizeMb: 64 };

const longestGoodbyeMs = 5000;

/** A {@link Dump} in a thread that lives for as long as that. */
export function openDumpThread(options: DumpOptions): Dump {
  const worker = new Worker(workerUrl(import.meta.url, './dump-worker'), {
    name: 'backup',
    workerData: options,
    resourceLimits,
  });
  const lost = new AbortController();
  let waiting: { readonly resolve: (event: DumpEvent) => void; readonly reject: (error: Error) => void } | undefined;
  let onRows: (rows: number) => void = () => undefined;

  function lose(error: Error): void {
    lost.abort(error);
    waiting?.reject(error);
  }

  worker.on('message', (event: DumpEvent) => {
    switch (event.kind) {
      case 'rows':
        onRows(event.rows);
        return;
      case 'lost':
        // What is under way fails by itself, and says more.
        lost.abort(errorOf(event.failure));
        return;
      case 'failed':
        waiting?.reject(errorOf(event.failure));
        return;
      case 'done':
      case 'locked':
      case 'begun':
      case 'written':
        waiting?.resolve(event);
        return;
      default:
        event satisfies never;
    }
  });
  worker.on('error', (cause) =>
    lose(new BackupThreadError(`the backup thread failed: ${errorMessage(cause)}`, { cause })),
  );
  worker.on('exit', (exitCode) => lose(new BackupThreadError(`the backup thread exited with code ${exitCode}`)));

  async function ask<K extends DumpEvent['kind']>(
    command: DumpCommand,
    expected: K,
  ): Promise<Extract<DumpEvent, { kind: K }>> {
    if (lost.signal.aborted) throw lost.signal.reason;
    const { promise, resolve, reject } = Promise.withResolvers<DumpEvent>();
    waiting = { resolve, reject };
    worker.postMessage(command);
    const event = await promise.finally(() => {
      waiting = undefined;
    });
    if (isOf(event, expected)) return event;
    throw new BackupThreadError(`the backup thread answered ${command.kind} with ${event.kind}`);
  }

  return {
    lost: lost.signal,
    lock: async () => (await ask({ kind: 'lock' }, 'locked')).identity,
    begin: async () => (await ask({ kind: 'begin' }, 'begun')).facts,
    async table(table, folder, report) {
      onRows = report;
      return (await ask({ kind: 'table', table, folder }, 'written')).table;
    },
    async end() {
      await ask({ kind: 'end' }, 'done');
    },
    async close() {
      // The goodbye keeps the server from holding the lock until it notices; it says nothing to who is at work.
      if (waiting === undefined) {
        const goodbye = ask({ kind: 'close' }, 'done').catch(() => undefined);
        await Promise.race([goodbye, sleep(longestGoodbyeMs, undefined, { ref: false })]);
      }
      await worker.terminate();
    },
  };
}

function isOf<K extends DumpEvent['kind']>(event: DumpEvent, kind: K): event is Extract<DumpEvent, { kind: K }> {
  return event.kind === kind;
}
