import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { WorkerMessage, WorkerOrder, WorkerReport, WorkerSettings } from './pool-messages.ts';

const entry = fileURLToPath(new URL('./pool-worker.ts', import.meta.url));

/** The worker in a process of its own, so that its memory and CPU are its own. */
export interface PoolWorker {
  go(): void;
  /** Rejects where the worker ends by itself. */
  readonly failed: Promise<never>;
  stop(): Promise<WorkerReport>;
  kill(): void;
}

/** Resolves once the worker is ready to go. */
export async function startPoolWorker(settings: WorkerSettings): Promise<PoolWorker> {
  const child = fork(entry, [JSON.stringify(settings)], {
    execArgv: [],
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  const failed = once(child, 'exit').then(([code, signal]): never => {
    throw new Error(`the worker of the bench ended (${code ?? signal})`);
  });
  failed.catch(() => undefined);
  const send = (order: WorkerOrder) => void child.send(order);
  async function next<Kind extends WorkerMessage['kind']>(kind: Kind): Promise<Extract<WorkerMessage, { kind: Kind }>> {
    for (;;) {
      const [message] = (await Promise.race([once(child, 'message'), failed])) as [WorkerMessage];
      if (message.kind === kind) return message as Extract<WorkerMessage, { kind: Kind }>;
    }
  }
  await next('ready');
  return {
    go: () => send('go'),
    failed,
    async stop() {
      const stopped = next('stopped');
      send('stop');
      return (await stopped).report;
    },
    kill: () => void child.kill('SIGKILL'),
  };
}
