import { randomUUID } from 'node:crypto';
import type { Worker } from 'node:worker_threads';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Database } from '../../../src/db/database.ts';
import { HeldConnectionError } from '../../../src/db/errors.ts';
import {
  createNeighbourLists,
  type NeighbourListsOptions,
} from '../../../src/store/neighbours/create-neighbour-lists.ts';
import type { NeighbourCommand } from '../../../src/store/neighbours/neighbour-servant.ts';
import { startNeighbourWorker } from '../../../src/store/neighbours/neighbour-thread.ts';
import { systemClock } from '../../../src/telemetry/clock.ts';
import { createLog, silentLog } from '../../../src/telemetry/log.ts';
import { createMetrics } from '../../../src/telemetry/metrics.ts';
import { createRaceControl } from '../../support/race-control.ts';
import { settled } from '../../support/settled.ts';
import { createTestDatabase, type TestDatabase } from '../../support/test-database.ts';
import { addBank, addModels, addObservations, dimensions, model, towards } from '../vectors/vector-rows.ts';

let database: TestDatabase;
let db: Database;
beforeAll(async () => {
  database = await createTestDatabase();
  db = database.db;
  await addModels(db);
});
afterAll(() => database.drop());

const { signal } = new AbortController();

function daemon(options: Partial<NeighbourListsOptions> = {}) {
  const metrics = createMetrics();
  const races = createRaceControl();
  const lists = createNeighbourLists({
    db,
    clock: systemClock,
    log: silentLog,
    metrics,
    racepoints: races,
    instanceId: randomUUID(),
    floorOf: () => 0.9,
    ...options,
  });
  return {
    lists,
    races,
    of: (bank: string) => lists.of(bank, model.id, { signal }),
    async built() {
      const { values } = await metrics.builds.get();
      return values.find(({ labels }) => labels.kind === 'neighbours' && labels.outcome === 'built')?.value ?? 0;
    },
  };
}

/** A thread whose question is answered by `onFind` instead, or after it. */
function watched(onFind: (worker: Worker, find: () => void) => void) {
  const workers: Worker[] = [];
  const startWorker = () => {
    const worker = startNeighbourWorker();
    workers.push(worker);
    const post = worker.postMessage.bind(worker);
    worker.postMessage = (command: NeighbourCommand, transfer?: ArrayBuffer[]) => {
      if (command.kind !== 'find') return post(command, transfer ?? []);
      onFind(worker, () => post(command, []));
    };
    return worker;
  };
  return { workers, startWorker };
}

let bank: string;
beforeEach(async () => {
  bank = await addBank(db);
});
const savedRows = async () =>
  (await db.query<{ rows: number }>('select rows from engram.shared_builds where bank_id = $1', [bank])).rows;

describe('what is in them', () => {
  it('each live observation with its nearest of the same scope, from the floor on', async () => {
    const [a = '', b = '', c = '', far = ''] = await addObservations(
      db,
      bank,
      [0, 5, 20, 90].map((degrees) => ({ vector: towards(degrees) })),
    );
    const [x = '', y = ''] = await addObservations(
      db,
      bank,
      [0, 1].map((degrees) => ({ vector: towards(degrees), tags: ['other'] })),
    );
    const found = await daemon().of(bank);
    expect(found).toMatchObject({ rows: 6, isComplete: true });
    expect(found?.ids()).toEqual([a, b, c, far, x, y].sort());
    const near = (id: string) => found?.nearest(id).map((neighbour) => neighbour.id);
    expect([near(a), near(b), near(c), near(far)]).toEqual([[b, c], [a, c], [b, a], []]);
    expect([near(x), near(y)]).toEqual([[y], [x]]);
    expect(found?.nearest(a)[0]?.similarity).toBeCloseTo(Math.cos(Math.PI / 36), 5);
  });

  it('dead rows in the structure and its count: none', async () => {
    const ids = await addObservations(
      db,
      bank,
      Array.from({ length: 15 }, (_, at) => ({ vector: towards(at) })),
    );
    const [folded, superseded, retired, replanned, otherModel] = ids;
    await db.query('update engram.observations set canonical_id = $3 where bank_id = $1 and id = $2', [
      bank,
      folded,
      ids[9],
    ]);
    await db.query('update engram.observations set superseded_by = $3 where bank_id = $1 and id = $2', [
      bank,
      superseded,
      ids[9],
    ]);
    await db.query('update engram.observations set retired_at = now() where bank_id = $1 and id = $2', [bank, retired]);
    await db.query('update engram.observations set needs_replan_at = now() where bank_id = $1 and id = $2', [
      bank,
      replanned,
    ]);
    await db.query("update engram.observations set embedding_model = 'test/other' where bank_id = $1 and id = $2", [
      bank,
      otherModel,
    ]);
    const found = await daemon().of(bank);
    expect(found?.rows).toBe(10);
    expect(found?.ids()).toEqual(ids.slice(5).sort());
    expect(new Set(ids.slice(5).flatMap((id) => found?.nearest(id).map((neighbour) => neighbour.id) ?? []))).toEqual(
      new Set(ids.slice(5)),
    );
    expect(await savedRows()).toEqual([{ rows: 10 }]);
  });

  it('nothing, of a bank without observations; no lists, of a model that was never used or a bank that does not fit', async () => {
    const lines: string[] = [];
    const log = createLog({ level: 'warn', pretty: false, destination: { write: (line: string) => lines.push(line) } });
    const { lists, of } = daemon({ log, maxBytes: 4 * dimensions });
    expect((await of(bank))?.ids()).toEqual([]);
    expect(await lists.of(bank, 'never used', { signal })).toBeNull();
    await addObservations(db, bank, [{ vector: towards(0) }, { vector: towards(1) }]);
    expect([await of(bank), await of(bank)]).toEqual([null, null]);
    expect(lines).toHaveLength(1);
  });
});

