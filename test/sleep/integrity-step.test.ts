import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Database } from '../../src/db/database.ts';
import type { StepContext } from '../../src/sleep/step.ts';
import { createIntegrityStep } from '../../src/sleep/steps/integrity-step.ts';
import { createLog } from '../../src/telemetry/log.ts';
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts';
import { stepContext } from './step-context.ts';

let database: TestDatabase;
let logged: Record<string, unknown>[] = [];
beforeAll(async () => {
  database = await createTestDatabase({ poolMax: 2 });
  await ask(
    `insert into engram.embedding_models (id, provider, dimensions, is_active)
     values ('small/2', 'test', 2, true), ('big/512', 'test', 512, false)`,
  );
});
beforeEach(async () => {
  await ask('delete from engram.banks');
  await ask("insert into engram.banks (id) values ('a'), ('b')");
  logged = [];
});
afterAll(() => database.drop());

const ask = async <Row = Record<string, unknown>>(sql: string, values: readonly unknown[] = []) =>
  (await database.db.query<Row>(sql, values)).rows;

const night = (context: StepContext = stepContext(), db: Database = database.db) =>
  createIntegrityStep({
    db,
    log: createLog({
      level: 'warn',
      pretty: false,
      destination: { write: (line) => void logged.push(JSON.parse(line)) },
    }),
  }).run(context);

const inOrder = { kind: 'done', note: 'all in order' };

/** An observation on a memory of its own. */
async function observe(bankId: string, more: { vector?: string; model?: string } = {}) {
  const [memory, observation] = [randomUUID(), randomUUID()];
  const { vector = '{1,0}', model = 'small/2' } = more;
  await ask(
    `insert into engram.memories (bank_id, id, text, state, embedding, embedding_model)
     values ($1, $2, 'said', 'consolidated', $3, $4)`,
    [bankId, memory, vector, model],
  );
  await ask(
    `insert into engram.observations (bank_id, id, text, tags, embedding, embedding_model, scope_epoch)
     values ($1, $2, 'so', '{}', $3, $4, 0)`,
    [bankId, observation, vector, model],
  );
  await ask(
    `insert into engram.observation_sources (bank_id, observation_id, memory_id, memory_version) values ($1, $2, $3, 1)`,
    [bankId, observation, memory],
  );
  return { memory, observation };
}

const fold = (from: string, into: string) =>
  ask('update engram.observations set canonical_id = $2 where id = $1', [from, into]);
const reals = (length: number) => `{${Array.from({ length }, () => '0.5').join(',')}}`;

