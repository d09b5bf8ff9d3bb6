import type { Worker } from 'node:worker_threads';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Database } from '../../../src/db/database.ts';
import { startMatrixWorker } from '../../../src/store/vectors/matrix-thread.ts';
import { createMetrics } from '../../../src/telemetry/metrics.ts';
import { createTestDatabase, type TestDatabase } from '../../support/test-database.ts';
import { addSmallBank, counted, withIndex } from './exact-parts.ts';
import { addBank, addMemories, addModels, addObservations, idsOf, queryFor, towards } from './vector-rows.ts';

let database: TestDatabase;
let db: Database;
beforeAll(async () => {
  database = await createTestDatabase();
  db = database.db;
  await addModels(db);
});
afterAll(() => database.drop());

describe('several subsystems computing the same structure at once', () => {
  it('eight callers on a cold process are one whole read', async () => {
    const counting = counted(db);
    const metrics = createMetrics();
    await withIndex({ db: counting.db, metrics }, async (index) => {
      const other = await addSmallBank(db);
      const { bank, id } = await addSmallBank(db);
      // How long the model's vectors are is asked by each of eight, but once known none of them waits before the read.
      await index.nearest([queryFor(other.bank)]);
      const answers = await Promise.all(Array.from({ length: 8 }, () => idsOf(index, queryFor(bank))));
      expect(answers).toEqual(Array(8).fill([id]));
      expect(counting.wholeReads).toBe(2);
      const { values } = await metrics.builds.get();
      expect(values.map(({ labels, value }) => [labels.kind, labels.outcome, value])).toEqual([
        ['matrix', 'built', 2],
        ['matrix', 'joined', 7],
      ]);
    });
  });

  it('nor does one begin beside the read that a thread that ended left behind', async () => {
    const { bank, id } = await addSmallBank(db);
    const reading = Promise.withResolvers<void>();
    const goOn = Promise.withResolvers<void>();
    const counts = { running: 0, mostAtOnce: 0, begun: 0 };
    const tx: Database['tx'] = async (options, work) => {
      counts.begun += 1;
      counts.running += 1;
      counts.mostAtOnce = Math.max(counts.mostAtOnce, counts.running);
      try {
        return await db.tx(options, async (inner) => {
          const result = await work(inner);
          if (counts.begun === 1) {
            reading.resolve();
            await goOn.promise;
          }
          return result;
        });
      } finally {
        counts.running -= 1;
      }
    };
    const workers: Worker[] = [];
    const startWorker = () => {
      const worker = startMatrixWorker();
      workers.push(worker);
      return worker;
    };
    await withIndex({ db: { ...db, tx }, startWorker }, async (index) => {
      const first = idsOf(index, queryFor(bank));
      await reading.promise;
      await workers[0]?.terminate();
      const others = [idsOf(index, queryFor(bank)), idsOf(index, queryFor(bank))];
      await db.query('select 1');
      goOn.resolve();
      expect(await Promise.all([first, ...others])).toEqual([[id], [id], [id]]);
      expect(counts).toMatchObject({ mostAtOnce: 1, begun: 2 });
    });
  });
});

