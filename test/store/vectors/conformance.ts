import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Database } from '../../../src/db/database.ts';
import { HeldConnectionError } from '../../../src/db/errors.ts';
import { VectorDimensionsError } from '../../../src/store/vectors/vector-errors.ts';
import type { VectorIndex } from '../../../src/store/vectors/vector-index.ts';
import { describeRows, type VectorIndexFixture } from './conformance-rows.ts';
import {
  addBank,
  addMemories,
  addModels,
  addObservations,
  dimensions,
  idsOf,
  model,
  otherModel,
  queryFor,
  randomVector,
  removeRow,
  seededRandom,
  towards,
} from './vector-rows.ts';

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

    for (const target of ['observations', 'memories'] as const) describeRows(target, () => ({ fixture, index }));

    it('keeps observations that are folded, superseded or retired out of live results', async () => {
      const bank = await addBank(db);
      const [root = '', folded = '', superseded = '', retired = ''] = await addObservations(
        db,
        bank,
        [10, 20, 30, 40].map((angle) => ({ vector: towards(angle) })),
      );
      const all = [root, folded, superseded, retired];
      expect(await idsOf(index, queryFor(bank))).toEqual(all);
      const change = (set: string, id: string, values: unknown[] = []) =>
        db.query(`update engram.observations set ${set} where bank_id = $1 and id = $2`, [bank, id, ...values]);
      await change('canonical_id = $3', folded, [root]);
      expect(await idsOf(index, queryFor(bank))).toEqual([root, superseded, retired]);
      await change('superseded_by = $3', superseded, [root]);
      expect(await idsOf(index, queryFor(bank))).toEqual([root, retired]);
      await change('retired_at = now()', retired);
      expect(await idsOf(index, queryFor(bank))).toEqual([root]);
      expect(await idsOf(index, queryFor(bank, { liveOnly: false }))).toEqual(all);
      await change('retired_at = null', retired);
      expect(await idsOf(index, queryFor(bank))).toEqual([root, retired]);
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
      expect(await idsOf(index, queryFor(bank, { target: 'memories' }))).toEqual([valid, invalid, edited]);
      await db.query('update engram.memories set invalidated_at = now() where bank_id = $1 and id = $2', [
        bank,
        invalid,
      ]);
      // A changed text has lost its vector.
      await db.query("update engram.memories set text = 'another' where bank_id = $1 and id = $2", [bank, edited]);
      expect(await idsOf(index, queryFor(bank, { target: 'memories' }))).toEqual([valid]);
      expect(await idsOf(index, queryFor(bank, { target: 'memories', liveOnly: false }))).toEqual([valid, invalid]);
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
      expect(await idsOf(index, queryFor(bank))).toHaveLength(1);
      const random = seededRandom(23);
      const writer = async (): Promise<void> => {
        for (let round = 0; round < 8; round += 1) {
          const vector = randomVector(random);
          const [id = ''] = await addObservations(db, bank, [{ vector }]);
          expect(await idsOf(index, queryFor(bank, { vector, limit: 1 }))).toEqual([id]);
          if (round % 2 === 0) continue;
          await removeRow('observations', db, bank, id);
          expect(await idsOf(index, queryFor(bank, { vector, limit: 3 }))).not.toContain(id);
        }
      };
      await Promise.all(Array.from({ length: 8 }, writer));
      const { rows } = await db.query<{ id: string }>(
        'select id from engram.observations where bank_id = $1 order by id',
        [bank],
      );
      expect((await idsOf(index, queryFor(bank, { limit: 100 }))).sort()).toEqual(rows.map((row) => row.id));
    });

    it('begins anew after release', async () => {
      const bank = await addBank(db);
      const [first = ''] = await addObservations(db, bank, [{ vector: towards(0) }]);
      expect(await idsOf(index, queryFor(bank))).toEqual([first]);
      await index.release();
      await index.release();
      const [second = ''] = await addObservations(db, bank, [{ vector: towards(10) }]);
      expect(await idsOf(index, queryFor(bank))).toEqual([first, second]);
    });

    it('finishes the searches that release meets', async () => {
      const bank = await addBank(db);
      const [only] = await addObservations(db, bank, [{ vector: towards(0) }]);
      const searches = Array.from({ length: 5 }, () => idsOf(index, queryFor(bank)));
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
      expect(await idsOf(index, queryFor(bank, { model: third.id }))).toEqual([id]);
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
      expect(await idsOf(index, queryFor(bank, { model: 'never pinned', vector: Float32Array.of(1) }))).toEqual([]);
    });

    it('refuses to be asked under a held connection', async () => {
      const bank = await addBank(db);
      const asked = db.tx({ label: 'holder' }, () => index.nearest([queryFor(bank)]));
      await expect(asked).rejects.toThrow(HeldConnectionError);
    });
  });
}
