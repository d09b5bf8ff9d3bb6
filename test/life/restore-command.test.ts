import { writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { v7 as uuid } from 'uuid';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { nodeFiles } from '../../src/backup/backup-files.ts';
import { markVerified } from '../../src/backup/backup-folder.ts';
import { appendErasures, readErasures } from '../../src/backup/erasure-log.ts';
import { addRestore } from '../../src/cli/backup-restore.ts';
import { loadConfig } from '../../src/config/load-config.ts';
import { forget as forgetMemory } from '../../src/curation/forget.ts';
import { compose } from '../../src/daemon/compose.ts';
import { prepareDataDir } from '../../src/daemon/data-dir.ts';
import { acquireInstanceLock } from '../../src/daemon/instance-lock.ts';
import { openErasures } from '../../src/daemon/open-erasures.ts';
import { createDatabase } from '../../src/db/database.ts';
import { openDirectSession } from '../../src/db/direct-session.ts';
import { StoreReplacedError } from '../../src/db/errors.ts';
import { tryShareStore } from '../../src/db/store-lock.ts';
import { insertInstance } from '../../src/store/instances.ts';
import { reserveCall, settleCall } from '../../src/store/model-calls.ts';
import { readStoreEpoch } from '../../src/store/store-epoch.ts';
import { readStoreId } from '../../src/store/store-origin.ts';
import { storeVerdict } from '../../src/store/verdicts.ts';
import { systemClock } from '../../src/telemetry/clock.ts';
import { silentLog } from '../../src/telemetry/log.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import type { Racepoints } from '../../src/telemetry/racepoints.ts';
import { type TakenBackup, takeBackup } from '../backup/backup-bench.ts';
import { runCommand } from '../cli/run-command.ts';
import { createWorkbench, type Workbench } from '../consolidation/workbench.ts';
import { placesOf } from '../curation/curation-bench.ts';
import { createBlankDatabase } from '../db/blank-database.ts';
import { createRaceControl } from '../support/race-control.ts';
import { createScratchFolder, removeScratchFolder } from '../support/scratch-folder.ts';

let bench: Workbench;
let scratch: string;
let backupDir: string;
beforeEach(async () => {
  bench = await createWorkbench();
  scratch = createScratchFolder();
  backupDir = join(scratch, 'backups');
});
afterEach(async () => {
  await bench.close();
  removeScratchFolder(scratch);
});

const secret = 'Ana keeps a zanzibar parrot';

const envOf = (connectionString = bench.database.connectionString) => ({
  DATABASE_URL: connectionString,
  ENGRAMD_DATA_DIR: join(scratch, 'data'),
  ENGRAMD_BACKUP_DIR: backupDir,
});

function restore(
  args: readonly string[],
  options: { readonly racepoints?: Racepoints; readonly connectionString?: string; readonly directUrl?: string } = {},
) {
  return runCommand(
    (program, context) =>
      addRestore(program.command('backup'), context, options.racepoints ? { racepoints: options.racepoints } : {}),
    ['backup', 'restore', ...args],
    {
      clock: systemClock,
      env: {
        ...envOf(options.connectionString),
        ...(options.directUrl !== undefined && { DATABASE_DIRECT_URL: options.directUrl }),
      },
    },
  );
}

/** As a daemon does. */
async function forget(memoryId: string): Promise<void> {
  const { db } = bench.database;
  const instanceId = uuid();
  await insertInstance(db, { id: instanceId, role: 'daemon', host: 'test', pid: process.pid, version: '0.0.0' });
  const deps = { db, instanceId, clock: systemClock, racepoints: bench.races, newId: () => uuid() };
  const { onForgotten } = await openErasures({ ...deps, mode: 'daemon', backupDir, log: silentLog });
  const { signal } = new AbortController();
  const hint = async () => undefined;
  await forgetMemory({ ...deps, hint, onForgotten }, { bankId: bench.bankId, memoryId, signal });
}

async function verifiedBackup(connectionString = bench.database.connectionString): Promise<TakenBackup> {
  const backup = await takeBackup(connectionString, backupDir);
  await markVerified(nodeFiles, backup.folder, new Date());
  return backup;
}

/** Whatever a model may have said about a memory, as it is kept. */
async function saidOf(memoryId: string): Promise<void> {
  const { db } = bench.database;
  const call = { id: uuid(), requestHash: Buffer.from(memoryId) };
  await reserveCall(
    db,
    bench.bankId,
    {
      ...call,
      day: '2026-03-01',
      instanceId: uuid(),
      endpoint: 'http://model/v1',
      model: 'm',
      purpose: 'consolidate',
      memories: 1,
      promptBytes: 10,
      most: { nanoUsd: 1, tokens: 1, unpricedTokens: 0 },
      probeId: null,
    },
    { nanoUsd: 1e9, tokens: null, unpricedTokens: 1 },
  );
  await settleCall(db, bench.bankId, {
    ...call,
    outcome: 'ok',
    latencyMs: 1,
    spent: { nanoUsd: 1, tokens: 1, unpricedTokens: 0 },
    usage: null,
    answerJson: '"about the zanzibar parrot"',
    subjectIds: [memoryId],
  });
  await db.tx({ label: 'test' }, (tx) =>
    storeVerdict(tx, bench.bankId, {
      key: Buffer.from(memoryId),
      subjectIds: [memoryId],
      verdict: 'different',
      reason: 'one has a zanzibar parrot',
    }),
  );
}

const texts = async (sql = 'select text from engram.memories order by text') =>
  (await bench.rows<{ text: string }>(sql)).map(({ text }) => text);

describe('what was forgotten after the backup', () => {
  test('stays forgotten after its restore: in memories, observations, history, answers and verdicts', async () => {
    const [parrot = ''] = await bench.remember(secret, 'Ben drinks tea');
    await bench.consolidate();
    await saidOf(parrot);
    const { folder } = await verifiedBackup();
    const before = await placesOf(bench, 'zanzibar');
    expect(before).toEqual(
      expect.arrayContaining([
        'memories.text',
        'observations.text',
        'change_ops.after',
        'model_answers.answer',
        'verdicts.reason',
      ]),
    );
    await forget(parrot);
    expect((await readErasures(backupDir)).erasures).toMatchObject([{ bankId: bench.bankId, memoryId: parrot }]);
    await bench.remember('Cy came after the backup');

    const run = await restore(['--replace', '--json']);
    expect(run.error).toBeUndefined();
    expect(JSON.parse(run.stdout)).toMatchObject({
      backup: folder,
      replaced: { memories: 2 },
      erased_again: 1,
      epoch: 2,
    });
    expect(await placesOf(bench, 'zanzibar')).toEqual([]);
    expect(await texts()).toEqual(['Ben drinks tea']);
    expect(await texts('select text from engram.observations')).toEqual(['Ben drinks tea']);
    expect(await bench.rows('select from engram.erasures_due')).toEqual([]);
  });

  test('stays forgotten in another database, which knows of it by the log alone', async () => {
    const [parrot = ''] = await bench.remember(secret, 'Ben drinks tea');
    await bench.consolidate();
    const { folder } = await verifiedBackup();
    await forget(parrot);
    const blank = await createBlankDatabase();
    try {
      const run = await restore([folder], { connectionString: blank.connectionString });
      expect(run.error).toBeUndefined();
      expect(run.stdout).toContain('erased again what had been forgotten since: 1 memories');
      const { rows } = await blank
        .open()
        .query<{ text: string }>('select text from engram.memories union all select text from engram.observations');
      expect(rows.map(({ text }) => text)).toEqual(['Ben drinks tea', 'Ben drinks tea']);
    } finally {
      await blank.drop();
    }
  });

  test('in another database that shares the log is not forgotten here, unless this one forgot it too', async () => {
    const [parrot = ''] = await bench.remember(secret, 'Ben drinks tea');
    await verifiedBackup();
    const store = await readStoreId(bench.database.db);
    const erasure = { bankId: bench.bankId, memoryId: parrot, erasedAt: new Date() };
    await appendErasures(backupDir, [{ ...erasure, store: uuid() }]);
    const run = await restore(['--replace', '--json']);
    expect(JSON.parse(run.stdout)).toMatchObject({ erased_again: 0 });
    expect(await texts()).toEqual([secret, 'Ben drinks tea']);

    await appendErasures(backupDir, [{ ...erasure, store }]);
    expect(JSON.parse((await restore(['--replace', '--json'])).stdout)).toMatchObject({ erased_again: 1 });
    expect(await texts()).toEqual(['Ben drinks tea']);
  });

  test('stays forgotten where a backup of another store takes its place, which the log alone knows of', async () => {
    const [parrot = ''] = await bench.remember(secret);
    const { folder } = await verifiedBackup();
    const own = uuid();
    await bench.rows('update engram.store set id = $1', [own]);
    await appendErasures(backupDir, [{ bankId: bench.bankId, memoryId: parrot, erasedAt: new Date(), store: own }]);
    expect((await restore([folder, '--replace'])).error).toBeUndefined();
    expect(await placesOf(bench, 'zanzibar')).toEqual([]);
  });

  test('stays forgotten where the line that says so is older than the stores in lines', async () => {
    const [parrot = ''] = await bench.remember(secret);
    await verifiedBackup();
    const erasure = { bankId: bench.bankId, memoryId: parrot, erasedAt: new Date(), store: null };
    await appendErasures(backupDir, [erasure]);
    expect((await restore(['--replace'])).error).toBeUndefined();
    expect(await placesOf(bench, 'zanzibar')).toEqual([]);
  });

  test('stays forgotten where the log could not be written: the database itself knows', async () => {
    const [parrot = ''] = await bench.remember(secret);
    const { folder } = await verifiedBackup();
    writeFileSync(join(scratch, 'no-folder'), '');
    backupDir = join(scratch, 'no-folder');
    await forget(parrot);
    backupDir = join(scratch, 'backups');
    expect((await restore([folder, '--replace'])).error).toBeUndefined();
    expect(await placesOf(bench, 'zanzibar')).toEqual([]);
  });

  test('is erased by whoever opens the store next, where the restore ends before it has erased anything', async () => {
    const [parrot = ''] = await bench.remember(secret, 'Ben drinks tea');
    await bench.consolidate();
    await verifiedBackup();
    await forget(parrot);
    const racepoints = createRaceControl();
    racepoints.at('restore:committed', () => {
      throw new Error('the power went');
    });
    expect((await restore(['--replace'], { racepoints })).error).toMatchObject({ message: 'the power went' });
    expect(await placesOf(bench, 'zanzibar')).toContain('memories.text');
    const { config } = loadConfig({ env: envOf() });
    const { embedder, decider } = bench;
    const next = await compose({ config, mode: 'cli', log: silentLog, clock: systemClock, embedder, decider });
    await next.stop('test over');
    expect(await placesOf(bench, 'zanzibar')).toEqual([]);
  });
});

describe('a restore', () => {
  test('onto the database of a daemon that lives is refused with exit 4 and names it, and changes nothing', async () => {
    await bench.remember('Ben drinks tea');
    await verifiedBackup();
    await bench.remember('Cy came after the backup');
    const { connectionString } = bench.database;
    const daemon = await openDirectSession({ connectionString, applicationName: 'engramd listen' });
    try {
      await tryShareStore(daemon);
      const { error } = await restore(['--replace']);
      expect(error).toMatchObject({ code: 'RESTORE_REFUSED', exitCode: 4 });
      expect(String(error)).toMatch(/engramd listen from .*backend \d+.*Stop every engramd/);
    } finally {
      await daemon.close();
    }
    expect(await texts()).toEqual(['Ben drinks tea', 'Cy came after the backup']);
  });

  test('of the embedded database of a daemon that lives is refused with exit 4 and says to stop it', async () => {
    await verifiedBackup();
    const { DATABASE_URL: _, ...env } = envOf();
    const dataDir = prepareDataDir(env.ENGRAMD_DATA_DIR);
    const lock = await acquireInstanceLock({ dataDir, role: 'daemon', waitMs: 0, clock: systemClock });
    try {
      const { error } = await runCommand(
        (program, context) => addRestore(program.command('backup'), context),
        ['backup', 'restore'],
        { clock: systemClock, env },
      );
      expect(error).toMatchObject({ code: 'RESTORE_REFUSED', exitCode: 4 });
      expect(String(error)).toMatch(/in use by another engramd: role daemon, pid \d+.*Stop it first/);
    } finally {
      await lock.release();
    }
  });

  test('onto memories needs --replace, and says how many there are', async () => {
    await bench.remember('Ben drinks tea');
    await verifiedBackup();
    const { error } = await restore([]);
    expect(error).toMatchObject({ code: 'RESTORE_REFUSED', exitCode: 4 });
    expect(String(error)).toMatch(/holds 1 memory in 1 bank.*--replace/);
  });

  test('takes the newest backup that was verified, and none that was not unless it is named', async () => {
    await bench.remember('Ben drinks tea');
    expect(String((await restore(['--replace'])).error)).toMatch(/there is no backup in .*ENGRAMD_BACKUP_DIR/);
    const taken = await takeBackup(bench.database.connectionString, backupDir);
    expect(String((await restore(['--replace'])).error)).toMatch(/was ever restored and compared.*backup verify/);
    expect(String((await restore(['2020-01-01T00-00-00Z-00000000', '--replace'])).error)).toMatch(
      /there is no backup 2020/,
    );
    const named = await restore([basename(taken.folder), '--replace']);
    expect([named.error, named.stdout]).toEqual([
      undefined,
      expect.stringMatching(/restored the database as it was at .*: 1 memories/),
    ]);
  });

  test('takes that of its own database where several have theirs; one that holds nothing has to be told', async () => {
    const { db } = bench.database;
    const own = await readStoreId(db);
    await bench.remember('Ben drinks tea');
    const first = await verifiedBackup();
    await db.query('update engram.store set id = gen_random_uuid()');
    await bench.remember('Cy sails');
    const second = await verifiedBackup();
    expect((await restore(['--replace'])).error).toBeUndefined();
    expect(await texts()).toEqual(['Ben drinks tea', 'Cy sails']);
    await db.query('update engram.store set id = $1', [own]);
    expect((await restore(['--replace'])).error).toBeUndefined();
    expect(await texts()).toEqual(['Ben drinks tea']);

    const blank = await createBlankDatabase();
    try {
      const untold = String((await restore([], blank)).error);
      expect(untold).toContain(basename(first.folder));
      expect(untold).toContain(basename(second.folder));
      expect((await restore([basename(second.folder)], blank)).error).toBeUndefined();
    } finally {
      await blank.drop();
    }
  });

  test('into another database makes it a second one: each takes what was taken of itself, one with neither is told both', async () => {
    await bench.remember('Ben drinks tea');
    const ours = await verifiedBackup();
    const drill = await createBlankDatabase();
    const blank = await createBlankDatabase();
    try {
      expect((await restore([], drill)).error).toBeUndefined();
      const untold = String((await restore(['--replace'], drill)).error);
      expect(untold).toContain('is of this database');
      expect(untold).toContain(basename(ours.folder));
      await drill.admin((admin) => admin.query(`insert into engram.banks (id) values ('junk')`));
      const theirs = await verifiedBackup(drill.connectionString);

      expect((await restore(['--replace'])).stdout).toContain(ours.folder);
      expect((await restore(['--replace'], drill)).stdout).toContain(theirs.folder);
      expect((await restore([basename(ours.folder), '--replace'], drill)).stdout).toContain(ours.folder);

      const both = String((await restore([], blank)).error);
      expect(both).toContain(basename(ours.folder));
      expect(both).toContain(basename(theirs.folder));
      expect((await restore([basename(ours.folder)], blank)).error).toBeUndefined();
    } finally {
      await drill.drop();
      await blank.drop();
    }
  });

  test('is refused where DATABASE_DIRECT_URL leads to another database than DATABASE_URL, and changes neither', async () => {
    await bench.remember('Ben drinks tea');
    await verifiedBackup();
    const blank = await createBlankDatabase();
    try {
      const { error } = await restore(['--replace'], { directUrl: blank.connectionString });
      expect(error).toMatchObject({ code: 'BACKUP_ELSEWHERE', exitCode: 2 });
      expect(await texts()).toEqual(['Ben drinks tea']);
      const schemas = await blank.admin((admin) => admin.query(`select to_regnamespace('engram') as engram`));
      expect(schemas.rows).toEqual([{ engram: null }]);
    } finally {
      await blank.drop();
    }
  });

  test('takes jobs away that are about rows which are gone, and has others made of what is due', async () => {
    await bench.remember('Ben drinks tea');
    await verifiedBackup();
    // The first one leaves a queue behind it.
    expect((await restore(['--replace'])).error).toBeUndefined();
    const jobs = () =>
      bench.rows<{ id: string; name: string; state: string }>('select id, name, state from pgboss.job order by name');
    const placed = await jobs();
    expect(placed).toContainEqual(expect.objectContaining({ name: 'consolidate', state: 'created' }));
    await bench.rows(`update pgboss.job set state = 'active', started_on = now() where name = 'consolidate'`);
    const run = await restore(['--replace', '--json']);
    expect(JSON.parse(run.stdout)).toMatchObject({ jobs_deleted: placed.length });
    const now = await jobs();
    expect(now).toContainEqual(expect.objectContaining({ name: 'consolidate', state: 'created' }));
    expect(now.filter(({ id }) => placed.some((old) => old.id === id))).toEqual([]);
  });

  test('while a command writes waits for what it has begun, and lets it write nothing after that', async () => {
    await bench.remember('Ben drinks tea');
    await verifiedBackup();
    const writer = createDatabase({
      connectionString: bench.database.connectionString,
      poolMax: 2,
      applicationName: 'engramd cli',
      log: silentLog,
      clock: systemClock,
      metrics: createMetrics(),
    });
    try {
      writer.pinStore(await readStoreEpoch(writer), () => undefined);
      const add = `insert into engram.memories (bank_id, id, text) values ('${bench.bankId}', gen_random_uuid(), $1)`;
      const [begun, waitedFor] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
      const writing = writer.tx({ label: 'test' }, async (tx) => {
        begun.resolve();
        await waitedFor.promise;
        await tx.query(add, ['written before']);
      });
      await begun.promise;
      const restoring = restore(['--replace', '--json']);
      await expect
        .poll(() => bench.rows(`select from pg_locks where not granted and relation = 'engram.store'::regclass`))
        .not.toEqual([]);
      const late = expect(writer.tx({ label: 'test' }, (tx) => tx.query(add, ['written after']))).rejects.toThrow(
        StoreReplacedError,
      );
      waitedFor.resolve();
      await writing;
      await late;
      const run = await restoring;
      expect(run.error).toBeUndefined();
      // It waited: what was written before is among what it replaced.
      expect(JSON.parse(run.stdout)).toMatchObject({ replaced: { banks: 1 } });
      expect(await texts()).toEqual(['Ben drinks tea']);
    } finally {
      await writer.close();
    }
  });
});