describe('what it looks for', () => {
  test('a store in order is said to be, whatever its vectors are kept in', async () => {
    await observe('a');
    await observe('a', { vector: reals(512), model: 'big/512' });
    await observe('b', { vector: reals(512), model: 'big/512' });
    expect(await night()).toEqual(inOrder);
    expect(logged).toEqual([]);
  });

  test('an observation without a source is marked to be written again, once; one that a folded twin supports is not', async () => {
    const [lost, supported, twin, elsewhere] = [
      await observe('a'),
      await observe('a'),
      await observe('a'),
      await observe('b'),
    ];
    await fold(twin.observation, supported.observation);
    await ask('delete from engram.observation_sources where observation_id = any($1)', [
      [lost.observation, supported.observation],
    ]);
    expect(await night()).toEqual({
      kind: 'done',
      note: '1 observations without a source, marked to be written again',
    });
    expect(logged).toMatchObject([{ bankId: 'a', unsupported: 1 }]);
    const marked = await ask<{ id: string }>('select id from engram.observations where needs_replan_at <= now()');
    expect(marked).toEqual([{ id: lost.observation }]);
    expect(elsewhere.observation).not.toBe(lost.observation);
    // It is work by now, and no news.
    expect(await night()).toEqual(inOrder);
  });

  test('a chain of folded observations, vectors of a wrong length, memories nobody would ever come to: each is told of', async () => {
    const [one, two, three] = [await observe('a'), await observe('a'), await observe('a')];
    await fold(one.observation, two.observation);
    await fold(two.observation, three.observation);
    await observe('b', { vector: '{1,0,0}' });
    for (const length of [2, 511, 513, 1024]) await observe('b', { vector: reals(length), model: 'big/512' });
    await ask(
      `update engram.memories set state = 'pending', next_attempt_at = now() + interval '8 days' where id = $1`,
      [one.memory],
    );
    await ask(`update engram.memories set state = 'proposed' where id = $1`, [two.memory]);
    expect(await night()).toEqual({
      kind: 'done',
      note: [
        '1 observations folded into a folded one',
        '10 vectors of a wrong length',
        '1 memories that rest for more than a week',
        '1 memories that wait for a change set that is not there',
      ].join('; '),
    });
    expect(logged).toMatchObject([
      { bankId: 'a', chains: 1, farAttempts: 1, stranded: 1 },
      { bankId: 'b', vectors: 10 },
    ]);
  });

  test('a memory that rests for a day, or waits for an open change set, is as it should be', async () => {
    const [resting, waiting] = [await observe('a'), await observe('a')];
    const [run, set] = [randomUUID(), randomUUID()];
    await ask(
      `update engram.memories set state = 'pending', next_attempt_at = now() + interval '1 day' where id = $1`,
      [resting.memory],
    );
    await ask(`insert into engram.instances (id, role, host, pid, version) values ($1, 'daemon', 'here', 1, '0')`, [
      run,
    ]);
    await ask(`insert into engram.runs (bank_id, id, trigger, instance_id) values ('a', $1, 'hint', $1)`, [run]);
    await ask(
      `insert into engram.change_sets (bank_id, id, run_id, decider, status) values ('a', $1, $2, 'test', 'proposed')`,
      [set, run],
    );
    await ask(
      `insert into engram.change_ops (bank_id, change_set_id, seq, op, status, memory_ids)
       values ('a', $1, 0, 'create', 'proposed', array[$2::uuid])`,
      [set, waiting.memory],
    );
    await ask(`update engram.memories set state = 'proposed' where id = $1`, [waiting.memory]);
    expect(await night()).toEqual(inOrder);
  });

  test('an interrupted check goes on at its bank', async () => {
    const lost = await observe('a');
    await ask('delete from engram.observation_sources');
    const stop = new AbortController();
    const context = stepContext({ signal: stop.signal, progress: () => stop.abort() });
    expect(await night(context)).toEqual({ kind: 'deferred' });
    expect(context.saved.at(-1)).toMatchObject({ after: 'a', banks: 1, findings: { unsupported: 1 } });
    await ask('update engram.observations set needs_replan_at = null where id = $1', [lost.observation]);
    const banks: number[] = [];
    const end = await night(
      stepContext({ checkpoint: context.saved.at(-1) ?? null, progress: (done) => void banks.push(done) }),
    );
    // Bank a is not looked at again: it would be found there once more.
    expect(end).toEqual({ kind: 'done', note: '1 observations without a source, marked to be written again' });
    expect(banks).toEqual([2]);
  });
});

