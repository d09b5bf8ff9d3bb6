import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts';

/** Rows of one statement. Compared each with each, they would be a hundred times a hundred times four. */
const rows = 400;

let database: TestDatabase;
let client: pg.Client;
/** What each plan had to throw away or go over again, by statement. */
let work: { readonly query: string; readonly rows: number }[] = [];

beforeAll(async () => {
  database = await createTestDatabase();
  client = new pg.Client({ connectionString: database.connectionString });
  client.on('notice', ({ message = '' }) => {
    const [, json] = /plan:\n([\s\S]*)/.exec(message) ?? [];
    if (json === undefined) return;
    const { 'Query Text': query, Plan: plan } = JSON.parse(json) as { 'Query Text': string; Plan: Plan };
    work.push({ query, rows: workOf(plan) });
  });
  await client.connect();
  await client.query(
    "insert into engram.embedding_models (id, provider, dimensions, is_active) values ('m', 't', 1, false)",
  );
  await client.query("insert into engram.banks (id) values ('b')");
});
afterAll(async () => {
  await client.end();
  await database.drop();
});

interface Plan {
  readonly 'Actual Loops': number;
  readonly 'Actual Rows': number;
  readonly 'Rows Removed by Join Filter'?: number;
  readonly 'Rows Removed by Filter'?: number;
  readonly Plans?: readonly Plan[];
}

function workOf(plan: Plan): number {
  const each = plan['Actual Rows'] + (plan['Rows Removed by Join Filter'] ?? 0) + (plan['Rows Removed by Filter'] ?? 0);
  return (plan.Plans ?? []).reduce((sum, part) => sum + workOf(part), each * plan['Actual Loops']);
}

async function add(count: number): Promise<void> {
  await client.query(
    `insert into engram.memories (bank_id, id, text) select 'b', gen_random_uuid(), 'x' from generate_series(1, $1)`,
    [count],
  );
}

const statements: readonly (readonly [string, string])[] = [
  ['a state', "update engram.memories set score_parked = 'x'"],
  ['a text', "update engram.memories set text = text || '!'"],
  ['an invalidation', 'update engram.memories set invalidated_at = now()'],
  ['a deletion', 'delete from engram.memories'],
];

test('one statement over a whole bank costs as many rows as it has, also in a session that began with a few', async () => {
  await client.query("insert into engram.scopes (bank_id, tags) values ('b', '{}') on conflict do nothing");
  // Plans that functions keep are made here.
  for (let n = 0; n < 7; n += 1) {
    await add(1);
    for (const [, statement] of statements) await client.query(statement);
  }
  await add(rows);
  await client.query(
    `insert into engram.observations (bank_id, id, text, tags, embedding, embedding_model, scope_epoch)
     select 'b', id, 'o', '{}', '{1}', 'm', 1 from engram.memories`,
  );
  await client.query(
    `insert into engram.observation_sources (bank_id, observation_id, memory_id, memory_version)
     select 'b', id, id, 1 from engram.memories`,
  );
  await client.query(
    `with made as (insert into engram.snapshots (bank_id, id, trigger, applied_no)
       values ('b', gen_random_uuid(), 'asked', 0) returning id)
     insert into engram.snapshot_rows (bank_id, snapshot_id, target, row_id, version, state)
     select 'b', made.id, 'memories', m.id, 1, 'pending' from made, engram.memories m`,
  );
  await client.query("load 'auto_explain'");
  await client.query(
    `set auto_explain.log_min_duration = 0; set auto_explain.log_nested_statements = on; set auto_explain.log_analyze = on;
     set auto_explain.log_timing = off; set auto_explain.log_format = json; set client_min_messages = log`,
  );
  for (const [name, statement] of statements) {
    work = [];
    await client.query(statement);
    expect(work.length, name).toBeGreaterThan(1);
    expect(
      work.filter((one) => one.rows > 40 * rows),
      name,
    ).toEqual([]);
  }
});
