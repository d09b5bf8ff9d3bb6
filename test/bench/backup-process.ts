import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { v7 as uuidV7 } from 'uuid';
import { createBackups } from '../../src/backup/create-backups.ts';
import { createVerifyBackup } from '../../src/backup/verify.ts';
import { createDatabase } from '../../src/db/database.ts';
import { readMigrations } from '../../src/db/migrate.ts';
import { systemClock } from '../../src/telemetry/clock.ts';
import { silentLog } from '../../src/telemetry/log.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { inertRacepoints } from '../../src/telemetry/racepoints.ts';
import type { BackupMeasured } from './backup-messages.ts';

/** Takes one backup in a process of its own, whose memory is nobody else's. */
const [connectionString = '', folder = '', verifies = ''] = process.argv.slice(2);
const metrics = createMetrics();
const db = createDatabase({
  connectionString,
  poolMax: 2,
  applicationName: 'engramd-bench',
  log: silentLog,
  clock: systemClock,
  metrics,
});
const verify = createVerifyBackup({
  connectionString,
  clock: systemClock,
  log: silentLog,
  racepoints: inertRacepoints,
  migrations: () => readMigrations(fileURLToPath(new URL('../../src/store/migrations', import.meta.url))),
});
const backups = createBackups({
  connectionString,
  db,
  directory: join(folder, 'backups'),
  keep: 1,
  instanceId: uuidV7(),
  host: 'bench',
  clock: systemClock,
  log: silentLog,
  metrics,
  racepoints: inertRacepoints,
  newId: uuidV7,
  version: '0.0.0',
  verify: verifies === 'verify' ? verify : async () => undefined,
  syncErasures: async () => undefined,
});
await db.query('select 1');
const rssMiB = () => process.memoryUsage.rss() / 2 ** 20;
const idleMiB = rssMiB();
let peakMiB = idleMiB;
const timer = setInterval(() => {
  peakMiB = Math.max(peakMiB, rssMiB());
}, 20);
const startedMs = performance.now();
const outcome = await backups.take({
  trigger: 'asked',
  force: true,
  signal: new AbortController().signal,
  onProgress: () => undefined,
});
const seconds = (performance.now() - startedMs) / 1000;
clearInterval(timer);
if (outcome.kind !== 'verified') throw new Error(`the backup came to ${outcome.kind}`);
process.send?.({ seconds, idleMiB, peakMiB, bytes: outcome.backup.bytes } satisfies BackupMeasured);
await db.close();
