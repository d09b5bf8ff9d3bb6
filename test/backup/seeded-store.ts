import type { Queryable } from '../../src/db/database.ts';

/** Ids that a test can name: `idOf('1', 7)` is the seventh memory of the first bank. */
export const idOf = (kind: string, number: number) =>
  `${kind.padEnd(8, '0')}-0000-4000-8000-${number.toString(16).padStart(12, '0')}`;

const dimensions = 8;

/**
 * Something in every table that a backup holds, written by plain SQL. Memory 1 of each bank is the only one that speaks
 * of a lighthouse.
 */
export async function seedStore(db: Queryable, size: { banks: number; memories: number }): Promise<void> {
  await db.query(
    `insert into engram.embedding_models (id, provider, dimensions, is_active) values ('test/model', 'test', $1, true)`,
    [dimensions],
  );
  await db.query(
    `insert into engram.instances (id, role, host, pid, version) values ($1, 'daemon', 'there', 4711, '0.0.0')`,
    [idOf('e', 1)],
  );
  for (let bank = 1; bank <= size.banks; bank += 1) await seedBank(db, bank, size.memories);
  for (const statement of oneOfEach)
    await db.query(statement, [idOf('e', 1)].slice(0, statement.includes('$1') ? 1 : 0));
}

async function seedBank(db: Queryable, bank: number, memories: number): Promise<void> {
  const id = `bank-${bank}`;
  await db.query('insert into engram.banks (id, mission) values ($1, $2)', [id, `the mission of ${bank}`]);
  await db.query(
    `insert into engram.memories (bank_id, id, text, context, tags, metadata, embedding, embedding_model, occurred_start)
     select $1, ('${bank}0000000-0000-4000-8000-' || lpad(to_hex(n), 12, '0'))::uuid,
       case n when 1 then 'the lighthouse keeper counts ships' else 'note ' || n || ' about harbour ' || n % 97 end,
       case when n % 3 = 0 then 'Grüße – ' || n end, case when n % 2 = 0 then array['b', 'a'] else '{}' end,
       jsonb_build_object('n', n, 'deep', jsonb_build_array(1.50, null, 'x')),
       (select array_agg(sin(n * d)) from generate_series(1, $3::int) as d)::real[], 'test/model',
       case when n % 5 = 0 then '2024-05-06T07:08:09.123456Z'::timestamptz + n * interval '1 minute' end
     from generate_series(1, $2::int) as n`,
    [id, memories, dimensions],
  );
  await db.query(
    `insert into engram.observations (bank_id, id, text, tags, embedding, embedding_model, scope_epoch, valid_from)
     select bank_id, ('f' || substr(id::text, 2))::uuid, 'observed: ' || text, tags, embedding, embedding_model, 1, created_at
     from engram.memories where bank_id = $1 order by id limit 20`,
    [id],
  );
  await db.query(
    `insert into engram.observation_sources (bank_id, observation_id, memory_id, memory_version)
     select bank_id, id, ('${bank}' || substr(id::text, 2))::uuid, 1 from engram.observations where bank_id = $1`,
    [id],
  );
  // One folded into another, which waits for its foreign key until the end.
  await db.query(`update engram.observations set canonical_id = $2 where bank_id = $1 and id = $3`, [
    id,
    `f0000000-0000-4000-8000-${(3).toString(16).padStart(12, '0')}`,
    idOf('f', 2),
  ]);
  await db.query(`insert into engram.scopes (bank_id, tags, epoch) values ($1, '{}', 7)`, [id]);
}

const oneOfEach = [
  `insert into engram.entities (bank_id, id, name) values ('bank-1', gen_random_uuid(), 'Ada')`,
  `insert into engram.memory_entities select 'bank-1', '10000000-0000-4000-8000-000000000001', id from engram.entities`,
  `insert into engram.runs (bank_id, id, trigger, instance_id) values ('bank-1', gen_random_uuid(), 'due', $1)`,
  `insert into engram.change_sets (bank_id, id, run_id, decider, status)
   select 'bank-1', gen_random_uuid(), id, 'rules', 'applied' from engram.runs`,
  `insert into engram.change_ops (bank_id, change_set_id, seq, op, status, after, after_embedding, after_embedding_model)
   select 'bank-1', id, n, 'create', 'applied', '{"created": {"id": null}}', '\\x0001', 'test/model'
   from engram.change_sets, generate_series(1, 3) as n`,
  `insert into engram.conflicts (bank_id, id, left_id, right_id)
   values ('bank-1', gen_random_uuid(), 'f0000000-0000-4000-8000-000000000004', 'f0000000-0000-4000-8000-000000000005')`,
  `insert into engram.attempts (bank_id, id, run_id, instance_id, memory_ids)
   select 'bank-1', gen_random_uuid(), id, instance_id, '{10000000-0000-4000-8000-000000000001}' from engram.runs`,
  `insert into engram.idempotency_keys (scope, key, request_hash, status, response) values ('bank-1', 'k', '\\x01', 201, '{}')`,
  `insert into engram.model_calls (id, day, bank_id, instance_id, purpose, endpoint, model, request_hash, prompt_bytes,
     nano_usd, tokens, unpriced_tokens)
   values (gen_random_uuid(), '2024-05-06', 'bank-1', $1, 'consolidate', 'http://there', 'm', '\\x02', 10, 400, 40, 0)`,
  `insert into engram.budget_ledger (day, nano_usd, tokens, calls) values ('2024-05-06', 400, 40, 1), ('2024-05-07', 900, 90, 2)`,
  `insert into engram.model_answers (bank_id, request_hash, answer, subject_ids) values ('bank-1', '\\x02', '{}', '{}')`,
  `insert into engram.verdicts (bank_id, key, verdict, subject_ids) values ('bank-1', '\\x03', 'same', '{}')`,
  `insert into engram.model_abilities (endpoint, model, abilities) values ('http://there', 'm', '{}')`,
  `insert into engram.erasures (bank_id, memory_id) values ('bank-1', '1fffffff-0000-4000-8000-000000000001')`,
  `insert into engram.erasures_due (bank_id, memory_id, erased_at) values ('bank-1', '1fffffff-0000-4000-8000-000000000002', now())`,
  `insert into engram.next_embeddings (bank_id, target, row_id, model, content_hash)
   values ('bank-1', 'memories', '10000000-0000-4000-8000-000000000001', 'test/model', '\\x04')`,
  `insert into engram.lifecycle_events (from_state, to_state, reason) values ('wake', 'drowsy', 'idle')`,
  `insert into engram.sleep_cycles (id, trigger, is_forced, instance_id) values (gen_random_uuid(), 'idle', false, $1)`,
  `insert into engram.sleep_steps (cycle_id, name, position) select id, 'drain', 1 from engram.sleep_cycles`,
  `insert into engram.digests (id, cycle_id, from_at, to_at) select gen_random_uuid(), id, now(), now() from engram.sleep_cycles`,
  `insert into engram.snapshots (bank_id, id, trigger, applied_no) values ('bank-1', gen_random_uuid(), 'asked', 0)`,
  `insert into engram.snapshot_rows (bank_id, snapshot_id, target, row_id, version, state)
   select 'bank-1', id, 'memories', gen_random_uuid(), 1, 'pending' from engram.snapshots`,
];
