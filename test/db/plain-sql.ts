import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { afterAll, beforeAll, beforeEach, expect } from 'vitest';
import type { Queryable } from '../../src/db/database.ts';
import { markWriter } from '../../src/store/memories.ts';
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts';

interface MemoryRow {
  id: string;
  text: string;
  tags: string[];
  version: number;
  state: string;
  state_reason: string | null;
  attempts: number;
  is_due: boolean;
  is_edited: boolean;
  is_valid: boolean;
  vector: number[] | null;
  embedding_model: string | null;
  change_xid: string;
}

/** In ascending order. */
export const newIds = (count: number): string[] => Array.from({ length: count }, () => randomUUID()).sort();

/** A database as a person at psql meets it: statements, what became of the rows, and whom they called. Registers its hooks. */
export function usePlainSql() {
  let database: TestDatabase;
  let listener: pg.Client;
  let bank: string;
  const heard: string[] = [];
  beforeAll(async () => {
    database = await createTestDatabase();
    await run(
      "insert into engram.embedding_models (id, provider, dimensions, is_active) values ('model', 'test', 2, true)",
    );
    listener = new pg.Client({ connectionString: database.connectionString });
    listener.on('notification', ({ payload }) => heard.push(payload ?? ''));
    await listener.connect();
    await listener.query('listen engramd_work');
  });
  beforeEach(async () => {
    bank = await newBank();
    // Those of the test before.
    await calls();
  });
  afterAll(async () => {
    await listener.end();
    await database.drop();
  });

  const run = async <Row = Record<string, unknown>>(sql: string, values: readonly unknown[] = []): Promise<Row[]> =>
    (await database.db.query<Row>(sql, values)).rows;

  async function newBank(): Promise<string> {
    const id = `bank-${randomUUID()}`;
    await run('insert into engram.banks (id) values ($1)', [id]);
    return id;
  }

  async function memory(id: string, bankId = bank): Promise<MemoryRow | undefined> {
    const rows = await run<MemoryRow>(
      `select id, text, tags, version, state, state_reason, attempts, next_attempt_at <= now() as is_due,
         edited_at is not null as is_edited, invalidated_at is null as is_valid, embedding as vector, embedding_model,
         change_xid::text
       from engram.memories where bank_id = $1 and id = $2`,
      [bankId, id],
    );
    return rows[0];
  }

  /** One that was worked on long ago: whatever a trigger sets back shows. */
  async function settledMemory(options: { id?: string; bankId?: string; invalidated?: boolean } = {}): Promise<string> {
    const { id = randomUUID(), bankId = bank, invalidated = false } = options;
    await asOurs((tx) =>
      tx.query(
        `insert into engram.memories (bank_id, id, text, context, tags, embedding, embedding_model, state, state_reason, attempts,
           next_attempt_at, occurred_start, occurred_end, mentioned_at, invalidated_at)
         values ($1, $2, 'Old text', 'old context', '{a,b}', '{1,0}', 'model', 'parked', 'old reason', 3, now() + interval '1 day',
           '2026-01-01', '2026-01-02', '2026-01-03', case when $3 then timestamptz '2026-01-04' end)`,
        [bankId, id, invalidated],
      ),
    );
    await run('delete from engram.events where bank_id = $1', [bankId]);
    return id;
  }

  async function observation(
    options: { id?: string; cites?: readonly string[]; bankId?: string } = {},
  ): Promise<string> {
    const { id = randomUUID(), cites = [], bankId = bank } = options;
    await run(
      `insert into engram.observations (bank_id, id, text, tags, embedding, embedding_model, scope_epoch)
       values ($1, $2, 'An observation', '{}', '{1,0}', 'model', 1)`,
      [bankId, id],
    );
    await run(
      `insert into engram.observation_sources (bank_id, observation_id, memory_id, memory_version)
       select $1, $2, unnest($3::uuid[]), 1`,
      [bankId, id, cites],
    );
    return id;
  }

  async function marked(bankId = bank): Promise<string[]> {
    const rows = await run<{ id: string }>(
      'select id from engram.observations where bank_id = $1 and needs_replan_at is not null order by id',
      [bankId],
    );
    return rows.map(({ id }) => id);
  }

  const events = (bankId = bank) =>
    run<{ kind: string; memory_id: string; detail: unknown }>(
      'select kind, memory_id, detail from engram.events where bank_id = $1 order by id',
      [bankId],
    );

  const tombstones = (bankId = bank) =>
    run<{ target: string; row_id: string }>(
      'select target, row_id from engram.vector_tombstones where bank_id = $1 order by target, row_id',
      [bankId],
    );

  /** The banks that were called up since the last look. A call of our own tells when all before it have arrived. */
  async function calls(): Promise<string[]> {
    const last = randomUUID();
    await run("select pg_notify('engramd_work', $1)", [last]);
    await expect.poll(() => heard.includes(last)).toBe(true);
    return heard.splice(0).filter((payload) => payload !== last);
  }

  function asOurs<T>(work: (tx: Queryable) => Promise<T>): Promise<T> {
    return database.db.tx({ label: 'ours' }, async (tx) => {
      await markWriter(tx, 'an instance');
      return work(tx);
    });
  }

  return {
    /** A bank of this test alone. */
    bank: () => bank,
    connectionString: () => database.connectionString,
    run,
    newBank,
    memory,
    settledMemory,
    observation,
    marked,
    events,
    tombstones,
    calls,
    asOurs,
  };
}
