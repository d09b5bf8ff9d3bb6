import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { Worker } from 'node:worker_threads';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createDatabase, type Database } from '../../../src/db/database.ts';
import { HeldConnectionError } from '../../../src/db/errors.ts';
import { createExactIndex, type ExactIndex, type ExactIndexOptions } from '../../../src/store/vectors/exact-index.ts';
import { startMatrixWorker } from '../../../src/store/vectors/matrix-thread.ts';
import type { MatrixCommand } from '../../../src/store/vectors/matrix-worker.ts';
import { VectorThreadError } from '../../../src/store/vectors/vector-errors.ts';
import type { VectorQuery } from '../../../src/store/vectors/vector-index.ts';
import { pruneVectorTombstones } from '../../../src/store/vectors/vector-tombstones.ts';
import { systemClock } from '../../../src/telemetry/clock.ts';
import { createLog, silentLog } from '../../../src/telemetry/log.ts';
import { createMetrics } from '../../../src/telemetry/metrics.ts';
import { createTestDatabase, type TestDatabase } from '../../support/test-database.ts';
import { addBank, addModels, addObservations, queryFor, towards } from './vector-rows.ts';

const kibibyte = 1024;

let database: TestDatabase;
let db: Database;
beforeAll(async () => {
  database = await createTestDatabase();
  db = database.db;
  await addModels(db);
});
afterAll(() => database.drop());

async function withIndex(
  options: Partial<ExactIndexOptions>,
  work: (index: ExactIndex) => Promise<void>,
): Promise<void> {
  const index = createExactIndex({ db, log: silentLog, ...options });
  try {
    await work(index);
  } finally {
    await index.release();
  }
}

async function idsOf(index: ExactIndex, query: VectorQuery): Promise<string[]> {
  const [hits = []] = await index.nearest([query]);
  return hits.map((hit) => hit.id);
}

/** Counts what goes to the database. */
function counted(inner: Database): Database & { queries: number; wholeReads: number } {
  const counting = {
    ...inner,
    queries: 0,
    wholeReads: 0,
    query: ((text, values) => {
      counting.queries += 1;
      return inner.query(text, values);
    }) as Database['query'],
    tx: ((options, work) => {
      counting.wholeReads += 1;
      return inner.tx(options, work);
    }) as Database['tx'],
  };
  return counting;
}

/** A database whose statements about one bank wait from `hold` until `letGo`. */
function gated(bank: string) {
  let gate: { asked: PromiseWithResolvers<void>; opened: PromiseWithResolvers<void> } | undefined;
  const query: Database['query'] = async (text, values) => {
    if (gate && values?.[0] === bank) {
      gate.asked.resolve();
      await gate.opened.promise;
    }
    return db.query(text, values);
  };
  return {
    db: { ...db, query },
    /** Resolves when a statement waits. */
    hold() {
      gate = { asked: Promise.withResolvers(), opened: Promise.withResolvers() };
      return gate.asked.promise;
    },
    letGo() {
      gate?.opened.resolve();
      gate = undefined;
    },
  };
}

/** A bank with one row, whose matrix occupies one block of 256 KiB. */
async function addSmallBank(): Promise<{ bank: string; id: string }> {
  const bank = await addBank(db);
  const [id = ''] = await addObservations(db, bank, [{ vector: towards(0) }]);
  return { bank, id };
}

describe('what it costs', () => {
  it('is one statement while nothing changes', async () => {
    const counting = counted(db);
    await withIndex({ db: counting }, async (index) => {
      const { bank, id } = await addSmallBank();
      await index.nearest([queryFor(bank)]);
      const before = counting.queries;
      expect(await index.nearest([queryFor(bank), queryFor(bank), queryFor(bank)])).toHaveLength(3);
      expect(await idsOf(index, queryFor(bank))).toEqual([id]);
      expect(counting).toMatchObject({ queries: before + 2, wholeReads: 1 });
    });
  });

  it('is neither a thread nor memory for a bank without vectors', async () => {
    let threads = 0;
    const startWorker = () => {
      threads += 1;
      return startMatrixWorker();
    };
    await withIndex({ startWorker }, async (index) => {
      const bank = await addBank(db);
      expect(await idsOf(index, queryFor(bank))).toEqual([]);
      expect(await idsOf(index, queryFor(bank))).toEqual([]);
      expect(threads).toBe(0);
      expect(index.cached()).toEqual({ matrices: 1, bytes: 0 });
      const [first] = await addObservations(db, bank, [{ vector: towards(0) }]);
      expect(await idsOf(index, queryFor(bank))).toEqual([first]);
      expect(threads).toBe(1);
    });
  });

  it('is one read for all who ask for a cold matrix together, and one more for those who ask meanwhile', async () => {
    const counting = counted(db);
    await withIndex({ db: counting }, async (index) => {
      const { bank, id } = await addSmallBank();
      const answers = await Promise.all(Array.from({ length: 50 }, () => idsOf(index, queryFor(bank))));
      expect(answers).toEqual(Array.from({ length: 50 }, () => [id]));
      expect(counting.wholeReads).toBe(1);
    });
  });
});

