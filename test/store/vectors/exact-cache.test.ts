import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createDatabase, type Database } from '../../../src/db/database.ts';
import { startMatrixWorker } from '../../../src/store/vectors/matrix-thread.ts';
import { pruneVectorTombstones } from '../../../src/store/vectors/vector-tombstones.ts';
import { systemClock } from '../../../src/telemetry/clock.ts';
import { createLog, silentLog } from '../../../src/telemetry/log.ts';
import { createMetrics } from '../../../src/telemetry/metrics.ts';
import { createTestDatabase, type TestDatabase } from '../../support/test-database.ts';
import { addSmallBank, counted, gated, withIndex } from './exact-parts.ts';
import { addBank, addModels, addObservations, idsOf, queryFor, towards } from './vector-rows.ts';

const kibibyte = 1024;

let database: TestDatabase;
let db: Database;
beforeAll(async () => {
  database = await createTestDatabase();
  db = database.db;
  await addModels(db);
});
afterAll(() => database.drop());

describe('what it costs', () => {
  it('is one statement while nothing changes', async () => {
    const counting = counted(db);
    await withIndex({ db: counting.db }, async (index) => {
      const { bank, id } = await addSmallBank(db);
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
    await withIndex({ db, startWorker }, async (index) => {
      const bank = await addBank(db);
      expect(await idsOf(index, queryFor(bank))).toEqual([]);
      expect(await idsOf(index, queryFor(bank))).toEqual([]);
      expect(threads).toBe(0);
      expect(index.cached()).toEqual({ matrices: 1, bytes: 0, liveRows: 0 });
      const [first] = await addObservations(db, bank, [{ vector: towards(0) }]);
      expect(await idsOf(index, queryFor(bank))).toEqual([first]);
      expect(threads).toBe(1);
    });
  });

  it('is one read for all who ask for a cold matrix together, and one more for those who ask meanwhile', async () => {
    const counting = counted(db);
    await withIndex({ db: counting.db }, async (index) => {
      const { bank, id } = await addSmallBank(db);
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
    await withIndex({ db: counting.db, maxBytes: 600 * kibibyte, metrics }, async (index) => {
      const [a, b, c] = [await addSmallBank(db), await addSmallBank(db), await addSmallBank(db)];
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
      expect(index.cached()).toEqual({ matrices: 0, bytes: 0, liveRows: 0 });
      expect((await metrics.vectorCacheBytes.get()).values[0]?.value).toBe(0);
    });
  });

  it('stays right while many banks push each other out', async () => {
    await withIndex({ db, maxBytes: 300 * kibibyte }, async (index) => {
      const banks = await Promise.all(Array.from({ length: 6 }, () => addSmallBank(db)));
      const asked = Array.from({ length: 60 }, (_, at) => banks[at % banks.length] ?? { bank: '', id: '' });
      expect(await Promise.all(asked.map(({ bank }) => idsOf(index, queryFor(bank))))).toEqual(
        asked.map(({ id }) => [id]),
      );
      expect(index.cached().bytes).toBeLessThanOrEqual(300 * kibibyte);
    });
  });

  it('is not pushed out while a search brings it up to date', async () => {
    const [a, b] = [await addSmallBank(db), await addSmallBank(db)];
    const gate = gated(db, a.bank);
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
    await withIndex({ db, maxBytes: 400 * kibibyte, log }, async (index) => {
      const { bank, id } = await addSmallBank(db);
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
    await withIndex({ db: counting.db }, async (index) => {
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
    await withIndex({ db }, async (index) => {
      const { bank, id } = await addSmallBank(db);
      expect(await idsOf(index, queryFor(bank))).toEqual([id]);
      await db.query("update engram.observations set embedding = '{1,2,3}' where bank_id = $1 and id = $2", [bank, id]);
      expect(await idsOf(index, queryFor(bank))).toEqual([]);
    });
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
        const { bank, id } = await addSmallBank(db);
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
