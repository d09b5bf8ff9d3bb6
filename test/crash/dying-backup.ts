/**
 * Takes a backup and dies at a racepoint. Started with fork(); argument: {@link DyingBackup} as JSON.
 */
import { v7 as uuid } from 'uuid';
import { createBackups } from '../../src/backup/create-backups.ts';
import { createVerifyBackup } from '../../src/backup/verify.ts';
import { createDatabase } from '../../src/db/database.ts';
import { systemClock } from '../../src/telemetry/clock.ts';
import { silentLog } from '../../src/telemetry/log.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import type { RacepointName, Racepoints } from '../../src/telemetry/racepoints.ts';
import { migrations } from '../backup/backup-bench.ts';

export interface DyingBackup {
  readonly connectionString: string;
  readonly directory: string;
  readonly keep: number;
  readonly point: RacepointName;
  /** Of a table; empty: at the first visit. */
  readonly table: string;
}

const [given] = process.argv.slice(2);
if (given === undefined) throw new Error('not to be imported: this is a process of its own');
const { connectionString, directory, keep, point, table } = JSON.parse(given) as DyingBackup;

const racepoints: Racepoints = {
  async reach(name, detail) {
    if (name !== point || (table !== '' && detail?.table !== table)) return;
    process.kill(process.pid, 'SIGKILL');
    // The kernel may take a moment; not one instruction of the backup's runs in it.
    for (;;);
  },
};

const shared = { connectionString, clock: systemClock, log: silentLog, racepoints };
const metrics = createMetrics();
const backups = createBackups({
  ...shared,
  db: createDatabase({ ...shared, poolMax: 1, applicationName: 'engramd-test', metrics }),
  directory,
  keep,
  instanceId: uuid(),
  host: 'here',
  version: '0.0.0',
  metrics,
  newId: uuid,
  verify: createVerifyBackup({ ...shared, migrations: async () => migrations }),
  syncErasures: async () => undefined,
});
await backups.take({
  trigger: 'due',
  force: true,
  signal: new AbortController().signal,
  onProgress: () => undefined,
});