describe('a read that fails', () => {
  const wide = { id: 'test/wide', dimensions: 4096 };
  let bank: string;
  beforeEach(async () => {
    await db.query(
      `insert into engram.embedding_models (id, provider, dimensions, is_active) values ($1, 'fake', $2, false)
       on conflict do nothing`,
      [wide.id, wide.dimensions],
    );
    bank = await addBank(db);
  });
  const addWide = (rows: number) =>
    db.query(
      `insert into engram.observations (bank_id, id, text, tags, embedding, embedding_model, scope_epoch)
       select $1, gen_random_uuid(), 'text', '{}', array_fill(0.5::real, array[4096]), $2, 0 from generate_series(1, $3)`,
      [bank, wide.id, rows],
    );
  const query = () => queryFor(bank, { model: wide.id, vector: new Float32Array(4096).fill(1), limit: 1000 });

  /** Whole reads of which the second page fails, for as long as it is set. */
  function failing() {
    const state = { fails: true };
    const tx: Database['tx'] = (options, work) =>
      db.tx(options, (inner) => {
        let statements = 0;
        const ask: typeof inner.query = (text, values) => {
          statements += 1;
          if (state.fails && statements === 3) return Promise.reject(new Error('connection lost'));
          return inner.query(text, values);
        };
        return work({ ...inner, query: ask });
      });
    return { state, db: { ...db, tx } };
  }

  it('an error read as empty: it is an error for who asks, and nothing of it is kept', async () => {
    await addWide(300);
    const reads = failing();
    await withIndex({ db: reads.db }, async (index) => {
      await expect(index.nearest([query()])).rejects.toThrow('connection lost');
      expect(index.cached()).toEqual({ matrices: 1, bytes: 0, liveRows: 0 });
      reads.state.fails = false;
      expect(await idsOf(index, query())).toHaveLength(300);
    });
  });

  it('ends where its thread has, instead of going on for nobody', async () => {
    await addWide(300);
    const { bank: small } = await addSmallBank(db);
    const workers: Worker[] = [];
    const startWorker = () => {
      const worker = startMatrixWorker();
      workers.push(worker);
      return worker;
    };
    const statements: number[] = [];
    const tx: Database['tx'] = (options, work) =>
      db.tx(options, (inner) => {
        const read = statements.push(0) - 1;
        const ask: typeof inner.query = async (text, values) => {
          const result = await inner.query(text, values);
          statements[read] = (statements[read] ?? 0) + 1;
          // The first page of the second read is there.
          if (read === 1 && statements[read] === 2) await workers[0]?.terminate();
          return result as never;
        };
        return work({ ...inner, query: ask });
      });
    await withIndex({ db: { ...db, tx }, startWorker }, async (index) => {
      await index.nearest([queryFor(small)]);
      expect(await idsOf(index, query())).toHaveLength(300);
      expect(statements).toEqual([2, 2, 3]);
    });
  });

  it('a complete cache overwritten by a partial one: the complete one stays', async () => {
    await addWide(2);
    const reads = failing();
    await withIndex({ db: reads.db }, async (index) => {
      expect(await idsOf(index, query())).toHaveLength(2);
      await addWide(300);
      await expect(index.nearest([query()])).rejects.toThrow('connection lost');
      expect(index.cached().liveRows).toBe(2);
      await expect(index.nearest([query()])).rejects.toThrow('connection lost');
      reads.state.fails = false;
      expect(await idsOf(index, query())).toHaveLength(302);
      expect(index.cached().liveRows).toBe(302);
    });
  });
});

describe('dead rows in the structure and its count', () => {
  const live = Array.from({ length: 10 }, (_, at) => ({ vector: towards(at) }));
  const dead = Array.from({ length: 5 }, (_, at) => ({ vector: towards(at), dead: true }));
  const active = async (table: 'memories' | 'observations', bank: string) => {
    const isActive = table === 'memories' ? 'invalidated_at is null' : 'is_live';
    const { rows } = await db.query<{ count: number }>(
      `select count(*) as count from engram.${table} where bank_id = $1 and ${isActive}`,
      [bank],
    );
    return rows[0]?.count;
  };

  it('is right before the thread has told how large it is', async () => {
    const bank = await addBank(db);
    await addObservations(db, bank, [...live, ...dead]);
    const startWorker = () => {
      const worker = startMatrixWorker();
      const { on } = worker;
      const silent = (event: string, listener: (message: { kind: string }) => void) =>
        on.call(worker, event, (message: { kind: string }) => {
          if (message.kind !== 'resized') listener(message);
        });
      return Object.assign(worker, { on: silent as typeof on });
    };
    await withIndex({ db, startWorker }, async (index) => {
      expect(await idsOf(index, queryFor(bank, { limit: 100 }))).toHaveLength(10);
      expect(index.cached().liveRows).toBe(10);
    });
  });

  it.each(['memories', 'observations'] as const)(
    'of %s are neither found nor counted, then or later',
    async (target) => {
      const bank = await addBank(db);
      const add = target === 'memories' ? addMemories : addObservations;
      const [first = ''] = await add(db, bank, [...live, ...dead]);
      const query = queryFor(bank, { target, limit: 100 });
      await withIndex({ db }, async (index) => {
        const found = await idsOf(index, query);
        expect(found).toHaveLength(10);
        expect(index.cached().liveRows).toBe(await active(target, bank));
        const end = target === 'memories' ? 'invalidated_at' : 'retired_at';
        await db.query(`update engram.${target} set ${end} = now() where bank_id = $1 and id = $2`, [bank, first]);
        expect(await idsOf(index, query)).toEqual(found.filter((id) => id !== first));
        expect([index.cached().liveRows, await active(target, bank)]).toEqual([9, 9]);
        await db.query(`delete from engram.${target} where bank_id = $1 and id = $2`, [bank, found[1]]);
        await add(db, bank, [{ vector: towards(3) }, { vector: towards(4), dead: true }]);
        expect(await idsOf(index, query)).toHaveLength(9);
        expect([index.cached().liveRows, await active(target, bank)]).toEqual([9, 9]);
        // A search that asks for the dead as well finds them without their being counted.
        expect(await idsOf(index, { ...query, liveOnly: false })).toHaveLength(16);
        expect(index.cached().liveRows).toBe(9);
      });
    },
  );
});