describe('what is kept', () => {
  it('is the most recently used, within maxBytes', async () => {
    const counting = counted(db);
    const metrics = createMetrics();
    await withIndex({ db: counting, maxBytes: 600 * kibibyte, metrics }, async (index) => {
      const [a, b, c] = [await addSmallBank(), await addSmallBank(), await addSmallBank()];
      for (const { bank, id } of [a, b, a, c]) expect(await idsOf(index, queryFor(bank))).toEqual([id]);
      expect(index.cached().matrices).toBe(2);
      expect(index.cached().bytes).toBeLessThanOrEqual(600 * kibibyte);
      expect((await metrics.vectorCacheBytes.get()).values[0]?.value).toBe(index.cached().bytes);
      expect(counting.wholeReads).toBe(3);
      expect(await idsOf(index, queryFor(a.bank))).toEqual([a.id]);
      expect(counting.wholeReads).toBe(3);
      expect(await idsOf(index, queryFor(b.bank))).toEqual([b.id]);
      expect(counting.wholeReads).toBe(4);
      await index.release();
      expect(index.cached()).toEqual({ matrices: 0, bytes: 0 });
      expect((await metrics.vectorCacheBytes.get()).values[0]?.value).toBe(0);
    });
  });

  it('stays right while many banks push each other out', async () => {
    await withIndex({ maxBytes: 300 * kibibyte }, async (index) => {
      const banks = await Promise.all(Array.from({ length: 6 }, () => addSmallBank()));
      const asked = Array.from({ length: 60 }, (_, at) => banks[at % banks.length] ?? { bank: '', id: '' });
      expect(await Promise.all(asked.map(({ bank }) => idsOf(index, queryFor(bank))))).toEqual(
        asked.map(({ id }) => [id]),
      );
      expect(index.cached().bytes).toBeLessThanOrEqual(300 * kibibyte);
    });
  });

  it('is not pushed out while a search brings it up to date', async () => {
    const [a, b] = [await addSmallBank(), await addSmallBank()];
    const gate = gated(a.bank);
    await withIndex({ db: gate.db, maxBytes: 300 * kibibyte }, async (index) => {
      expect(await idsOf(index, queryFor(a.bank))).toEqual([a.id]);
      const held = gate.hold();
      const search = idsOf(index, queryFor(a.bank));
      await held;
      expect(await idsOf(index, queryFor(b.bank))).toEqual([b.id]);
      gate.letGo();
      expect(await search).toEqual([a.id]);
    });
  });

  it('is nothing of a bank that alone is too large, until it has shrunk; said once', async () => {
    const lines: string[] = [];
    const log = createLog({ level: 'warn', pretty: false, destination: { write: (line: string) => lines.push(line) } });
    await withIndex({ maxBytes: 400 * kibibyte, log }, async (index) => {
      const { bank, id } = await addSmallBank();
      expect(await idsOf(index, queryFor(bank))).toEqual([id]);
      expect(index.cached().bytes).toBeGreaterThan(0);
      const many = Array.from({ length: 5000 }, () => ({ vector: towards(90), tags: ['many'] }));
      await addObservations(db, bank, many);
      expect(await idsOf(index, queryFor(bank, { limit: 1 }))).toEqual([id]);
      expect(index.cached().bytes).toBe(0);
      expect(await idsOf(index, queryFor(bank, { limit: 3, scope: [] }))).toEqual([id]);
      expect(await idsOf(index, queryFor(bank, { limit: 3, scope: ['many'], vector: towards(90) }))).toHaveLength(3);
      expect(lines).toHaveLength(1);
      await db.query("delete from engram.observations where bank_id = $1 and tags = '{many}'", [bank]);
      expect(await idsOf(index, queryFor(bank, { liveOnly: false }))).toEqual([id]);
      expect(await idsOf(index, queryFor(bank))).toEqual([id]);
      expect(index.cached().bytes).toBeGreaterThan(0);
    });
  });
});

