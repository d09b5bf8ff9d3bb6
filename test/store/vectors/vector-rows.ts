import { randomUUID } from 'node:crypto';
import type { Database, Queryable } from '../../../src/db/database.ts';
import { encodeRealArray } from '../../../src/store/vectors/vector-bytes.ts';
import type { VectorIndex, VectorQuery, VectorTarget } from '../../../src/store/vectors/vector-index.ts';

export const dimensions = 16;
/** Its name has to be quoted where it stands in the text of a statement. */
export const model = { id: "test/16's", dimensions };
export const otherModel = { id: 'test/other', dimensions };

/** A unit vector at an angle to the first axis: similarity to `towards(0)` is its cosine. */
export function towards(degrees: number): Float32Array {
  const radians = (degrees * Math.PI) / 180;
  const vector = new Float32Array(dimensions);
  vector[0] = Math.cos(radians);
  vector[1] = Math.sin(radians);
  return vector;
}

/** A unit vector that a seed decides. */
export function randomVector(random: () => number, length = dimensions): Float32Array {
  const vector = Float32Array.from({ length }, () => random() - 0.5);
  const norm = Math.hypot(...vector);
  return vector.map((value) => value / norm);
}

/** mulberry32: the same numbers every time. */
export function seededRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export async function addModels(db: Queryable): Promise<void> {
  await db.query(
    `insert into engram.embedding_models (id, provider, dimensions, is_active)
     values ($1, 'fake', $3, true), ($2, 'fake', $3, false) on conflict do nothing`,
    [model.id, otherModel.id, dimensions],
  );
}

export async function addBank(db: Queryable, id: string = randomUUID()): Promise<string> {
  await db.query('insert into engram.banks (id) values ($1)', [id]);
  return id;
}

export interface NewRow {
  readonly id?: string;
  readonly vector: Float32Array;
  readonly tags?: readonly string[];
  readonly model?: string;
  /** Retired or invalidated from the start. */
  readonly dead?: boolean;
}

/** @returns their ids, in the same order. */
export async function addObservations(db: Queryable, bankId: string, rows: readonly NewRow[]): Promise<string[]> {
  const ids = rows.map((row) => row.id ?? randomUUID());
  await db.query(
    `insert into engram.observations (bank_id, id, text, tags, embedding, embedding_model, scope_epoch, retired_at)
     select $1, r.id, 'text', array(select jsonb_array_elements_text(r.tags)), r.vector::real[], r.model, 0,
       case when r.dead then now() end
     from unnest($2::uuid[], $3::jsonb[], $4::text[], $5::text[], $6::boolean[]) as r(id, tags, vector, model, dead)`,
    [bankId, ids, ...columns(rows)],
  );
  return ids;
}

export async function addMemories(db: Queryable, bankId: string, rows: readonly NewRow[]): Promise<string[]> {
  const ids = rows.map((row) => row.id ?? randomUUID());
  await db.query(
    `insert into engram.memories (bank_id, id, text, tags, embedding, embedding_model, invalidated_at)
     select $1, r.id, 'text', array(select jsonb_array_elements_text(r.tags)), r.vector::real[], r.model,
       case when r.dead then now() end
     from unnest($2::uuid[], $3::jsonb[], $4::text[], $5::text[], $6::boolean[]) as r(id, tags, vector, model, dead)`,
    [bankId, ids, ...columns(rows)],
  );
  return ids;
}

function columns(rows: readonly NewRow[]): unknown[] {
  return [
    rows.map((row) => JSON.stringify(row.tags ?? [])),
    rows.map((row) => encodeRealArray(row.vector)),
    rows.map((row) => row.model ?? model.id),
    rows.map((row) => row.dead ?? false),
  ];
}

export function queryFor(bankId: string, overrides: Partial<VectorQuery> = {}): VectorQuery {
  return {
    bankId,
    target: 'observations',
    model: model.id,
    vector: towards(0),
    limit: 10,
    liveOnly: true,
    ...overrides,
  };
}

export function addRows(
  target: VectorTarget,
  db: Queryable,
  bankId: string,
  rows: readonly NewRow[],
): Promise<string[]> {
  return target === 'observations' ? addObservations(db, bankId, rows) : addMemories(db, bankId, rows);
}

const deleteRow = {
  observations: 'delete from engram.observations where bank_id = $1 and id = $2',
  memories: 'delete from engram.memories where bank_id = $1 and id = $2',
};

export async function removeRow(target: VectorTarget, db: Queryable, bankId: string, id: string): Promise<void> {
  await db.query(deleteRow[target], [bankId, id]);
}

const changeRow = {
  observations: 'update engram.observations set trust = trust + 1 where bank_id = $1 and id = $2',
  memories: 'update engram.memories set attempts = attempts + 1 where bank_id = $1 and id = $2',
};

/** Any change of the row that leaves its vector. */
export async function touchRow(target: VectorTarget, db: Queryable, bankId: string, id: string): Promise<void> {
  await db.query(changeRow[target], [bankId, id]);
}

/** Runs in a transaction that stays open until `commit` is called. */
export async function openTransaction(
  db: Database,
  work: (tx: Queryable) => Promise<unknown>,
): Promise<{ commit(): Promise<void> }> {
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

export async function idsOf(index: VectorIndex, query: VectorQuery): Promise<string[]> {
  const [hits = []] = await index.nearest([query]);
  return hits.map((hit) => hit.id);
}
