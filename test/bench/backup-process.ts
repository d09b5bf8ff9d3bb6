import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { v7 as uuidV7 } from 'uuid';
import type { BackupMeasured } from './backup-messages.ts';

type Source<Path extends keyof Sources> = Promise<Sources[Path]>;
interface Sources {
  'backup/create-backups': typeof import('../../src/backup/create-backups.ts');
  'backup/verify': typeof import('../../src/backup/verify.ts');
  'db/database': typeof import('../../src/db/database.ts');
  'db/migrate': typeof import('../../src/db/migrate.ts');
  'telemetry/clock': typeof import('../../src/telemetry/clock.ts');
  'telemetry/log': typeof import('../../src/telemetry/log.ts');
  'telemetry/metrics': typeof import('../../src/telemetry/metrics.ts');
  'telemetry/racepoints': typeof import('../../src/telemetry/racepoints.ts');
}

/** As it is installed: what reads TypeScript takes memory in each thread. */
function built<Path extends keyof Sources>(path: Path): Source<Path> {
  return import(new URL(`../../dist/${path}.js`, import.meta.url).href);
}

const { createBackups } = await built('backup/create-backups');
const { createVerifyBackup } = await built('backup/verify');
const { createDatabase } = await built('db/database');
const { readMigrations } = await built('db/migrate');
const { systemClock } = await built('telemetry/clock');
const { silentLog } = await built('telemetry/log');
const { createMetrics } = await built('telemetry/metrics');
const { inertRacepoints } = await built('telemetry/racepoints');

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
  migrations: () => readMigrations(fileURLToPath(new URL('../../dist/store/migrations', import.meta.url))),
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