describe('a change', () => {
  it('of more rows than are read at a time reads all of them', async () => {
    const wide = { id: 'test/wide', dimensions: 4096 };
    await db.query(
      "insert into engram.embedding_models (id, provider, dimensions, is_active) values ($1, 'fake', $2, false)",
      [wide.id, wide.dimensions],
    );
    const bank = await addBank(db);
    const addWide = (rows: number) =>
      db.query(
        `insert into engram.observations (bank_id, id, text, tags, embedding, embedding_model, scope_epoch)
         select $1, gen_random_uuid(), 'text', '{}', array_fill(0.5::real, array[4096]), $2, 0 from generate_series(1, $3)`,
        [bank, wide.id, rows],
      );
    const query = queryFor(bank, { model: wide.id, vector: new Float32Array(4096).fill(1), limit: 1000 });
    const counting = counted(db);
    await withIndex({ db: counting }, async (index) => {
      await addWide(1);
      expect(await idsOf(index, query)).toHaveLength(1);
      await addWide(300);
      expect(await idsOf(index, query)).toHaveLength(301);
      expect(counting.wholeReads).toBe(2);
      await addWide(100);
      expect(await idsOf(index, query)).toHaveLength(401);
      expect(counting.wholeReads).toBe(2);
    });
  });

  it('to a vector of another length, by hand, takes the row out', async () => {
    await withIndex({}, async (index) => {
      const { bank, id } = await addSmallBank();
      expect(await idsOf(index, queryFor(bank))).toEqual([id]);
      await db.query("update engram.observations set embedding = '{1,2,3}' where bank_id = $1 and id = $2", [bank, id]);
      expect(await idsOf(index, queryFor(bank))).toEqual([]);
    });
  });
});

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
    await withIndex({ startWorker }, async (index) => {
      const { bank, id } = await addSmallBank();
      const answers = await Promise.all(Array.from({ length: 16 }, () => idsOf(index, queryFor(bank))));
      expect(answers).toEqual(Array.from({ length: 16 }, () => [id]));
      expect(state.started).toBe(2);
    });
  });

  it('between two searches is not noticed', async () => {
    const workers: Worker[] = [];
    const startWorker = () => {
      const worker = startMatrixWorker();
      workers.push(worker);
      return worker;
    };
    await withIndex({ startWorker }, async (index) => {
      const { bank, id } = await addSmallBank();
      expect(await idsOf(index, queryFor(bank))).toEqual([id]);
      await workers[0]?.terminate();
      expect(await idsOf(index, queryFor(bank))).toEqual([id]);
      expect(workers).toHaveLength(2);
    });
  });

  it('again and again is an error that may be tried again', async () => {
    const { startWorker } = endingWorkers(Number.POSITIVE_INFINITY);
    await withIndex({ startWorker }, async (index) => {
      const { bank } = await addSmallBank();
      const search = index.nearest([queryFor(bank)]);
      await expect(search).rejects.toThrow(VectorThreadError);
      await expect(search).rejects.toMatchObject({ code: 'VECTOR_THREAD', retryable: true });
    });
  });
});

describe('a search', () => {
  it('under a held connection is refused, also where another has asked for the read that it would share', async () => {
    const { bank, id } = await addSmallBank();
    const gate = gated(bank);
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
    const { bank, id } = await addSmallBank();
    await withIndex({ startWorker }, async (index) => {
      expect(await idsOf(index, queryFor(bank))).toEqual([id]);
      const searches = Array.from({ length: 8 }, () => idsOf(index, queryFor(bank)));
      await index.release();
      expect(await Promise.all(searches)).toEqual(Array.from({ length: 8 }, () => [id]));
      expect(index.cached()).toEqual({ matrices: 0, bytes: 0 });
      expect(workers.map((worker) => worker.threadId)).toEqual([-1]);
    });
  });
});

describe('the process', () => {
  it('waits for an answer, and ends with an idle thread', async () => {
    const { bank, id } = await addSmallBank();
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

describe('tombstones', () => {
  /** A pool for which the database's clock can be moved: its functions are found before those of the server. */
  async function movedClock(): Promise<{ moved: Database; move(hours: number): Promise<void> }> {
    await db.query(`
      create schema moved;
      create table moved.clock (hours integer not null);
      insert into moved.clock values (0);
      create function moved.now() returns timestamptz language sql stable
        as 'select pg_catalog.now() + make_interval(hours => hours) from moved.clock';
      create function moved.statement_timestamp() returns timestamptz language sql stable
        as 'select pg_catalog.statement_timestamp() + make_interval(hours => hours) from moved.clock'`);
    const url = new URL(database.connectionString);
    url.searchParams.set('options', '-c search_path=moved,pg_catalog,public');
    const moved = createDatabase({
      connectionString: url.href,
      poolMax: 2,
      applicationName: 'engramd-test-moved',
      log: silentLog,
      clock: systemClock,
      metrics: createMetrics(),
    });
    return { moved, move: async (hours) => void (await db.query('update moved.clock set hours = $1', [hours])) };
  }

  it('are kept for a day, and a matrix that was last read half a day ago does without them', async () => {
    const { moved, move } = await movedClock();
    try {
      await withIndex({ db: moved }, async (index) => {
        const { bank, id } = await addSmallBank();
        const [gone = ''] = await addObservations(db, bank, [{ vector: towards(10) }]);
        expect(await idsOf(index, queryFor(bank))).toEqual([id, gone]);
        await db.query('delete from engram.observations where bank_id = $1 and id = $2', [bank, gone]);
        const tombstones = async () => {
          const { rows } = await db.query<{ row_id: string }>(
            'select row_id from engram.vector_tombstones where bank_id = $1',
            [bank],
          );
          return rows.map((row) => row.row_id);
        };
        await move(23);
        await pruneVectorTombstones(moved);
        expect(await tombstones()).toEqual([gone]);
        await move(25);
        expect(await pruneVectorTombstones(moved)).toBeGreaterThan(0);
        expect(await tombstones()).toEqual([]);
        expect(await idsOf(index, queryFor(bank))).toEqual([id]);
      });
    } finally {
      await moved.close();
    }
  });
});
