import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { Worker } from 'node:worker_threads';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Database } from '../../../src/db/database.ts';
import { HeldConnectionError } from '../../../src/db/errors.ts';
import type { MatrixCommand } from '../../../src/store/vectors/matrix-servant.ts';
import { startMatrixWorker } from '../../../src/store/vectors/matrix-thread.ts';
import { VectorThreadError } from '../../../src/store/vectors/vector-errors.ts';
import { createTestDatabase, type TestDatabase } from '../../support/test-database.ts';
import { addSmallBank, gated, withIndex } from './exact-parts.ts';
import { addModels, idsOf, queryFor, towards } from './vector-rows.ts';

let database: TestDatabase;
let db: Database;
beforeAll(async () => {
  database = await createTestDatabase();
  db = database.db;
  await addModels(db);
});
afterAll(() => database.drop());

describe('a thread that ends', () => {
  /** Ends the thread instead of searching, so many times. */
  function endingWorkers(times: number) {
    const state = { left: times, started: 0 };
    const startWorker = (): Worker => {
      const worker = startMatrixWorker();
      state.started += 1;
      const post = worker.postMessage.bind(worker);
      worker.postMessage = (command: MatrixCommand, transfer?: ArrayBuffer[]) => {
        if (command.kind !== 'search' || state.left === 0) return post(command, transfer ?? []);
        state.left -= 1;
        void worker.terminate();
      };
      return worker;
    };
    return { state, startWorker };
  }

  it('costs a search that waits for it a second try with a fresh one', async () => {
    const { state, startWorker } = endingWorkers(1);
    await withIndex({ db, startWorker }, async (index) => {
      const { bank, id } = await addSmallBank(db);
      const answers = await Promise.all(Array.from({ length: 16 }, () => idsOf(index, queryFor(bank))));
      expect(answers).toEqual(Array.from({ length: 16 }, () => [id]));
      expect(state.started).toBe(2);
    });
  });

  it('is started ahead of the first search, once, and is the one that it uses', async () => {
    const { state, startWorker } = endingWorkers(0);
    await withIndex({ db, startWorker }, async (index) => {
      index.warm?.();
      index.warm?.();
      expect(state.started).toBe(1);
      const { bank, id } = await addSmallBank(db);
      expect(await idsOf(index, queryFor(bank))).toEqual([id]);
      expect(state.started).toBe(1);
    });
  });

  it('between two searches is not noticed', async () => {
    const workers: Worker[] = [];
    const startWorker = () => {
      const worker = startMatrixWorker();
      workers.push(worker);
      return worker;
    };
    await withIndex({ db, startWorker }, async (index) => {
      const { bank, id } = await addSmallBank(db);
      expect(await idsOf(index, queryFor(bank))).toEqual([id]);
      await workers[0]?.terminate();
      expect(await idsOf(index, queryFor(bank))).toEqual([id]);
      expect(workers).toHaveLength(2);
    });
  });

  it('again and again is an error that may be tried again', async () => {
    const { startWorker } = endingWorkers(Number.POSITIVE_INFINITY);
    await withIndex({ db, startWorker }, async (index) => {
      const { bank } = await addSmallBank(db);
      const search = index.nearest([queryFor(bank)]);
      await expect(search).rejects.toThrow(VectorThreadError);
      await expect(search).rejects.toMatchObject({ code: 'VECTOR_THREAD', retryable: true });
    });
  });
});

describe('a search', () => {
  it('under a held connection is refused, also where another has asked for the read that it would share', async () => {
    const { bank, id } = await addSmallBank(db);
    const gate = gated(db, bank);
    await withIndex({ db: gate.db }, async (index) => {
      expect(await idsOf(index, queryFor(bank))).toEqual([id]);
      const held = gate.hold();
      const running = idsOf(index, queryFor(bank));
      await held;
      const queued = idsOf(index, queryFor(bank));
      const underLease = db.tx({ label: 'holder' }, () => {
        const search = index.nearest([queryFor(bank)]);
        gate.letGo();
        return search;
      });
      await expect(underLease).rejects.toThrow(HeldConnectionError);
      expect(await Promise.all([running, queued])).toEqual([[id], [id]]);
    });
  });

  it('that release meets is finished in the thread it is in, and nothing is left behind', async () => {
    const workers: Worker[] = [];
    const startWorker = () => {
      const worker = startMatrixWorker();
      workers.push(worker);
      return worker;
    };
    const { bank, id } = await addSmallBank(db);
    await withIndex({ db, startWorker }, async (index) => {
      expect(await idsOf(index, queryFor(bank))).toEqual([id]);
      const searches = Array.from({ length: 8 }, () => idsOf(index, queryFor(bank)));
      await index.release();
      expect(await Promise.all(searches)).toEqual(Array.from({ length: 8 }, () => [id]));
      expect(index.cached()).toEqual({ matrices: 0, bytes: 0, liveRows: 0 });
      expect(workers.map((worker) => worker.threadId)).toEqual([-1]);
    });
  });
});

describe('the process', () => {
  it('waits for an answer, and ends with an idle thread', async () => {
    const { bank, id } = await addSmallBank(db);
    const source = new URL('../../../src/', import.meta.url).href;
    const script = `
      import { createDatabase } from '${source}db/database.ts';
      import { createExactIndex } from '${source}store/vectors/exact-index.ts';
      import { systemClock } from '${source}telemetry/clock.ts';
      import { silentLog as log } from '${source}telemetry/log.ts';
      import { createMetrics } from '${source}telemetry/metrics.ts';
      const [connectionString, query] = process.argv.slice(1);
      const options = { poolMax: 1, applicationName: 'child', log, clock: systemClock, metrics: createMetrics() };
      const db = createDatabase({ connectionString, ...options });
      const { vector, ...others } = JSON.parse(query);
      const [hits] = await createExactIndex({ db, log }).nearest([{ ...others, vector: Float32Array.from(vector) }]);
      await db.close();
      console.log(hits[0].id);`;
    const query = JSON.stringify({ ...queryFor(bank), vector: [...towards(0)] });
    const { stdout } = await promisify(execFile)(process.execPath, [
      '--eval',
      script,
      database.connectionString,
      query,
    ]);
    expect(stdout.trim()).toBe(id);
  });
});
