/**
 * Takes a snapshot and dies before its commit, or right after it. Started with fork(); arguments: the database, the bank,
 * `before` or `after`.
 */
import { randomUUID } from 'node:crypto';
import { takeSnapshot } from '../../src/backup/snapshots/snapshots.ts';
import { createDatabase } from '../../src/db/database.ts';
import { systemClock } from '../../src/telemetry/clock.ts';
import { silentLog } from '../../src/telemetry/log.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';

const [connectionString, bankId, death] = process.argv.slice(2);
if (connectionString === undefined || bankId === undefined) {
  throw new Error('not to be imported: this is a process of its own');
}

function die(): void {
  process.kill(process.pid, 'SIGKILL');
  // The kernel may take a moment; not one instruction of what comes next runs in it.
  for (;;);
}

const metrics = createMetrics();
const db = createDatabase({
  connectionString,
  poolMax: 1,
  applicationName: 'engramd-test',
  clock: systemClock,
  log: silentLog,
  metrics,
});
const racepoints = {
  reach: async () => {
    if (death === 'before') die();
  },
};
await takeSnapshot({ db, metrics, racepoints, newId: randomUUID, keep: 2 }, { bankId, trigger: 'asked' });
die();