describe('what it deletes', () => {
  test('prunes in batches until nothing is left, and nothing that has its time', async () => {
    await ask(
      `insert into engram.idempotency_keys (scope, key, request_hash, status, response, created_at)
       select 's', n::text, '', 201, '{}', now() - case when n <= 10001 then interval '7 days 1 hour' else interval '6 days' end
       from generate_series(1, 10002) as n`,
    );
    await ask(
      `insert into engram.vector_tombstones (bank_id, target, row_id, deleted_at)
       values ('a', 'memories', gen_random_uuid(), now() - interval '25 hours')`,
    );
    expect(await night()).toEqual({ kind: 'done', note: 'all in order; 10002 old rows deleted' });
    expect(await ask('select key from engram.idempotency_keys')).toEqual([{ key: '10002' }]);
  });

  test('an interruption between two batches leaves the rest to the next go', async () => {
    await ask(
      `insert into engram.idempotency_keys (scope, key, request_hash, status, response, created_at)
       select 't', n::text, '', 201, '{}', now() - interval '8 days' from generate_series(1, 5001) as n`,
    );
    const stop = new AbortController();
    const db: Database = {
      ...database.db,
      async query(text, values) {
        const result = await database.db.query<never>(text, values);
        if (text.includes('delete from engram.idempotency_keys')) stop.abort();
        return result;
      },
    };
    const context = stepContext({ signal: stop.signal });
    expect(await night(context, db)).toEqual({ kind: 'deferred' });
    expect(context.saved.at(-1)).toMatchObject({ after: null, pruned: 5000 });
    const end = await night(stepContext({ checkpoint: context.saved.at(-1) ?? null }));
    expect(end).toEqual({ kind: 'done', note: 'all in order; 5001 old rows deleted' });
  });

  test('what nights leave behind: steps of old cycles but the last twenty, failures nobody can clear; cycles stay', async () => {
    const instance = randomUUID();
    await ask(`insert into engram.instances (id, role, host, pid, version) values ($1, 'daemon', 'here', 1, '0')`, [
      instance,
    ]);
    await ask(
      `insert into engram.sleep_cycles (id, trigger, is_forced, instance_id, started_at, finished_at, outcome)
       select gen_random_uuid(), n::text, false, $1, t, t, 'clean'
       from (select n, now() - n * interval '6 days' as t from generate_series(0, 21) as n) as nights`,
      [instance],
    );
    await ask(
      "insert into engram.sleep_steps (cycle_id, name, position) select id, 'drain', 1 from engram.sleep_cycles",
    );
    await ask(
      `insert into engram.step_failures (step, failures, updated_at) values
       ('graph', 3, now() - interval '91 days'), ('topics', 3, now()), ('drain', 1, now() - interval '91 days')`,
    );
    expect(await night()).toEqual({ kind: 'done', note: 'all in order; 3 old rows deleted' });
    const [cycles] = await ask('select count(*) as n from engram.sleep_cycles');
    expect(cycles).toEqual({ n: 22 });
    // All from the 16th on are older than ninety days; the 21st and the 22nd are not among the last twenty.
    const gone = `select c.trigger from engram.sleep_cycles c where not exists (
      select from engram.sleep_steps s where s.cycle_id = c.id) order by c.trigger`;
    expect(await ask(gone)).toEqual([{ trigger: '20' }, { trigger: '21' }]);
    expect(await ask('select step from engram.step_failures order by step')).toEqual([
      { step: 'drain' },
      { step: 'topics' },
    ]);
    await ask('delete from engram.sleep_cycles');
    await ask('delete from engram.step_failures');
  });

  test('processes that ended long ago and are named nowhere', async () => {
    const ids = {
      old: randomUUID(),
      young: randomUUID(),
      parked: randomUUID(),
      ran: randomUUID(),
      leads: randomUUID(),
    };
    await ask(
      `insert into engram.instances (id, role, host, pid, version, started_at, seen_at, stopped_at)
       select id, 'cli', 'here', 1, '0', now() - interval '100 days', now() - interval '100 days',
         case when id = $2 then null when id = $3 then now() - interval '89 days' else now() - interval '91 days' end
       from unnest($1::uuid[]) as id`,
      [Object.values(ids), ids.parked, ids.young],
    );
    await ask(`insert into engram.runs (bank_id, id, trigger, instance_id) values ('a', $1, 'hint', $1)`, [ids.ran]);
    await ask('update engram.leader set instance_id = $1', [ids.leads]);
    expect(await night()).toEqual({ kind: 'done', note: 'all in order; 1 old rows deleted' });
    const left = await ask<{ id: string }>('select id from engram.instances where id = any($1)', [Object.values(ids)]);
    expect(left.map(({ id }) => id).sort()).toEqual([ids.young, ids.parked, ids.ran, ids.leads].sort());
  });
});
