import { randomUUID } from 'node:crypto';
import { beforeAll, describe, expect, it } from 'vitest';
import type { Database } from '../../../src/db/database.ts';
import { encodeRealArray } from '../../../src/store/vectors/vector-bytes.ts';
import type { VectorIndex, VectorTarget } from '../../../src/store/vectors/vector-index.ts';
import {
  addBank,
  addRows,
  dimensions,
  idsOf,
  openTransaction,
  otherModel,
  queryFor,
  randomVector,
  removeRow,
  seededRandom,
  touchRow,
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

/** The part of the conformance suite that holds for both targets alike. */
export function describeRows(
  target: VectorTarget,
  given: () => { readonly fixture: VectorIndexFixture; readonly index: VectorIndex },
): void {
  describe(target, () => {
    let fixture: VectorIndexFixture;
    let db: Database;
    let index: VectorIndex;
    beforeAll(() => {
      ({ fixture, index } = given());
      db = fixture.db;
    });

    it('are ranked by cosine, best first', async () => {
      const bank = await addBank(db);
      const angles = [120, 0, 45, 90, 15, 180, 60];
      const ids = await addRows(
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
      const ids = await addRows(
        target,
        db,
        bank,
        Array.from({ length: 6 }, () => ({ vector: towards(30) })),
      );
      expect(await idsOf(index, queryFor(bank, { target, limit: 4 }))).toEqual([...ids].sort().slice(0, 4));
    });

    it('are limited by each query for itself', async () => {
      const bank = await addBank(db);
      const ids = await addRows(
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
      const [none = '', a = '', ab = '', odd = ''] = await addRows(target, db, bank, [
        { vector: towards(10) },
        { vector: towards(20), tags: ['a'] },
        { vector: towards(30), tags: ['a', 'b'] },
        { vector: towards(40), tags: ['a"\\,{}', 'ü'] },
      ]);
      expect(await idsOf(index, queryFor(bank, { target }))).toEqual([none, a, ab, odd]);
      expect(await idsOf(index, queryFor(bank, { target, scope: [] }))).toEqual([none]);
      expect(await idsOf(index, queryFor(bank, { target, scope: ['a'] }))).toEqual([a]);
      expect(await idsOf(index, queryFor(bank, { target, scope: ['a', 'b'] }))).toEqual([ab]);
      expect(await idsOf(index, queryFor(bank, { target, scope: ['b'] }))).toEqual([]);
      expect(await idsOf(index, queryFor(bank, { target, scope: ['a"\\,{}', 'ü'] }))).toEqual([odd]);
    });

    it('of another bank are never returned, same id or not', async () => {
      const [bank, other] = [await addBank(db), await addBank(db)];
      const shared = randomUUID();
      await addRows(target, db, bank, [{ id: shared, vector: towards(80) }]);
      const [foreign] = await addRows(target, db, other, [{ vector: towards(0) }, { id: shared, vector: towards(0) }]);
      const [hits] = await index.nearest([queryFor(bank, { target })]);
      expect(hits).toEqual([{ id: shared, similarity: expect.closeTo(Math.cos((80 * Math.PI) / 180), 5) }]);
      expect(await idsOf(index, queryFor(other, { target }))).toContain(foreign);
      expect(await idsOf(index, queryFor(await addBank(db), { target }))).toEqual([]);
      expect(await idsOf(index, queryFor('a bank that never was', { target }))).toEqual([]);
    });

    it('of another model are never returned, nor after a move to it', async () => {
      const bank = await addBank(db);
      const [mine = '', theirs = ''] = await addRows(target, db, bank, [
        { vector: towards(30) },
        { vector: towards(0), model: otherModel.id },
      ]);
      expect(await idsOf(index, queryFor(bank, { target }))).toEqual([mine]);
      expect(await idsOf(index, queryFor(bank, { target, model: otherModel.id }))).toEqual([theirs]);
      const table = target === 'observations' ? 'observations' : 'memories';
      await db.query(`update engram.${table} set embedding_model = $3 where bank_id = $1 and id = $2`, [
        bank,
        mine,
        otherModel.id,
      ]);
      expect(await idsOf(index, queryFor(bank, { target }))).toEqual([]);
      expect(await idsOf(index, queryFor(bank, { target, model: otherModel.id }))).toEqual([theirs, mine]);
    });

    it('without a direction are near to nothing', async () => {
      const bank = await addBank(db);
      const [first] = await addRows(target, db, bank, [
        { vector: towards(90) },
        { vector: new Float32Array(dimensions) },
      ]);
      expect(await idsOf(index, queryFor(bank, { target }))).toEqual([first]);
      expect(await idsOf(index, queryFor(bank, { target, vector: new Float32Array(dimensions) }))).toEqual([]);
    });

    it('are seen with their new text and vector', async () => {
      const bank = await addBank(db);
      const [moved = '', stays = ''] = await addRows(target, db, bank, [
        { vector: towards(0) },
        { vector: towards(30) },
      ]);
      expect(await idsOf(index, queryFor(bank, { target }))).toEqual([moved, stays]);
      const table = target === 'observations' ? 'observations' : 'memories';
      await db.query(`update engram.${table} set text = 'new', embedding = $3::real[] where bank_id = $1 and id = $2`, [
        bank,
        moved,
        encodeRealArray(towards(60)),
      ]);
      expect(await idsOf(index, queryFor(bank, { target }))).toEqual([stays, moved]);
    });

    it('do not come back once deleted, whatever is read again', async () => {
      const bank = await addBank(db);
      const [gone = '', stays = ''] = await addRows(target, db, bank, [
        { vector: towards(0) },
        { vector: towards(30) },
      ]);
      expect(await idsOf(index, queryFor(bank, { target }))).toEqual([gone, stays]);
      // While this is open, everything written since its beginning may be read again.
      const held = await openTransaction(db, async (tx) => {
        await addRows(target, tx, bank, [{ vector: towards(90) }]);
      });
      await touchRow(target, db, bank, gone);
      expect(await idsOf(index, queryFor(bank, { target }))).toEqual([gone, stays]);
      await removeRow(target, db, bank, gone);
      for (let probe = 0; probe < 3; probe += 1) {
        expect(await idsOf(index, queryFor(bank, { target }))).toEqual([stays]);
        await touchRow(target, db, bank, stays);
      }
      await held.commit();
      expect(await idsOf(index, queryFor(bank, { target, limit: 1 }))).toEqual([stays]);
    });

    it('come back when they are written again under their id', async () => {
      const bank = await addBank(db);
      const [id = '', other = ''] = await addRows(target, db, bank, [{ vector: towards(0) }, { vector: towards(30) }]);
      expect(await idsOf(index, queryFor(bank, { target }))).toEqual([id, other]);
      // The transaction that writes the row again began before the one that deletes it.
      const gate = Promise.withResolvers<void>();
      const older = Promise.withResolvers<void>();
      const writing = db.tx({ label: 'older' }, async (tx) => {
        await tx.query('select pg_current_xact_id()');
        older.resolve();
        await gate.promise;
        await addRows(target, tx, bank, [{ id, vector: towards(10) }]);
      });
      await older.promise;
      const holder = await openTransaction(db, (tx) => addRows(target, tx, bank, [{ vector: towards(99) }]));
      await removeRow(target, db, bank, id);
      gate.resolve();
      await writing;
      expect(await idsOf(index, queryFor(bank, { target }))).toEqual([id, other]);
      await touchRow(target, db, bank, other);
      expect(await idsOf(index, queryFor(bank, { target }))).toEqual([id, other]);
      await holder.commit();
      expect(await idsOf(index, queryFor(bank, { target, limit: 2 }))).toEqual([id, other]);
    });

    it('of a writer that commits late are seen, and not before', async () => {
      const bank = await addBank(db);
      const [known = ''] = await addRows(target, db, bank, [{ vector: towards(40) }]);
      expect(await idsOf(index, queryFor(bank, { target }))).toEqual([known]);
      let late = '';
      const lateWriter = await openTransaction(db, async (tx) => {
        [late = ''] = await addRows(target, tx, bank, [{ vector: towards(10) }]);
        await tx.query('select 1');
      });
      const [early = ''] = await addRows(target, db, bank, [{ vector: towards(20) }]);
      expect(await idsOf(index, queryFor(bank, { target }))).toEqual([early, known]);
      await lateWriter.commit();
      expect(await idsOf(index, queryFor(bank, { target }))).toEqual([late, early, known]);
    });

    it('of a deletion that commits late go, and not before', async () => {
      const bank = await addBank(db);
      const [gone = '', stays = ''] = await addRows(target, db, bank, [
        { vector: towards(10) },
        { vector: towards(20) },
      ]);
      expect(await idsOf(index, queryFor(bank, { target }))).toEqual([gone, stays]);
      const lateWriter = await openTransaction(db, async (tx) => {
        const table = target === 'observations' ? 'observations' : 'memories';
        await tx.query(`delete from engram.${table} where bank_id = $1 and id = $2`, [bank, gone]);
      });
      await touchRow(target, db, bank, stays);
      expect(await idsOf(index, queryFor(bank, { target }))).toEqual([gone, stays]);
      await lateWriter.commit();
      expect(await idsOf(index, queryFor(bank, { target }))).toEqual([stays]);
    });

    it('that were rolled back are never seen', async () => {
      const bank = await addBank(db);
      const [known] = await addRows(target, db, bank, [{ vector: towards(40) }]);
      const rolledBack = db.tx({ label: 'rolled back' }, async (tx) => {
        await addRows(target, tx, bank, [{ vector: towards(0) }]);
        throw new Error('on purpose');
      });
      await expect(rolledBack).rejects.toThrow('on purpose');
      expect(await idsOf(index, queryFor(bank, { target }))).toEqual([known]);
    });

    it('written by one process are seen by the next search of another', async () => {
      const bank = await addBank(db);
      const second = fixture.openDatabase();
      const elsewhere = fixture.createIndex(second);
      try {
        const [first = ''] = await addRows(target, db, bank, [{ vector: towards(0) }]);
        expect(await idsOf(index, queryFor(bank, { target }))).toEqual([first]);
        expect(await idsOf(elsewhere, queryFor(bank, { target }))).toEqual([first]);
        const [there = ''] = await addRows(target, second, bank, [{ vector: towards(10) }]);
        expect(await idsOf(index, queryFor(bank, { target }))).toEqual([first, there]);
        await removeRow(target, db, bank, first);
        expect(await idsOf(elsewhere, queryFor(bank, { target }))).toEqual([there]);
      } finally {
        await elsewhere.release();
        await second.close();
      }
    });

    it('are found where one in 5,000 matches', async () => {
      const bank = await addBank(db);
      const random = seededRandom(5);
      const others = { tags: ['others'], dead: true };
      await addRows(
        target,
        db,
        bank,
        Array.from({ length: 5000 }, () => ({ ...others, vector: randomVector(random) })),
      );
      const [only = ''] = await addRows(target, db, bank, [{ vector: towards(170), tags: ['only'] }]);
      expect(await idsOf(index, queryFor(bank, { target, scope: ['only'], liveOnly: false }))).toEqual([only]);
      expect(await idsOf(index, queryFor(bank, { target }))).toEqual([only]);
      expect(await idsOf(index, queryFor(bank, { target, vector: towards(170), limit: 1, liveOnly: false }))).toEqual([
        only,
      ]);
      expect(await idsOf(index, queryFor(bank, { target, liveOnly: false }))).toHaveLength(10);
    });

    it('leave with their bank, and a new bank of that name begins empty', async () => {
      const bank = await addBank(db);
      await addRows(target, db, bank, [{ vector: towards(0) }, { vector: towards(10) }]);
      expect(await idsOf(index, queryFor(bank, { target }))).toHaveLength(2);
      await db.query('delete from engram.banks where id = $1', [bank]);
      expect(await idsOf(index, queryFor(bank, { target }))).toEqual([]);
      await addBank(db, bank);
      const [fresh] = await addRows(target, db, bank, [{ vector: towards(20) }]);
      expect(await idsOf(index, queryFor(bank, { target }))).toEqual([fresh]);
    });
  });
}
