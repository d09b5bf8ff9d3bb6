/**
 * A process that supervises an embedded server and can be killed. Started with fork(); argument: the data directory.
 * Sends what it started; the message `stop` makes it stop the server and end.
 */
import { startEmbeddedPostgres } from '../../src/db/embedded/embedded-postgres.ts';
import { systemClock } from '../../src/telemetry/clock.ts';
import { errorMessage } from '../../src/telemetry/engramd-error.ts';
import { silentLog } from '../../src/telemetry/log.ts';

export type SupervisorMessage =
  | { readonly kind: 'up'; readonly connectionString: string; readonly adopted: boolean; readonly pid: number }
  | { readonly kind: 'failed'; readonly name: string; readonly message: string };

const send = (message: SupervisorMessage) => process.send?.(message);

try {
  const server = await startEmbeddedPostgres({
    dataDir: process.argv[2] ?? '',
    log: silentLog,
    clock: systemClock,
    extraSettings: { fsync: 'off' },
  });
  const { connectionString, adopted, pid } = server;
  process.once('message', () => {
    server.stop().then(() => process.disconnect());
  });
  send({ kind: 'up', connectionString, adopted, pid });
} catch (thrown) {
  send({ kind: 'failed', name: thrown instanceof Error ? thrown.name : 'unknown', message: errorMessage(thrown) });
  process.disconnect();
}
