import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { loadConfig } from '../../src/config/load-config.ts';
import { type ComposeOptions, type Composition, compose } from '../../src/daemon/compose.ts';
import { type DirectSession, openDirectSession } from '../../src/db/direct-session.ts';
import { tryHoldStore, whoSharesStore } from '../../src/db/store-lock.ts';
import { emptyQueues } from '../../src/queue/empty-queues.ts';
import { addErasuresDue } from '../../src/store/erasures-due.ts';
import { systemClock } from '../../src/telemetry/clock.ts';
import type { EngramdError } from '../../src/telemetry/engramd-error.ts';
import { silentLog } from '../../src/telemetry/log.ts';
import { restore, takeBackup } from '../backup/backup-bench.ts';
import { createWorkbench, type Workbench } from '../consolidation/workbench.ts';
import { placesOf } from '../curation/curation-bench.ts';
import { type CutProxy, startCutProxy } from '../support/cut-proxy.ts';
import { createScratchFolder, removeScratchFolder } from '../support/scratch-folder.ts';

/** Daemons and commands of this process on the database of a bench, and restores of it. */

let bench: Workbench;
let scratch: string;
/** How daemons come to the connection that listens. */
let direct: CutProxy;
let running: Composition[];
let sessions: DirectSession[];
let fatal: EngramdError[];
beforeEach(async () => {
  bench = await createWorkbench();
  scratch = createScratchFolder();
  direct = await startCutProxy(bench.database.connectionString);
  [running, sessions, fatal] = [[], [], []];
});
afterEach(async () => {
  await Promise.all(running.map((composition) => composition.stop('test over')));
  await Promise.all(sessions.map((session) => session.close()));
  await direct.close();
  await bench.close();
  removeScratchFolder(scratch);
});

async function start(
  mode: ComposeOptions['mode'] = 'daemon',
  more: Partial<ComposeOptions> = {},
): Promise<Composition> {
  const { config } = loadConfig({
    env: {
      DATABASE_URL: bench.database.connectionString,
      DATABASE_DIRECT_URL: direct.connectionString,
      ENGRAMD_DATA_DIR: join(scratch, 'data'),
      ENGRAMD_HTTP_PORT: '0',
    },
  });
  const composition = await compose({
    config,
    mode,
    log: silentLog,
    clock: systemClock,
    embedder: bench.embedder,
    decider: bench.decider,
    onFatal: (error) => fatal.push(error),
    ...more,
  });
  running.push(composition);
  return composition;
}

async function open(): Promise<DirectSession> {
  const { connectionString } = bench.database;
  const session = await openDirectSession({ connectionString, applicationName: 'engramd-test-restore' });
  sessions.push(session);
  return session;
}

const instances = () =>
  bench.rows('select id from engram.instances where stopped_at is null and pid = $1', [process.pid]);

const replace = (backup: Awaited<ReturnType<typeof takeBackup>>) =>
  restore(backup, { connectionString: bench.database.connectionString, replace: true, emptyQueues });

describe('during a restore', () => {
  test('a daemon does not start, exits 4, and leaves no trace', async () => {
    const before = await instances();
    await tryHoldStore(await open());
    await expect(start()).rejects.toMatchObject({ code: 'RESTORE_UNDER_WAY', exitCode: 4, retryable: true });
    expect(await instances()).toEqual(before);
  });

  test('nor does a command', async () => {
    await tryHoldStore(await open());
    await expect(start('cli')).rejects.toMatchObject({ code: 'RESTORE_UNDER_WAY', exitCode: 4 });
  });
});

