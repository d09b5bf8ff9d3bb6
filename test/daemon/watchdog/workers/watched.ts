import { execFileSync } from 'node:child_process';
import { openSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { startWatchdog } from '../../../../src/daemon/watchdog/watchdog.ts';
import { createLog } from '../../../../src/telemetry/log.ts';
import { createMetrics } from '../../../../src/telemetry/metrics.ts';
import { watchedTimings } from '../watched-process.ts';

/** A process with a watchdog: answers its socket and does what its parent says. */
const [folder = '', instanceId = '', answerAfterMs = '0'] = process.argv.slice(2);
const socketPath = join(folder, 'control.sock');

const server = createServer((socket) => {
  socket.on('error', () => undefined);
  socket.on('data', () => {
    setTimeout(() => socket.write('{"ok":true,"type":"status","status":{"database":"down"}}\n'), Number(answerAfterMs));
  });
}).listen(socketPath);
const metrics = createMetrics();
const watchdog = startWatchdog({
  socketPath,
  logPath: join(folder, 'watchdog.log'),
  instanceId,
  notify: null,
  log: createLog({ level: 'info', pretty: false }),
  metrics,
  timings: watchedTimings,
});

function spinForEver(): void {
  for (;;) Math.random();
}

/** In native code: nobody opens the other end. */
function waitForWriter(): void {
  const fifo = join(folder, 'fifo');
  execFileSync('mkfifo', [fifo]);
  openSync(fifo, 'r');
}

process.on('message', async (command: string) => {
  switch (command) {
    case 'spin':
      spinForEver();
      return;
    case 'wait':
      waitForWriter();
      return;
    case 'view': {
      const gauge = await metrics.needsOperator.get();
      process.send?.({ ...watchdog.view(), gauge: gauge.values[0]?.value });
      return;
    }
    case 'leave':
      // The watchdog runs on.
      server.close();
      process.disconnect();
      return;
  }
});
