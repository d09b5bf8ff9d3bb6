import { v7 as uuid } from 'uuid';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { Database } from '../../src/db/database.ts';
import { migrate, readMigrations } from '../../src/db/migrate.ts';
import { selectReplans } from '../../src/store/replan-work.ts';
import { type BlankDatabase, createBlankDatabase } from '../db/blank-database.ts';

/** What migration 0004 makes of the history that the version before it wrote. */

const migrationsFolder = new URL('../../src/store/migrations', import.meta.url).pathname;
const bankId = 'old';
const vector = 'array_fill(0.1::real, array[3])';

let blank: BlankDatabase;
let db: Database;
beforeEach(async () => {
  blank = await createBlankDatabase();
  db = blank.open();
  await migrate(db, (await readMigrations(migrationsFolder)).slice(0, 2));
  await db.query('insert into engram.banks (id) values ($1)', [bankId]);
  await db.query(
    "insert into engram.embedding_models (id, provider, dimensions, is_active) values ('local/m', 'local', 3, true)",
  );
});
afterEach(() => blank.drop());

const migrateAll = async () => migrate(db, await readMigrations(migrationsFolder));

async function observation(text: string, markedAt: string | null = null): Promise<string> {
  const id = uuid();
  await db.query(
    `insert into engram.observations (bank_id, id, text, tags, embedding, embedding_model, scope_epoch, needs_replan_at)
     values ($1, $2, $3, '{}', ${vector}, 'local/m', 1, $4)`,
    [bankId, id, text, markedAt],
  );
  return id;
}

async function changeSet(status: string, ops: readonly object[]): Promise<string> {
  const [id, runId, instanceId] = [uuid(), uuid(), uuid()];
  await db.query("insert into engram.instances (id, role, host, pid, version) values ($1, 'daemon', 'h', 1, '0')", [
    instanceId,
  ]);
  await db.query("insert into engram.runs (bank_id, id, trigger, instance_id) values ($1, $2, 'requested', $3)", [
    bankId,
    runId,
    instanceId,
  ]);
  await db.query(
    "insert into engram.change_sets (bank_id, id, run_id, decider, status) values ($1, $2, $3, 'rules/1', $4)",
    [bankId, id, runId, status],
  );
  await db.query(
    `insert into engram.change_ops (bank_id, change_set_id, seq, op, status, target_id, result_id, before, after, reason, verdicts)
     select $1, $2, n, o->>'op', o->>'status', (o->>'target')::uuid, (o->>'result')::uuid, o->'before', o->'after',
       coalesce(o->>'reason', ''), coalesce(o->'verdicts', '[]')
     from jsonb_array_elements($3::jsonb) with ordinality as t(o, n)`,
    [bankId, id, JSON.stringify(ops)],
  );
  return id;
}

it('proposals without a plan are decided anew', async () => {
  const target = await observation('Ana drinks tea', '2026-01-01T00:00:00Z');
  const memoryId = uuid();
  await db.query(
    `insert into engram.memories (bank_id, id, text, state, state_reason, attempts)
     values ($1, $2, 'Ana drinks tea', 'proposed', 'loss-budget', 2)`,
    [bankId, memoryId],
  );
  const set = await changeSet('proposed', [{ op: 'retire', status: 'proposed', target }]);
  const { rows: before } = await db.query('select id from engram.observations where needs_replan_at <= now()');
  expect(before).toEqual([{ id: target }]);
  await migrateAll();
  const { rows } = await db.query(
    `select s.status as set, o.status as op, s.decided_at is not null as decided
     from engram.change_sets s join engram.change_ops o on o.change_set_id = s.id where s.id = $1`,
    [set],
  );
  expect(rows).toEqual([{ set: 'conflicted', op: 'conflicted', decided: true }]);
  const { rows: memories } = await db.query('select state, state_reason, attempts from engram.memories');
  expect(memories).toEqual([{ state: 'pending', state_reason: null, attempts: 0 }]);
  expect((await selectReplans(db, bankId, { limit: 5, inHand: [] })).map((row) => row.id)).toEqual([target]);
});

it('an op is found by every observation that stands in its images', async () => {
  const [target, result, pointed, linked, created, moved] = await Promise.all(
    ['a', 'b', 'c', 'd', 'e', 'f'].map((text) => observation(text)),
  );
  await changeSet('applied', [
    {
      op: 'fold',
      status: 'applied',
      target,
      result,
      before: { target: { id: target }, repointed: [{ id: pointed }], links: [{ observationId: linked }] },
      after: {
        target: null,
        created: { id: created },
        repointed: [{ id: moved }],
        links: [{ memoryId: uuid(), memoryVersion: 1 }],
      },
    },
    { op: 'skip', status: 'applied', before: null, after: { created: null, repointed: [], links: [] } },
  ]);
  await migrateAll();
  const { rows } = await db.query<{ ids: string[] }>(
    'select observation_ids as ids from engram.change_ops order by seq',
  );
  expect(rows.map((row) => [...row.ids].sort())).toEqual([
    [target, result, pointed, linked, created, moved].sort(),
    [],
  ]);
});

it('a reason that may quote what no id leads to is not kept', async () => {
  const [target, result] = [await observation('a'), await observation('b')];
  const verdicts = [{ validator: 'values-preserved', reason: 'they differ: number 778812' }];
  await changeSet('applied', [
    { op: 'revise', status: 'rejected', reason: 'number 778812', verdicts },
    { op: 'create', status: 'applied', result, reason: 'they differ: number 778812' },
    { op: 'create', status: 'applied', result, reason: 'nothing held says this' },
    { op: 'supersede', status: 'applied', target, result, reason: 'they differ: number 778812' },
  ]);
  await migrateAll();
  const { rows } = await db.query('select reason, verdicts from engram.change_ops order by seq');
  expect(rows).toEqual([
    { reason: '', verdicts: [{ validator: 'values-preserved', reason: '' }] },
    { reason: '', verdicts: [] },
    { reason: 'nothing held says this', verdicts: [] },
    { reason: 'they differ: number 778812', verdicts: [] },
  ]);
});
