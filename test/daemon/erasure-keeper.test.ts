import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { v7 as uuid } from 'uuid';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { erasureLogFile, readErasures } from '../../src/backup/erasure-log.ts';
import { loadConfig } from '../../src/config/load-config.ts';
import { type Composition, compose } from '../../src/daemon/compose.ts';
import { createErasureKeeper, type ErasureKeeper, type ErasureKeeperDeps } from '../../src/daemon/erasure-keeper.ts';
import { notifyOfWork } from '../../src/store/due-work.ts';
import { addErasuresDue } from '../../src/store/erasures-due.ts';
import { insertInstance } from '../../src/store/instances.ts';
import { readStoreId } from '../../src/store/store-origin.ts';
import { systemClock } from '../../src/telemetry/clock.ts';
import { silentLog } from '../../src/telemetry/log.ts';
import { createWorkbench, type Workbench } from '../consolidation/workbench.ts';
import { placesOf } from '../curation/curation-bench.ts';
import { startCutProxy } from '../support/cut-proxy.ts';
import { createScratchFolder, removeScratchFolder } from '../support/scratch-folder.ts';

/* What a daemon does about erasures that do not come through itself, from its start to its end. */

let bench: Workbench;
let scratch: string;
let running: Composition[];
beforeEach(async () => {
  bench = await createWorkbench();
  scratch = createScratchFolder();
  running = [];
});
afterEach(async () => {
  await Promise.all(running.map((composition) => composition.stop('test over')));
  await bench.close();
  removeScratchFolder(scratch);
});

const backupsOf = (host: string) => join(scratch, host, 'backups');
const logged = async (host: string) => (await readErasures(backupsOf(host))).erasures.map(({ memoryId }) => memoryId);
const due = (memoryId: string) =>
  addErasuresDue(bench.database.db, [{ bankId: bench.bankId, memoryId, erasedAt: new Date() }]);

async function start(host: string, directUrl = bench.database.connectionString): Promise<Composition> {
  const { config } = loadConfig({
    env: {
      DATABASE_URL: bench.database.connectionString,
      DATABASE_DIRECT_URL: directUrl,
      ENGRAMD_DATA_DIR: join(scratch, host),
      ENGRAMD_HTTP_PORT: '0',
    },
  });
  const { embedder, decider } = bench;
  const composition = await compose({ config, mode: 'daemon', log: silentLog, clock: systemClock, embedder, decider });
  running.push(composition);
  await expect
    .poll(() =>
      bench.rows(
        "select from pg_stat_activity where datname = current_database() and application_name = 'engramd listen'",
      ),
    )
    .toHaveLength(running.length);
  return composition;
}

describe('a daemon that runs', () => {
  test('erases what an import brought back and died over, as soon as it hears of its rows', async () => {
    const [parrot = ''] = await bench.remember('Ana keeps a zanzibar parrot', 'Ben drinks tea');
    await bench.consolidate();
    await start('here');
    await due(parrot);
    await notifyOfWork(bench.database.db, bench.bankId);
    await expect.poll(() => placesOf(bench, 'zanzibar')).toEqual([]);
    await expect.poll(() => bench.rows('select from engram.erasures_due')).toEqual([]);
    await expect.poll(() => logged('here')).toEqual([parrot]);
    const store = await readStoreId(bench.database.db);
    expect((await readErasures(backupsOf('here'))).erasures).toMatchObject([{ store }]);
  });

  test('erases also what it could not hear of while it did not listen, as soon as it listens', async () => {
    const [parrot = ''] = await bench.remember('Ana keeps a zanzibar parrot');
    const proxy = await startCutProxy(bench.database.connectionString);
    try {
      await start('here', proxy.connectionString);
      await proxy.cut();
      await due(parrot);
      await notifyOfWork(bench.database.db, bench.bankId);
      await proxy.mend();
      await expect.poll(() => placesOf(bench, 'zanzibar'), { timeout: 20_000 }).toEqual([]);
      await expect.poll(() => logged('here')).toEqual([parrot]);
    } finally {
      await proxy.close();
    }
  });

  test('has in its log what was forgotten through another one, and each has it once', async () => {
    const [parrot = ''] = await bench.remember('Ana keeps a zanzibar parrot');
    await start('here');
    const there = await start('there');
    const url = `/v1/banks/${bench.bankId}/memories/${parrot}`;
    expect((await there.app.inject({ method: 'DELETE', url })).statusCode).toBeLessThan(300);
    expect(await logged('there')).toEqual([parrot]);
    await expect.poll(() => logged('here')).toEqual([parrot]);
    expect(await logged('there')).toEqual([parrot]);
  });
});

