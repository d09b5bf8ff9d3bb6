import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createDatabase, type Database } from '../../src/db/database.ts';
import { migrate, readMigrations } from '../../src/db/migrate.ts';
import { chooseVectorIndex } from '../../src/store/vectors/choose-vector-index.ts';
import { createExactIndex } from '../../src/store/vectors/exact-index.ts';
import { createPgvectorIndex } from '../../src/store/vectors/pgvector-index.ts';
import { indexedStatements, indexName } from '../../src/store/vectors/pgvector-statements.ts';
import { PgvectorUnavailableError } from '../../src/store/vectors/vector-errors.ts';
import type { VectorIndex } from '../../src/store/vectors/vector-index.ts';
import { systemClock } from '../../src/telemetry/clock.ts';
import { createLog, silentLog } from '../../src/telemetry/log.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { describeVectorIndex } from '../store/vectors/conformance.ts';
import type { VectorIndexFixture } from '../store/vectors/conformance-rows.ts';
import {
  addBank,
  addModels,
  addObservations,
  dimensions,
  model,
  queryFor,
  randomVector,
  seededRandom,
  towards,
} from '../store/vectors/vector-rows.ts';
import { startPgvector } from '../support/pgvector-server.ts';

const start = await startPgvector();
if (start.kind === 'unavailable') console.warn(`skipped: pgvector runs in a container, and ${start.reason}`);
const server = start.kind === 'started' ? start.server : undefined;

function urlOf(database: string, user?: string): string {
  if (!server) throw new Error('no server');
  const url = new URL(server.connectionString);
  url.pathname = `/${database}`;
  if (user !== undefined) url.username = user;
  return url.href;
}

function connect(connectionString: string, poolMax = 10): Database {
  const deps = { log: silentLog, clock: systemClock, metrics: createMetrics() };
  return createDatabase({ connectionString, poolMax, applicationName: 'engramd-test', ...deps });
}

/** A migrated database without the extension. */
async function createMigrated(): Promise<{
  name: string;
  db: Database;
  urlOf(user?: string): string;
  drop(): Promise<void>;
}> {
  const name = `test_${randomUUID().replaceAll('-', '')}`;
  const admin = connect(urlOf('postgres'), 1);
  await admin.query(`create database ${name} template template0`);
  const db = connect(urlOf(name));
  await migrate(db, await readMigrations(new URL('../../src/store/migrations', import.meta.url).pathname));
  return {
    name,
    db,
    urlOf: (user) => urlOf(name, user),
    async drop() {
      await db.close();
      await admin.query(`drop database ${name} with (force)`);
      await admin.close();
    },
  };
}

async function fixtureOf(createIndex: (db: Database) => VectorIndex): Promise<VectorIndexFixture> {
  const database = await createMigrated();
  await database.db.query('create extension vector');
  return {
    db: database.db,
    createIndex,
    openDatabase: () => connect(database.urlOf()),
    drop: () => database.drop(),
  };
}

const log = silentLog;
const alwaysWalk = { minRows: 0, perRow: 0 };

