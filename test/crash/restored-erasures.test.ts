import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { nodeFiles } from '../../src/backup/backup-files.ts';
import { markVerified } from '../../src/backup/backup-folder.ts';
import { appendErasures } from '../../src/backup/erasure-log.ts';
import { loadConfig } from '../../src/config/load-config.ts';
import { compose } from '../../src/daemon/compose.ts';
import { readStoreId } from '../../src/store/store-origin.ts';
import { systemClock } from '../../src/telemetry/clock.ts';
import { silentLog } from '../../src/telemetry/log.ts';
import { takeBackup } from '../backup/backup-bench.ts';
import { createWorkbench, type Workbench } from '../consolidation/workbench.ts';
import { placesOf } from '../curation/curation-bench.ts';
import { createScratchFolder, removeScratchFolder } from '../support/scratch-folder.ts';

const entry = new URL('./dying-restore-command.ts', import.meta.url).pathname;

let bench: Workbench;
let scratch: string;
beforeEach(async () => {
  bench = await createWorkbench();
  scratch = createScratchFolder();
});
afterEach(async () => {
  await bench.close();
  removeScratchFolder(scratch);
});

test.each([
  ['between the commit of the restore and the first erasure', 'restore:committed'],
  ['in the middle of an erasure', 'forget:before-commit'],
])(
  'what was forgotten after the backup stays forgotten where the restore is killed %s',
  async (_, point) => {
    const backupDir = join(scratch, 'backups');
    const forgotten = await bench.remember('Ana keeps a zanzibar parrot', 'The zanzibar parrot is green');
    await bench.remember('Ben drinks tea');
    await bench.consolidate();
    const { folder } = await takeBackup(bench.database.connectionString, backupDir);
    await markVerified(nodeFiles, folder, new Date());
    // The database itself was lost with what it knew: the log alone is left.
    const store = await readStoreId(bench.database.db);
    await appendErasures(
      backupDir,
      forgotten.map((memoryId) => ({ bankId: bench.bankId, memoryId, erasedAt: new Date(), store })),
    );
    const settings = {
      DATABASE_URL: bench.database.connectionString,
      ENGRAMD_DATA_DIR: join(scratch, 'data'),
      ENGRAMD_BACKUP_DIR: backupDir,
    };
    const child = fork(entry, [point], { env: { ...process.env, ...settings }, execArgv: [], stdio: 'ignore' });
    expect(await once(child, 'exit')).toEqual([null, 'SIGKILL']);
    expect(await placesOf(bench, 'zanzibar')).toContain('memories.text');

    // The next one that opens the store, whatever for.
    const { config } = loadConfig({ env: settings });
    const { embedder, decider } = bench;
    const next = await compose({ config, mode: 'cli', log: silentLog, clock: systemClock, embedder, decider });
    await next.stop('test over');
    expect(await placesOf(bench, 'zanzibar')).toEqual([]);
    expect(await bench.rows('select text from engram.memories')).toEqual([{ text: 'Ben drinks tea' }]);
    expect(await bench.rows('select from engram.erasures_due')).toEqual([]);
  },
  60_000,
);