describe('a build', () => {
  beforeEach(async () => {
    await addObservations(
      db,
      bank,
      Array.from({ length: 60 }, (_, at) => ({ vector: towards(at) })),
    );
    // A build while others' transactions are under way may not have seen the newest rows, and is repeated.
    await settled(db);
  });

  it('several subsystems computing the same structure at once: one a database, for sixteen callers on two daemons', async () => {
    const [a, b] = [daemon(), daemon()];
    const all = await Promise.all([a, b].flatMap(({ of }) => Array.from({ length: 8 }, () => of(bank))));
    expect(all.map((found) => found?.rows)).toEqual(Array(16).fill(60));
    expect((await a.built()) + (await b.built())).toBe(1);
  });

  it('holds no connection while it computes, and is refused where the caller holds one', async () => {
    const used: number[] = [];
    const { startWorker } = watched((_worker, find) => {
      used.push(db.poolCounts().used);
      find();
    });
    const { lists, of } = daemon({ startWorker });
    const underLease = db.tx({ label: 'holder' }, () => lists.of(bank, model.id, { signal }));
    await expect(underLease).rejects.toThrow(HeldConnectionError);
    await expect(underLease).rejects.toThrow('neighbour lists');
    expect((await of(bank))?.rows).toBe(60);
    expect(used).toEqual([0]);
  });

  it('that is interrupted ends its thread in the middle of it and saves nothing', async () => {
    const interrupt = new AbortController();
    const { workers, startWorker } = watched(() => interrupt.abort(new Error('somebody came back')));
    const { lists } = daemon({ startWorker });
    await expect(lists.of(bank, model.id, { signal: interrupt.signal })).rejects.toThrow('somebody came back');
    await lists.stop();
    expect(workers.map((worker) => worker.threadId)).toEqual([-1]);
    expect(await savedRows()).toEqual([]);
    expect((await daemon().of(bank))?.rows).toBe(60);
  });

  it('whose thread dies is an error and not an empty answer, and the next one works', async () => {
    const dying = watched((worker) => void worker.terminate());
    await expect(daemon({ startWorker: dying.startWorker }).of(bank)).rejects.toMatchObject({
      code: 'NEIGHBOUR_THREAD',
    });
    expect(await savedRows()).toEqual([]);
    expect((await daemon().of(bank))?.rows).toBe(60);
  });

  it('is begun once behind lists with more changed rows than the fuse bears, which are handed out meanwhile', async () => {
    const a = daemon();
    expect((await a.of(bank))?.rows).toBe(60);
    const touch = (rows: number) =>
      db.query(
        `update engram.observations set trust = trust + 1 where bank_id = $1 and id in
           (select id from engram.observations where bank_id = $1 order by id limit $2)`,
        [bank, rows],
      );
    await touch(50);
    const before = await a.of(bank);
    expect(await a.built()).toBe(1);
    await touch(51);
    await settled(db);
    const hold = a.races.hold('build:before-save');
    const stale = await Promise.all([a.of(bank), a.of(bank), a.of(bank)]);
    await hold.reached;
    expect(stale.map((found) => found?.seenXid)).toEqual(Array(3).fill(before?.seenXid));
    hold.release();
    await expect.poll(() => a.built()).toBe(2);
    const fresh = await a.of(bank);
    expect(BigInt(fresh?.seenXid ?? 0)).toBeGreaterThan(BigInt(before?.seenXid ?? 0));
    expect(await a.built()).toBe(2);
    await a.lists.stop();
  });
});