function keeperOf(deps: Pick<ErasureKeeperDeps, 'db' | 'instanceId'> & { readonly backupDir?: string }): ErasureKeeper {
  return createErasureKeeper({
    backupDir: backupsOf('here'),
    clock: systemClock,
    log: silentLog,
    racepoints: bench.races,
    newId: () => uuid(),
    ...deps,
  });
}

describe('the keeper of erasures', () => {
  let keeper: ErasureKeeper;
  let instanceId: string;
  beforeEach(async () => {
    const { db } = bench.database;
    instanceId = uuid();
    await insertInstance(db, { id: instanceId, role: 'daemon', host: 'test', pid: process.pid, version: '0.0.0' });
    keeper = keeperOf({ db, instanceId });
  });
  afterEach(() => keeper.stop());

  const erase = async (memoryId: string) => {
    await bench.rows('insert into engram.erasures (bank_id, memory_id) values ($1, $2)', [bench.bankId, memoryId]);
    return JSON.stringify(['another process', bench.bankId, memoryId]);
  };

  test('notes nothing a second time that it has told others of itself', async () => {
    const [one, two] = [uuid(), uuid()];
    await erase(one);
    await erase(two);
    for (const [from, memoryId] of [
      [instanceId, one],
      [uuid(), two],
    ])
      keeper.heard('engramd_erased', JSON.stringify([from, bench.bankId, memoryId]));
    await keeper.part.release();
    const lines = readFileSync(join(backupsOf('here'), erasureLogFile), 'utf8')
      .trim()
      .split('\n');
    expect(lines.map((line) => JSON.parse(line).memoryId)).toEqual([two]);
  });

  test('asks nothing while it rests, whatever it hears, and catches up on its way up', async () => {
    const [parrot = ''] = await bench.remember('Ana keeps a zanzibar parrot');
    const other = uuid();
    await keeper.part.release();
    await due(parrot);
    const asked = () => bench.races.visits('forget:planned');
    keeper.heard('engramd_work', bench.bankId);
    keeper.heard('engramd_erased', await erase(other));
    keeper.missed();
    await keeper.part.release();
    expect([asked(), await logged('here')]).toEqual([0, []]);
    await keeper.part.restore?.();
    await expect.poll(() => logged('here')).toEqual(expect.arrayContaining([other, parrot]));
    expect(await placesOf(bench, 'zanzibar')).toEqual([]);
  });

  test('notes what it hears by its name, and nothing of what is not there or says nothing', async () => {
    const [one, two] = [uuid(), uuid()];
    await erase(two);
    keeper.heard('engramd_erased', 'hello');
    keeper.heard('engramd_erased', JSON.stringify(['another process', bench.bankId, uuid()]));
    keeper.heard('engramd_erased', await erase(one));
    await keeper.part.release();
    expect(await logged('here')).toEqual([one]);
  });

  test('looks again for whoever asks, at whichever moment of its end that is', async () => {
    for (let ticks = 0; ticks <= 30; ticks += 1) {
      const { db } = bench.database;
      let asked = 0;
      let second: { readonly done: Promise<void>; readonly askedBefore: number } | undefined;
      async function comes(): Promise<void> {
        for (let tick = 0; tick < ticks; tick += 1) await null;
        second = { askedBefore: asked, done: busy.catchUp() };
      }
      const query: typeof db.query = async (...args) => {
        asked += 1;
        const result = await db.query(...args);
        // The last thing that it asks in a pass.
        if (!second && args[0].includes('from engram.erasures\n')) void comes();
        return result as never;
      };
      const busy = keeperOf({ db: { ...db, query }, instanceId });
      await busy.catchUp();
      await expect.poll(() => second).toBeDefined();
      await second?.done;
      expect([ticks, asked > (second?.askedBefore ?? asked)]).toEqual([ticks, true]);
      await busy.stop();
    }
  });

  test('does it once more for whoever asks while it is at it, and throws what keeps it from it', async () => {
    const [parrot = '', tea = ''] = await bench.remember('Ana keeps a zanzibar parrot', 'Ben drinks tea');
    await due(parrot);
    const hold = bench.races.hold('forget:before-commit');
    const first = keeper.catchUp();
    await hold.reached;
    await due(tea);
    const second = keeper.catchUp();
    hold.release();
    await Promise.all([first, second]);
    expect(await bench.rows('select from engram.memories')).toEqual([]);
    expect(await logged('here')).toEqual(expect.arrayContaining([parrot, tea]));

    writeFileSync(join(scratch, 'there'), '');
    const elsewhere = keeperOf({ db: bench.database.db, instanceId: uuid(), backupDir: backupsOf('there') });
    await expect(elsewhere.catchUp()).rejects.toMatchObject({ code: 'BACKUP_STORAGE' });
    await elsewhere.stop();
  });
});
