import { once } from 'node:events';
import { readSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { startWatchdog } from '../../../../src/daemon/watchdog/watchdog.ts';
import { createLog } from '../../../../src/telemetry/log.ts';
import { createMetrics } from '../../../../src/telemetry/metrics.ts';
import { type WatchedOptions, watchedTimings } from '../watched-process.ts';

/** As for the first process of a container, the only one that can send itself SIGKILL and live. */
const asFirstProcess = `process.kill = () => true;
import(${JSON.stringify(new URL('../../../../src/daemon/watchdog/watchdog-worker.ts', import.meta.url))});`;

/** A process with a watchdog: answers its socket and does what its parent says. */
const options: WatchedOptions = JSON.parse(process.argv[2] ?? '{}');
const { folder, instanceId, answerAfterMs = 0, isSpared = false, cannotListenAgain = false } = options;
const socketPath = join(folder, 'control.sock');

const answer = (socket: Socket): void => {
  socket.on('error', () => undefined);
  socket.on('data', () => {
    setTimeout(() => socket.write('{"ok":true,"type":"status","status":{"database":"down"}}\n'), answerAfterMs);
  });
};
let isLeaving = false;
let server = createServer(answer).listen(socketPath);
const metrics = createMetrics();
const watchdog = startWatchdog({
  socketPath,
  logPath: join(folder, 'watchdog.log'),
  instanceId,
  notify: null,
  listenAgain: async () => {
    // Who leaves does not listen again, or it would never have left.
    if (cannotListenAgain || isLeaving) throw new Error('not mine to make');
    server.close();
    server = createServer(answer).listen(socketPath);
    await once(server, 'listening');
  },
  log: createLog({ level: 'info', pretty: false }),
  metrics,
  timings: { ...watchedTimings, timeoutMs: options.timeoutMs ?? watchedTimings.timeoutMs },
  ...(isSpared && { startWorker: (given) => new Worker(asFirstProcess, { ...given, eval: true }) }),
});

function spinForEver(): void {
  for (;;) Math.random();
}

/** In native code: nobody writes to it. */
function readForEver(): void {
  readSync(0, Buffer.alloc(1));
}

process.on('message', async (command: string) => {
  switch (command) {
    case 'spin':
      spinForEver();
      return;
    case 'read':
      readForEver();
      return;
    case 'view': {
      const gauge = await metrics.needsOperator.get();
      process.send?.({ ...watchdog.view(), gauge: gauge.values[0]?.value });
      return;
    }
    case 'leave':
      // The watchdog runs on.
      isLeaving = true;
      server.close();
      process.disconnect();
      return;
  }
});
