import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Database, Queryable } from '../../../src/db/database.ts';
import { HeldConnectionError } from '../../../src/db/errors.ts';
import { encodeRealArray } from '../../../src/store/vectors/vector-bytes.ts';
import { VectorDimensionsError } from '../../../src/store/vectors/vector-errors.ts';
import type { VectorIndex, VectorQuery } from '../../../src/store/vectors/vector-index.ts';
import {
  addBank,
  addMemories,
  addModels,
  addObservations,
  dimensions,
  model,
  type NewRow,
  otherModel,
  queryFor,
  randomVector,
  seededRandom,
  towards,
} from './vector-rows.ts';

export interface VectorIndexFixture {
  /** A migrated database that nobody else uses. */
  readonly db: Database;
  /** One process's index over it. */
  createIndex(db: Database): VectorIndex;
  /** The pool of a second process. */
  openDatabase(): Database;
  drop(): Promise<void>;
}

/** What every adapter of the vector port has to do, whatever it is made of. */
export function describeVectorIndex(name: string, setUp: () => Promise<VectorIndexFixture>): void {
  describe(`vector index: ${name}`, () => {
    let fixture: VectorIndexFixture;
    let db: Database;
    let index: VectorIndex;
    const opened: { release(): Promise<void> }[] = [];

    beforeAll(async () => {
      fixture = await setUp();
      db = fixture.db;
      await addModels(db);
      const preparing = fixture.createIndex(db);
      await preparing.prepare(model);
      await preparing.prepare(otherModel);
      index = createIndex();
    });

    afterAll(() => fixture?.drop());
    afterEach(async () => {
      await Promise.all(opened.splice(0).map((each) => each.release()));
      await index.release();
    });

    function createIndex(database: Database = db): VectorIndex {
      const created = fixture.createIndex(database);
      opened.push(created);
      return created;
    }

    async function idsOf(query: VectorQuery, asked = index): Promise<string[]> {
      const [hits = []] = await asked.nearest([query]);
      return hits.map((hit) => hit.id);
    }

    /** Runs in a transaction that stays open until `commit` is called. */
    async function openTransaction(work: (tx: Queryable) => Promise<void>): Promise<{ commit(): Promise<void> }> {
      const written = Promise.withResolvers<void>();
      const gate = Promise.withResolvers<void>();
      const done = db.tx({ label: 'held open' }, async (tx) => {
        await work(tx);
        written.resolve();
        await gate.promise;
      });
      done.catch(written.reject);
      await written.promise;
      return {
        async commit() {
          gate.resolve();
          await done;
        },
      };
    }

    const targets = ['observations', 'memories'] as const;
    type Target = (typeof targets)[number];
    const add = (target: Target, on: Queryable, bank: string, rows: readonly NewRow[]) =>
      target === 'observations' ? addObservations(on, bank, rows) : addMemories(on, bank, rows);

    async function remove(target: Target, bank: string, id: string): Promise<void> {
      if (target === 'observations')
        await db.query('delete from engram.observations where bank_id = $1 and id = $2', [bank, id]);
      else await db.query('delete from engram.memories where bank_id = $1 and id = $2', [bank, id]);
    }

    /** Any change of the row that leaves its vector. */
    async function touch(target: Target, bank: string, id: string): Promise<void> {
      if (target === 'observations') {
        await db.query('update engram.observations set trust = trust + 1 where bank_id = $1 and id = $2', [bank, id]);
      } else
        await db.query('update engram.memories set attempts = attempts + 1 where bank_id = $1 and id = $2', [bank, id]);
    }

    describe.each(targets)('%s', (target) => {
      it('are ranked by cosine, best first', async () => {
        const bank = await addBank(db);
        const angles = [120, 0, 45, 90, 15, 180, 60];
        const ids = await add(
          target,
          db,
          bank,
          angles.map((angle) => ({ vector: towards(angle) })),
        );
        const [hits] = await index.nearest([queryFor(bank, { target })]);
        const expected = angles
          .map((angle, at) => ({ id: ids[at], similarity: Math.cos((angle * Math.PI) / 180) }))
          .sort((a, b) => b.similarity - a.similarity);
        expect(hits?.map((hit) => hit.id)).toEqual(expected.map((hit) => hit.id));
        for (const [at, hit] of (hits ?? []).entries())
          expect(hit.similarity).toBeCloseTo(expected[at]?.similarity ?? 2, 5);
      });

      it('that are equally near come by id, at the limit too', async () => {
        const bank = await addBank(db);
        const ids = await add(
          target,
          db,
          bank,
          Array.from({ length: 6 }, () => ({ vector: towards(30) })),
        );
        expect(await idsOf(queryFor(bank, { target, limit: 4 }))).toEqual([...ids].sort().slice(0, 4));
      });

      it('are limited by each query for itself', async () => {
        const bank = await addBank(db);
        const ids = await add(
          target,
          db,
          bank,
          [10, 20, 30].map((angle) => ({ vector: towards(angle) })),
        );
        const hits = await index.nearest([1, 0, 99, 2].map((limit) => queryFor(bank, { target, limit })));
        expect(hits.map((each) => each.map((hit) => hit.id))).toEqual([ids.slice(0, 1), [], ids, ids.slice(0, 2)]);
      });

      it('match a scope exactly, the untagged one too', async () => {
        const bank = await addBank(db);
        const [none = '', a = '', ab = '', odd = ''] = await add(target, db, bank, [
          { vector: towards(10) },
          { vector: towards(20), tags: ['a'] },
          { vector: towards(30), tags: ['a', 'b'] },
          { vector: towards(40), tags: ['a"\\,{}', 'ü'] },
        ]);
        expect(await idsOf(queryFor(bank, { target }))).toEqual([none, a, ab, odd]);
        expect(await idsOf(queryFor(bank, { target, scope: [] }))).toEqual([none]);
        expect(await idsOf(queryFor(bank, { target, scope: ['a'] }))).toEqual([a]);
        expect(await idsOf(queryFor(bank, { target, scope: ['a', 'b'] }))).toEqual([ab]);
        expect(await idsOf(queryFor(bank, { target, scope: ['b'] }))).toEqual([]);
        expect(await idsOf(queryFor(bank, { target, scope: ['a"\\,{}', 'ü'] }))).toEqual([odd]);
      });

      it('of another bank are never returned, same id or not', async () => {
        const [bank, other] = [await addBank(db), await addBank(db)];
        const shared = randomUUID();
        await add(target, db, bank, [{ id: shared, vector: towards(80) }]);
        const [foreign] = await add(target, db, other, [{ vector: towards(0) }, { id: shared, vector: towards(0) }]);
        const [hits] = await index.nearest([queryFor(bank, { target })]);
        expect(hits).toEqual([{ id: shared, similarity: expect.closeTo(Math.cos((80 * Math.PI) / 180), 5) }]);
        expect(await idsOf(queryFor(other, { target }))).toContain(foreign);
        expect(await idsOf(queryFor(await addBank(db), { target }))).toEqual([]);
        expect(await idsOf(queryFor('a bank that never was', { target }))).toEqual([]);
      });

      it('of another model are never returned, nor after a move to it', async () => {
        const bank = await addBank(db);
        const [mine = '', theirs = ''] = await add(target, db, bank, [
          { vector: towards(30) },
          { vector: towards(0), model: otherModel.id },
        ]);
        expect(await idsOf(queryFor(bank, { target }))).toEqual([mine]);
        expect(await idsOf(queryFor(bank, { target, model: otherModel.id }))).toEqual([theirs]);
        const table = target === 'observations' ? 'observations' : 'memories';
        await db.query(`update engram.${table} set embedding_model = $3 where bank_id = $1 and id = $2`, [
          bank,
          mine,
          otherModel.id,
        ]);
        expect(await idsOf(queryFor(bank, { target }))).toEqual([]);
        expect(await idsOf(queryFor(bank, { target, model: otherModel.id }))).toEqual([theirs, mine]);
      });

      it('without a direction are near to nothing', async () => {
        const bank = await addBank(db);
        const [first] = await add(target, db, bank, [
          { vector: towards(90) },
          { vector: new Float32Array(dimensions) },
        ]);
        expect(await idsOf(queryFor(bank, { target }))).toEqual([first]);
        expect(await idsOf(queryFor(bank, { target, vector: new Float32Array(dimensions) }))).toEqual([]);
      });

      it('are seen with their new text and vector', async () => {
        const bank = await addBank(db);
        const [moved = '', stays = ''] = await add(target, db, bank, [{ vector: towards(0) }, { vector: towards(30) }]);
        expect(await idsOf(queryFor(bank, { target }))).toEqual([moved, stays]);
        const table = target === 'observations' ? 'observations' : 'memories';
        await db.query(
          `update engram.${table} set text = 'new', embedding = $3::real[] where bank_id = $1 and id = $2`,
          [bank, moved, encodeRealArray(towards(60))],
        );
        expect(await idsOf(queryFor(bank, { target }))).toEqual([stays, moved]);
      });

      it('do not come back once deleted, whatever is read again', async () => {
        const bank = await addBank(db);
        const [gone = '', stays = ''] = await add(target, db, bank, [{ vector: towards(0) }, { vector: towards(30) }]);
        expect(await idsOf(queryFor(bank, { target }))).toEqual([gone, stays]);
        // While this is open, everything written since its beginning may be read again.
        const held = await openTransaction(async (tx) => {
          await add(target, tx, bank, [{ vector: towards(90) }]);
        });
        await touch(target, bank, gone);
        expect(await idsOf(queryFor(bank, { target }))).toEqual([gone, stays]);
        await remove(target, bank, gone);
        for (let probe = 0; probe < 3; probe += 1) {
          expect(await idsOf(queryFor(bank, { target }))).toEqual([stays]);
          await touch(target, bank, stays);
        }
        await held.commit();
        expect(await idsOf(queryFor(bank, { target, limit: 1 }))).toEqual([stays]);
      });

      it('come back when they are written again under their id', async () => {
        const bank = await addBank(db);
        const [id = '', other = ''] = await add(target, db, bank, [{ vector: towards(0) }, { vector: towards(30) }]);
        expect(await idsOf(queryFor(bank, { target }))).toEqual([id, other]);
        // The transaction that writes the row again began before the one that deletes it.
        const gate = Promise.withResolvers<void>();
        const older = Promise.withResolvers<void>();
        const writing = db.tx({ label: 'older' }, async (tx) => {
          await tx.query('select pg_current_xact_id()');
          older.resolve();
          await gate.promise;
          await add(target, tx, bank, [{ id, vector: towards(10) }]);
        });
        await older.promise;
        const holder = await openTransaction((tx) =>
          add(target, tx, bank, [{ vector: towards(99) }]).then(() => undefined),
        );
        await remove(target, bank, id);
        gate.resolve();
        await writing;
        expect(await idsOf(queryFor(bank, { target }))).toEqual([id, other]);
        await touch(target, bank, other);
        expect(await idsOf(queryFor(bank, { target }))).toEqual([id, other]);
        await holder.commit();
        expect(await idsOf(queryFor(bank, { target, limit: 2 }))).toEqual([id, other]);
      });

      it('of a writer that commits late are seen, and not before', async () => {
        const bank = await addBank(db);
        const [known = ''] = await add(target, db, bank, [{ vector: towards(40) }]);
        expect(await idsOf(queryFor(bank, { target }))).toEqual([known]);
        let late = '';
        const lateWriter = await openTransaction(async (tx) => {
          [late = ''] = await add(target, tx, bank, [{ vector: towards(10) }]);
          await tx.query('select 1');
        });
        const [early = ''] = await add(target, db, bank, [{ vector: towards(20) }]);
        expect(await idsOf(queryFor(bank, { target }))).toEqual([early, known]);
        await lateWriter.commit();
        expect(await idsOf(queryFor(bank, { target }))).toEqual([late, early, known]);
      });

      it('of a deletion that commits late go, and not before', async () => {
        const bank = await addBank(db);
        const [gone = '', stays = ''] = await add(target, db, bank, [{ vector: towards(10) }, { vector: towards(20) }]);
        expect(await idsOf(queryFor(bank, { target }))).toEqual([gone, stays]);
        const lateWriter = await openTransaction(async (tx) => {
          const table = target === 'observations' ? 'observations' : 'memories';
          await tx.query(`delete from engram.${table} where bank_id = $1 and id = $2`, [bank, gone]);
        });
        await touch(target, bank, stays);
        expect(await idsOf(queryFor(bank, { target }))).toEqual([gone, stays]);
        await lateWriter.commit();
        expect(await idsOf(queryFor(bank, { target }))).toEqual([stays]);
      });

      it('that were rolled back are never seen', async () => {
        const bank = await addBank(db);
        const [known] = await add(target, db, bank, [{ vector: towards(40) }]);
        const rolledBack = db.tx({ label: 'rolled back' }, async (tx) => {
          await add(target, tx, bank, [{ vector: towards(0) }]);
          throw new Error('on purpose');
        });
        await expect(rolledBack).rejects.toThrow('on purpose');
        expect(await idsOf(queryFor(bank, { target }))).toEqual([known]);
      });

      it('written by one process are seen by the next search of another', async () => {
        const bank = await addBank(db);
        const second = fixture.openDatabase();
        const elsewhere = fixture.createIndex(second);
        try {
          const [first = ''] = await add(target, db, bank, [{ vector: towards(0) }]);
          expect(await idsOf(queryFor(bank, { target }))).toEqual([first]);
          expect(await idsOf(queryFor(bank, { target }), elsewhere)).toEqual([first]);
          const [there = ''] = await add(target, second, bank, [{ vector: towards(10) }]);
          expect(await idsOf(queryFor(bank, { target }))).toEqual([first, there]);
          await remove(target, bank, first);
          expect(await idsOf(queryFor(bank, { target }), elsewhere)).toEqual([there]);
        } finally {
          await elsewhere.release();
          await second.close();
        }
      });

      it('are found where one in 5,000 matches', async () => {
        const bank = await addBank(db);
        const random = seededRandom(5);
        const others = { tags: ['others'], dead: true };
        await add(
          target,
          db,
          bank,
          Array.from({ length: 5000 }, () => ({ ...others, vector: randomVector(random) })),
        );
        const [only = ''] = await add(target, db, bank, [{ vector: towards(170), tags: ['only'] }]);
        expect(await idsOf(queryFor(bank, { target, scope: ['only'], liveOnly: false }))).toEqual([only]);
        expect(await idsOf(queryFor(bank, { target }))).toEqual([only]);
        expect(await idsOf(queryFor(bank, { target, vector: towards(170), limit: 1, liveOnly: false }))).toEqual([
          only,
        ]);
        expect(await idsOf(queryFor(bank, { target, liveOnly: false }))).toHaveLength(10);
      });

      it('leave with their bank, and a new bank of that name begins empty', async () => {
        const bank = await addBank(db);
        await add(target, db, bank, [{ vector: towards(0) }, { vector: towards(10) }]);
        expect(await idsOf(queryFor(bank, { target }))).toHaveLength(2);
        await db.query('delete from engram.banks where id = $1', [bank]);
        expect(await idsOf(queryFor(bank, { target }))).toEqual([]);
        await addBank(db, bank);
        const [fresh] = await add(target, db, bank, [{ vector: towards(20) }]);
        expect(await idsOf(queryFor(bank, { target }))).toEqual([fresh]);
      });
    });

    it('keeps observations that are folded, superseded or retired out of live results', async () => {
      const bank = await addBank(db);
      const [root = '', folded = '', superseded = '', retired = ''] = await addObservations(
        db,
        bank,
        [10, 20, 30, 40].map((angle) => ({ vector: towards(angle) })),
      );
      const all = [root, folded, superseded, retired];
      expect(await idsOf(queryFor(bank))).toEqual(all);
      const change = (set: string, id: string, values: unknown[] = []) =>
        db.query(`update engram.observations set ${set} where bank_id = $1 and id = $2`, [bank, id, ...values]);
      await change('canonical_id = $3', folded, [root]);
      expect(await idsOf(queryFor(bank))).toEqual([root, superseded, retired]);
      await change('superseded_by = $3', superseded, [root]);
      expect(await idsOf(queryFor(bank))).toEqual([root, retired]);
      await change('retired_at = now()', retired);
      expect(await idsOf(queryFor(bank))).toEqual([root]);
      expect(await idsOf(queryFor(bank, { liveOnly: false }))).toEqual(all);
      await change('retired_at = null', retired);
      expect(await idsOf(queryFor(bank))).toEqual([root, retired]);
    });

    it('keeps memories that are invalidated out of live results, and those without a vector out of all', async () => {
      const bank = await addBank(db);
      const [valid = '', invalid = '', edited = ''] = await addMemories(
        db,
        bank,
        [10, 20, 30].map((angle) => ({ vector: towards(angle) })),
      );
      await db.query("insert into engram.memories (bank_id, id, text) values ($1, $2, 'no vector yet')", [
        bank,
        randomUUID(),
      ]);
      expect(await idsOf(queryFor(bank, { target: 'memories' }))).toEqual([valid, invalid, edited]);
      await db.query('update engram.memories set invalidated_at = now() where bank_id = $1 and id = $2', [
        bank,
        invalid,
      ]);
      // A changed text has lost its vector.
      await db.query("update engram.memories set text = 'another' where bank_id = $1 and id = $2", [bank, edited]);
      expect(await idsOf(queryFor(bank, { target: 'memories' }))).toEqual([valid]);
      expect(await idsOf(queryFor(bank, { target: 'memories', liveOnly: false }))).toEqual([valid, invalid]);
    });

    it('answers mixed queries in their order', async () => {
      const [one, two] = [await addBank(db), await addBank(db)];
      const [observation] = await addObservations(db, one, [{ vector: towards(5) }]);
      const [memory] = await addMemories(db, one, [{ vector: towards(5) }]);
      const [far, near] = await addObservations(db, two, [
        { vector: towards(50), tags: ['x'] },
        { vector: towards(5) },
      ]);
      const hits = await index.nearest([
        queryFor(two, { scope: ['x'] }),
        queryFor(one, { target: 'memories' }),
        queryFor(two),
        queryFor(one),
        queryFor(two, { vector: towards(50), limit: 1 }),
      ]);
      expect(hits.map((each) => each.map((hit) => hit.id))).toEqual([
        [far],
        [memory],
        [near, far],
        [observation],
        [far],
      ]);
      expect(await index.nearest([])).toEqual([]);
    });

    it('ranks like a calculation by hand', async () => {
      const bank = await addBank(db);
      const random = seededRandom(11);
      const scopes = [[], ['a'], ['a', 'b']];
      const rows = Array.from({ length: 400 }, () => ({
        vector: randomVector(random),
        tags: scopes[Math.floor(random() * 3)] ?? [],
      }));
      const ids = await addObservations(db, bank, rows);
      const dead = new Set(ids.filter(() => random() < 0.3));
      await db.query('update engram.observations set retired_at = now() where bank_id = $1 and id = any ($2)', [
        bank,
        [...dead],
      ]);
      const queries = Array.from({ length: 20 }, () => {
        const scope = random() < 0.5 ? scopes[Math.floor(random() * 3)] : undefined;
        return queryFor(bank, {
          vector: randomVector(random),
          limit: 1 + Math.floor(random() * 20),
          liveOnly: random() < 0.5,
          ...(scope && { scope }),
        });
      });
      const answers = await index.nearest(queries);
      for (const [at, query] of queries.entries()) {
        const expected = rows
          .map((row, row_) => ({ row, id: ids[row_] ?? '' }))
          .filter(
            ({ row, id }) => !(query.liveOnly && dead.has(id)) && (!query.scope || `${query.scope}` === `${row.tags}`),
          )
          .map(({ row, id }) => ({
            id,
            similarity: row.vector.reduce((sum, v, i) => sum + v * (query.vector[i] ?? 0), 0),
          }))
          .sort((a, b) => b.similarity - a.similarity)
          .slice(0, query.limit);
        expect(answers[at]?.map((hit) => hit.id)).toEqual(expected.map((hit) => hit.id));
        for (const [rank, hit] of (answers[at] ?? []).entries()) {
          expect(hit.similarity).toBeCloseTo(expected[rank]?.similarity ?? 2, 5);
        }
      }
    });

    it('shows each writer its own row at once, beside many others', async () => {
      const bank = await addBank(db);
      await addObservations(db, bank, [{ vector: towards(0) }]);
      expect(await idsOf(queryFor(bank))).toHaveLength(1);
      const random = seededRandom(23);
      const writer = async (): Promise<void> => {
        for (let round = 0; round < 8; round += 1) {
          const vector = randomVector(random);
          const [id = ''] = await addObservations(db, bank, [{ vector }]);
          expect(await idsOf(queryFor(bank, { vector, limit: 1 }))).toEqual([id]);
          if (round % 2 === 0) continue;
          await remove('observations', bank, id);
          expect(await idsOf(queryFor(bank, { vector, limit: 3 }))).not.toContain(id);
        }
      };
      await Promise.all(Array.from({ length: 8 }, writer));
      const { rows } = await db.query<{ id: string }>(
        'select id from engram.observations where bank_id = $1 order by id',
        [bank],
      );
      expect((await idsOf(queryFor(bank, { limit: 100 }))).sort()).toEqual(rows.map((row) => row.id));
    });

    it('begins anew after release', async () => {
      const bank = await addBank(db);
      const [first = ''] = await addObservations(db, bank, [{ vector: towards(0) }]);
      expect(await idsOf(queryFor(bank))).toEqual([first]);
      await index.release();
      await index.release();
      const [second = ''] = await addObservations(db, bank, [{ vector: towards(10) }]);
      expect(await idsOf(queryFor(bank))).toEqual([first, second]);
    });

    it('finishes the searches that release meets', async () => {
      const bank = await addBank(db);
      const [only] = await addObservations(db, bank, [{ vector: towards(0) }]);
      const searches = Array.from({ length: 5 }, () => idsOf(queryFor(bank)));
      const released = index.release();
      expect(await Promise.all(searches)).toEqual(Array.from({ length: 5 }, () => [only]));
      await released;
    });

    it('can be prepared again, by several at once', async () => {
      const third = { id: `test/${randomUUID()}`, dimensions };
      await db.query(
        "insert into engram.embedding_models (id, provider, dimensions, is_active) values ($1, 'fake', $2, false)",
        [third.id, dimensions],
      );
      await Promise.all([createIndex(), createIndex(), createIndex()].map((each) => each.prepare(third)));
      await index.prepare(third);
      const bank = await addBank(db);
      const [id] = await addObservations(db, bank, [{ vector: towards(0), model: third.id }]);
      expect(await idsOf(queryFor(bank, { model: third.id }))).toEqual([id]);
    });

    it('refuses a vector of another length than its model makes', async () => {
      const bank = await addBank(db);
      const query = queryFor(bank, { vector: new Float32Array(dimensions + 1).fill(1) });
      await expect(index.nearest([query])).rejects.toThrow(VectorDimensionsError);
      await expect(index.nearest([queryFor(bank, { vector: towards(Number.NaN) })])).rejects.toThrow(RangeError);
    });

    it('knows no rows of a model that nobody pinned', async () => {
      const bank = await addBank(db);
      await addObservations(db, bank, [{ vector: towards(0) }]);
      expect(await idsOf(queryFor(bank, { model: 'never pinned', vector: Float32Array.of(1) }))).toEqual([]);
    });

    it('refuses to be asked under a held connection', async () => {
      const bank = await addBank(db);
      const asked = db.tx({ label: 'holder' }, () => index.nearest([queryFor(bank)]));
      await expect(asked).rejects.toThrow(HeldConnectionError);
    });
  });
}