describe('a daemon', () => {
  test('keeps restores off from before its first look at the store, and for as long as it runs', async () => {
    const [parrot = ''] = await bench.remember('Ana keeps a zanzibar parrot');
    await addErasuresDue(bench.database.db, [{ bankId: bench.bankId, memoryId: parrot, erasedAt: new Date() }]);
    // It has not got as far as to listen.
    const erasing = bench.races.hold('forget:before-commit');
    const starting = start('daemon', { racepoints: bench.races });
    await erasing.reached;
    const session = await open();
    expect(await tryHoldStore(session)).toBe(false);
    expect(await whoSharesStore(session)).toMatchObject([{ applicationName: 'engramd start' }]);
    erasing.release();
    const daemon = await starting;
    await expect
      .poll(() => whoSharesStore(session))
      .toEqual([expect.objectContaining({ applicationName: 'engramd listen' })]);
    expect(await tryHoldStore(session)).toBe(false);
    await daemon.stop('test');
    await expect.poll(() => tryHoldStore(session)).toBe(true);
  });

  test('erases again what came back before it answers anybody', async () => {
    const [parrot = '', tea] = await bench.remember('Ana keeps a zanzibar parrot', 'Ben drinks tea');
    await bench.consolidate();
    await addErasuresDue(bench.database.db, [{ bankId: bench.bankId, memoryId: parrot, erasedAt: new Date() }]);
    const daemon = await start();
    expect(await placesOf(bench, 'zanzibar')).toEqual([]);
    const left = await daemon.app.inject(`/v1/banks/${bench.bankId}/memories`);
    expect(left.json().memories).toMatchObject([{ id: tea }]);
  });

  test('that has lost its share while a batch is at the model applies nothing of it to what was restored, and stops with exit 4', async () => {
    await bench.remember('Ben drinks tea');
    const backup = await takeBackup(bench.database.connectionString, join(scratch, 'backups'));
    const [asked, answered] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const { propose_ } = bench.decider;
    bench.decider.propose_ = async (batch) => {
      asked.resolve();
      await answered.promise;
      return propose_(batch);
    };
    const daemon = await start();
    const requested = await daemon.app.inject({
      method: 'POST',
      url: `/v1/banks/${bench.bankId}/consolidations`,
      payload: {},
    });
    expect(requested.statusCode).toBeLessThan(300);
    await asked.promise;
    // While it has its share, nothing is restored.
    await expect(replace(backup)).rejects.toMatchObject({ code: 'RESTORE_REFUSED', exitCode: 4 });
    await direct.cut();
    const session = await open();
    await expect.poll(() => whoSharesStore(session)).toEqual([]);
    expect((await replace(backup)).jobsDeleted).toBeGreaterThan(0);

    answered.resolve();
    await expect.poll(() => fatal).toMatchObject([{ code: 'STORE_REPLACED', exitCode: 4 }]);
    await daemon.stop('the store was replaced');
    expect(await bench.rows('select text, state, attempts from engram.memories')).toEqual([
      { text: 'Ben drinks tea', state: 'pending', attempts: 0 },
    ]);
    for (const table of ['observations', 'change_sets', 'runs', 'attempts']) {
      expect(await bench.rows(`select from engram.${table}`)).toEqual([]);
    }
    // The jobs that it held are gone, and whoever starts next has what is due.
    bench.decider.propose_ = propose_;
    await direct.mend();
    const next = await start();
    await next.app.inject({ method: 'POST', url: `/v1/banks/${bench.bankId}/consolidations`, payload: {} });
    await expect.poll(() => bench.rows('select text from engram.observations')).toEqual([{ text: 'Ben drinks tea' }]);
    expect(fatal).toHaveLength(1);
  });

  test('that has lost its share and comes back during a restore stops with exit 4', async () => {
    await start();
    const session = await open();
    await expect
      .poll(() => whoSharesStore(session))
      .toEqual([expect.objectContaining({ applicationName: 'engramd listen' })]);
    await direct.cut();
    await expect.poll(() => tryHoldStore(session)).toBe(true);
    await direct.mend();
    await expect.poll(() => fatal).toMatchObject([{ code: 'RESTORE_UNDER_WAY', exitCode: 4 }]);
  });

  test('that has lost its share and comes back after a restore stops with exit 4, although it has written nothing', async () => {
    await bench.remember('Ben drinks tea');
    const backup = await takeBackup(bench.database.connectionString, join(scratch, 'backups'));
    await start();
    const session = await open();
    await direct.cut();
    await expect.poll(() => whoSharesStore(session)).toEqual([]);
    await replace(backup);
    await direct.mend();
    await expect.poll(() => fatal).toMatchObject([{ code: 'STORE_REPLACED', exitCode: 4 }]);
  });
});

describe('where backups cannot be kept', () => {
  test('a daemon starts all the same, and says so', async () => {
    const logged: string[] = [];
    const warn = (_: unknown, message?: string) => void logged.push(message ?? '');
    await bench.rows('insert into engram.erasures (bank_id, memory_id) values ($1, gen_random_uuid())', [bench.bankId]);
    const { config } = loadConfig({
      env: {
        DATABASE_URL: bench.database.connectionString,
        ENGRAMD_DATA_DIR: join(scratch, 'data'),
        ENGRAMD_BACKUP_DIR: '/dev/null/backups',
        ENGRAMD_HTTP_PORT: '0',
      },
    });
    await start('daemon', { config, log: Object.assign(Object.create(silentLog), { warn }) });
    expect(logged).toContainEqual(expect.stringContaining('the log of what was forgotten is not up to date'));
  });
});