describe.skipIf(!server)('PostgreSQL 17 with pgvector', () => {
  afterAll(() => server?.stop());

  describeVectorIndex('pgvector', () => fixtureOf((db) => createPgvectorIndex({ db, log })));

  describeVectorIndex('pgvector, by the index wherever it can', () =>
    fixtureOf((db) => createPgvectorIndex({ db, log, scanRule: alwaysWalk })),
  );

  describeVectorIndex('pgvector, by the index without iterative scans as in 0.7', () =>
    fixtureOf((db) => createPgvectorIndex({ db, log, scanRule: alwaysWalk, iterativeScan: false })),
  );

  describeVectorIndex('exact', () => fixtureOf((db) => createExactIndex({ db, log })));

  describe('the index', () => {
    let database: Awaited<ReturnType<typeof createMigrated>>;
    let db: Database;
    beforeAll(async () => {
      database = await createMigrated();
      db = database.db;
      await db.query('create extension vector');
      await addModels(db);
    });
    afterAll(() => database.drop());

    async function indexes(): Promise<{ name: string; definition: string; valid: boolean }[]> {
      const { rows } = await db.query<{ name: string; definition: string; valid: boolean }>(
        `select c.relname as name, pg_get_indexdef(c.oid) as definition, i.indisvalid as valid
         from pg_index i join pg_class c on c.oid = i.indexrelid join pg_am a on a.oid = c.relam
         where a.amname = 'hnsw' order by 1`,
      );
      return rows;
    }

    it('is made once for each table and model, and is what a search walks', async () => {
      const index = createPgvectorIndex({ db, log, scanRule: alwaysWalk });
      await index.prepare(model);
      await index.prepare(model);
      expect((await indexes()).map((each) => each.name)).toEqual([
        indexName('memories', model.id),
        indexName('observations', model.id),
      ]);
      const bank = await addBank(db);
      const random = seededRandom(3);
      await addObservations(
        db,
        bank,
        Array.from({ length: 3000 }, () => ({ vector: randomVector(random) })),
      );
      const search = indexedStatements(dimensions)?.search.observations;
      const plan = await db.tx({ label: 'explain' }, async (tx) => {
        await tx.query("select set_config('enable_sort', 'off', true)");
        const vectors = ['{1,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0}'];
        return tx.query<{ 'QUERY PLAN': string }>(`explain ${search}`, [bank, model.id, null, true, vectors, 5]);
      });
      expect(plan.rows.map((row) => row['QUERY PLAN']).join('\n')).toContain(
        `Index Scan using ${indexName('observations', model.id)}`,
      );
    });

    it('that an attempt left unfinished is made again', async () => {
      const name = indexName('observations', model.id);
      await createPgvectorIndex({ db, log }).prepare(model);
      await db.query('update pg_index set indisvalid = false where indexrelid = to_regclass($1)', [`engram.${name}`]);
      await createPgvectorIndex({ db, log }).prepare(model);
      expect(await indexes()).toContainEqual({ name, definition: expect.stringContaining('vector(16)'), valid: true });
    });

    /** What each statement of its own connection meets: the database as it is, with something that happens on the way. */
    const meeting = (before: (text: string) => Promise<unknown>): Database => ({
      ...db,
      async query(text, values) {
        await before(text);
        return db.query(text, values);
      },
    });
    const oidOf = async () => {
      const { rows } = await db.query<{ oid: number }>('select to_regclass($1)::oid as oid', [
        `engram.${indexName('observations', model.id)}`,
      ]);
      return rows[0]?.oid;
    };
    const validate = (isValid: boolean) =>
      db.query('update pg_index set indisvalid = $2 where indexrelid = to_regclass($1)', [
        `engram.${indexName('observations', model.id)}`,
        isValid,
      ]);

    it('that another process has made meanwhile is not taken for one left unfinished', async () => {
      await createPgvectorIndex({ db, log }).prepare(model);
      await validate(false);
      const made = await oidOf();
      let looks = 0;
      const late = meeting(async (text) => {
        if (text.includes('pg_stat_progress_create_index')) looks += 1;
        if (looks === 2) await validate(true);
      });
      await createPgvectorIndex({ db: late, log }).prepare(model);
      expect(looks).toBeGreaterThan(2);
      expect(await oidOf()).toBe(made);
    });

    it('that another process makes or drops at the same moment is looked at again, and no other failure is', async () => {
      await createPgvectorIndex({ db, log }).prepare(model);
      const failing = (message: string, times: number) => {
        let left = times;
        return meeting(async (text) => {
          if (!/^(drop|create) index/.test(text) || left === 0) return;
          left -= 1;
          throw Object.assign(new Error(message), { code: 'XX000' });
        });
      };
      await validate(false);
      await createPgvectorIndex({ db: failing('tuple concurrently updated', 3), log }).prepare(model);
      expect((await indexes()).every(({ valid }) => valid)).toBe(true);
      await validate(false);
      const broken = createPgvectorIndex({ db: failing('invalid page in block 7', 1), log }).prepare(model);
      await expect(broken).rejects.toThrow('invalid page');
      const endless = createPgvectorIndex({ db: failing('tuple concurrently updated', 1000), log }).prepare(model);
      await expect(endless).rejects.toThrow('tuple concurrently');
      await createPgvectorIndex({ db: failing('tuple concurrently updated', 2), log }).drop(model);
      expect(await oidOf()).toBeNull();
      await createPgvectorIndex({ db, log }).prepare(model);
    });

    it('that another process left unfinished while this one waited to make it is made again', async () => {
      const name = indexName('observations', model.id);
      await createPgvectorIndex({ db, log }).drop(model);
      let isLeft = false;
      const late = meeting(async (text) => {
        if (isLeft || !/^create index .* on engram.observations/s.test(text)) return;
        isLeft = true;
        await db.query(text);
        await validate(false);
      });
      await createPgvectorIndex({ db: late, log }).prepare(model);
      expect(isLeft).toBe(true);
      expect(await indexes()).toContainEqual({ name, definition: expect.any(String), valid: true });
    });

    it('that a row of another length keeps from being built is left, and searches scan', async () => {
      const long = { id: 'test/17', dimensions: 17 };
      await db.query(
        "insert into engram.embedding_models (id, provider, dimensions, is_active) values ($1, 'fake', $2, false)",
        [long.id, long.dimensions],
      );
      const bank = await addBank(db);
      const vector = randomVector(seededRandom(7), long.dimensions);
      const [good] = await addObservations(db, bank, [
        { vector, model: long.id },
        { vector: Float32Array.from([1, 2, 3]), model: long.id },
      ]);
      const index = createPgvectorIndex({ db, log, scanRule: alwaysWalk });
      await index.prepare(long);
      expect((await indexes()).map(({ name }) => name)).not.toContain(indexName('observations', long.id));
      expect((await indexes()).map(({ name }) => name)).toContain(indexName('memories', long.id));
      const query = { bankId: bank, target: 'observations' as const, model: long.id, liveOnly: true, vector, limit: 5 };
      expect((await index.nearest([query]))[0]?.map(({ id }) => id)).toEqual([good]);
    });

    it('holds half-precision numbers above 2,000 dimensions, and ranks by the whole ones', async () => {
      const wide = { id: 'test/wide', dimensions: 2500 };
      await db.query(
        "insert into engram.embedding_models (id, provider, dimensions, is_active) values ($1, 'fake', $2, false)",
        [wide.id, wide.dimensions],
      );
      const index = createPgvectorIndex({ db, log, scanRule: alwaysWalk });
      await index.prepare(wide);
      expect(await indexes()).toContainEqual(
        expect.objectContaining({
          name: indexName('observations', wide.id),
          definition: expect.stringContaining('halfvec(2500)'),
        }),
      );
      const bank = await addBank(db);
      const random = seededRandom(8);
      const vectors = Array.from({ length: 60 }, () => randomVector(random, wide.dimensions));
      const ids = await addObservations(
        db,
        bank,
        vectors.map((vector) => ({ vector, model: wide.id })),
      );
      const vector = vectors[7] ?? new Float32Array();
      const [hits] = await index.nearest([queryFor(bank, { model: wide.id, vector, limit: 3 })]);
      expect(hits?.[0]).toEqual({ id: ids[7], similarity: expect.closeTo(1, 6) });
      const exact = createExactIndex({ db, log });
      const [expected] = await exact.nearest([queryFor(bank, { model: wide.id, vector, limit: 3 })]);
      await exact.release();
      expect(hits?.map((hit) => hit.id)).toEqual(expected?.map((hit) => hit.id));
    });

    it('is not attempted above 4,000 dimensions, where searches scan', async () => {
      const vast = { id: 'test/vast', dimensions: 4100 };
      await db.query(
        "insert into engram.embedding_models (id, provider, dimensions, is_active) values ($1, 'fake', $2, false)",
        [vast.id, vast.dimensions],
      );
      const index = createPgvectorIndex({ db, log, scanRule: alwaysWalk });
      const before = await indexes();
      await index.prepare(vast);
      expect(await indexes()).toEqual(before);
      const bank = await addBank(db);
      const random = seededRandom(9);
      const vectors = Array.from({ length: 5 }, () => randomVector(random, vast.dimensions));
      const ids = await addObservations(
        db,
        bank,
        vectors.map((vector) => ({ vector, model: vast.id })),
      );
      const [hits] = await index.nearest([
        queryFor(bank, { model: vast.id, vector: vectors[4] ?? new Float32Array(), limit: 1 }),
      ]);
      expect(hits?.map((hit) => hit.id)).toEqual([ids[4]]);
    });

    it('of all banks still finds every row of a small one', async () => {
      const big = await addBank(db);
      const random = seededRandom(21);
      await addObservations(
        db,
        big,
        Array.from({ length: 6000 }, () => ({ vector: randomVector(random) })),
      );
      // As far from the query as can be: an index that gives up never gets here.
      const small = await addBank(db);
      const ids = await addObservations(
        db,
        small,
        [175, 176, 177, 178, 179].map((angle) => ({ vector: towards(angle) })),
      );
      const index = createPgvectorIndex({ db, log, scanRule: alwaysWalk });
      const [hits] = await index.nearest([queryFor(small, { limit: 4 })]);
      expect(hits?.map((hit) => hit.id)).toEqual(ids.slice(0, 4));
      const withoutIteration = createPgvectorIndex({ db, log, scanRule: alwaysWalk, iterativeScan: false });
      const [same] = await withoutIteration.nearest([queryFor(small, { limit: 4 })]);
      expect(same).toEqual(hits);
    });
  });

  describe('chooseVectorIndex', () => {
    let database: Awaited<ReturnType<typeof createMigrated>>;
    const lines: string[] = [];
    const listening = createLog({
      level: 'warn',
      pretty: false,
      destination: { write: (line: string) => lines.push(line) },
    });
    beforeAll(async () => {
      database = await createMigrated();
    });
    afterAll(() => database.drop());

    it('installs nothing for a role that may not, names the right, and scans in memory', async () => {
      await database.db.query("create role reader login password 'engramd'");
      await database.db.query('grant usage on schema engram to reader');
      await database.db.query('grant select on all tables in schema engram to reader');
      const db = connect(database.urlOf('reader'), 2);
      try {
        const chosen = await chooseVectorIndex({ db, log: listening });
        expect(chosen.kind).toBe('exact');
        expect(lines.join('')).toContain('GRANT CREATE ON DATABASE');
        await expect(chooseVectorIndex({ db, log: listening, force: 'pgvector' })).rejects.toThrow(
          PgvectorUnavailableError,
        );
      } finally {
        await db.close();
      }
    });

    it('takes the exact scan where it is asked to', async () => {
      expect((await chooseVectorIndex({ db: database.db, log: listening, force: 'exact' })).kind).toBe('exact');
    });

    it('installs pgvector where it may, asked by several at once, and says nothing', async () => {
      lines.length = 0;
      const chosen = await Promise.all([1, 2, 3].map(() => chooseVectorIndex({ db: database.db, log: listening })));
      expect(chosen.map((each) => each.kind)).toEqual(['pgvector', 'pgvector', 'pgvector']);
      expect(lines).toEqual([]);
    });

    it('refuses an extension that lies outside the search path', async () => {
      await database.db.query(
        'drop extension vector; create schema elsewhere; create extension vector schema elsewhere',
      );
      const chosen = await chooseVectorIndex({ db: database.db, log: listening });
      expect(chosen.kind).toBe('exact');
      expect(lines.join('')).toContain('elsewhere');
    });
  });
});
