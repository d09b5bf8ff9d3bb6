import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { banksWithWork, dueWorkOf } from '../../src/store/due-work.ts';
import { pruneAttempts, pruneIdempotencyKeys } from '../../src/store/prune.ts';
import { unparkMemories, unparkScores } from '../../src/store/unpark.ts';
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts';
import { addBank, addMemories } from './queue-rig.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());
beforeEach(async () => {
  await database.db.query('delete from engram.banks');
});

const secondsBetween = (left: Date, right: Date | null) =>
  right === null ? null : (left.getTime() - right.getTime()) / 1000;

async function addReplan(bankId: string, ageSeconds: number): Promise<string> {
  await addMemories(database.db, bankId, { count: 0 });
  const id = randomUUID();
  await database.db.query(
    `insert into engram.observations (bank_id, id, text, tags, embedding, embedding_model, scope_epoch, needs_replan_at)
     values ($1, $2, 'text', '{}', '{1,0}', 'test/2', 0, now() - make_interval(secs => $3))`,
    [bankId, id, ageSeconds],
  );
  return id;
}

describe('what a bank has to do', () => {
  test('no bank, no answer; an empty bank has nothing', async () => {
    await addBank(database.db, 'empty');
    expect(await dueWorkOf(database.db, 'nowhere', 500)).toBeNull();
    expect(await dueWorkOf(database.db, 'empty', 500)).toMatchObject({
      due: 0,
      replans: 0,
      oldestDueAt: null,
      lastWriteAt: null,
      nextAttemptAt: null,
      unembedded: false,
    });
    expect(await banksWithWork(database.db, 500)).toEqual([]);
  });

  test('counts due rows of this bank alone, and knows the oldest and the newest', async () => {
    await addMemories(database.db, 'a', { count: 2, ageSeconds: 600 });
    await addMemories(database.db, 'a', { ageSeconds: 5 });
    await addMemories(database.db, 'b', { count: 7 });
    const work = await dueWorkOf(database.db, 'a', 500);
    expect(work?.due).toBe(3);
    expect(secondsBetween(work?.now ?? new Date(), work?.oldestDueAt ?? null)).toBeCloseTo(600, 0);
    expect(secondsBetween(work?.now ?? new Date(), work?.lastWriteAt ?? null)).toBeCloseTo(5, 0);
  });

  test('rows that are not pending, not valid or not due yet are no work now', async () => {
    const [, invalid, later, held] = await addMemories(database.db, 'a', { count: 4, ageSeconds: 60 });
    await database.db.query("update engram.memories set invalidated_at = now() where bank_id = 'a' and id = $1", [
      invalid,
    ]);
    await database.db.query("update engram.memories set next_attempt_at = now() + interval '1 hour' where id = $1", [
      later,
    ]);
    await database.db.query("update engram.memories set state = 'held' where id = $1", [held]);
    const work = await dueWorkOf(database.db, 'a', 500);
    expect(work?.due).toBe(1);
    expect(secondsBetween(work?.nextAttemptAt ?? new Date(0), work?.now ?? null)).toBeCloseTo(3600, 0);
  });

  test('an edit is a write, also of a memory of long ago', async () => {
    const [id] = await addMemories(database.db, 'a', { ageSeconds: 86_400 });
    await database.db.query("update engram.memories set text = 'edited' where bank_id = 'a' and id = $1", [id]);
    const work = await dueWorkOf(database.db, 'a', 500);
    expect(work).toMatchObject({ due: 1, unembedded: true });
    expect(secondsBetween(work?.now ?? new Date(), work?.oldestDueAt ?? null)).toBeLessThan(5);
    expect(secondsBetween(work?.now ?? new Date(), work?.lastWriteAt ?? null)).toBeLessThan(5);
  });

  test('counting stops at the limit', async () => {
    await addMemories(database.db, 'a', { count: 12 });
    expect(await dueWorkOf(database.db, 'a', 10)).toMatchObject({ due: 10, nextAttemptAt: null });
  });

  test('observations to be written again are work, unless an open proposal names them', async () => {
    await addReplan('a', 100);
    const proposed = await addReplan('a', 50);
    expect(await dueWorkOf(database.db, 'a', 500)).toMatchObject({ due: 0, replans: 2 });

    const [instanceId, runId, changeSetId] = [randomUUID(), randomUUID(), randomUUID()];
    await database.db.query(
      "insert into engram.instances (id, role, host, pid, version) values ($1, 'daemon', 'h', 1, '0')",
      [instanceId],
    );
    await database.db.query(
      "insert into engram.runs (bank_id, id, trigger, instance_id) values ('a', $1, 'hint', $2)",
      [runId, instanceId],
    );
    await database.db.query(
      "insert into engram.change_sets (bank_id, id, run_id, decider, status) values ('a', $1, $2, 'rules', 'proposed')",
      [changeSetId, runId],
    );
    await database.db.query(
      `insert into engram.change_ops (bank_id, change_set_id, seq, op, status, target_id)
       values ('a', $1, 1, 'revise', 'proposed', $2)`,
      [changeSetId, proposed],
    );
    const waiting = await dueWorkOf(database.db, 'a', 500);
    expect(waiting?.replans).toBe(1);
    expect(secondsBetween(waiting?.now ?? new Date(), waiting?.lastWriteAt ?? null)).toBeCloseTo(100, 0);

    await database.db.query("update engram.change_sets set status = 'rejected' where bank_id = 'a'");
    expect(await dueWorkOf(database.db, 'a', 500)).toMatchObject({ replans: 2 });
  });

  test('banks with something to do, for whatever reason, and no others', async () => {
    await addBank(database.db, 'idle');
    await addMemories(database.db, 'due');
    await addReplan('replan', 1);
    const [consolidated] = await addMemories(database.db, 'unembedded', { embedded: false });
    await database.db.query("update engram.memories set state = 'consolidated' where id = $1", [consolidated]);
    await addMemories(database.db, 'later');
    await database.db.query(
      "update engram.memories set next_attempt_at = now() + interval '1 day' where bank_id = 'later'",
    );
    const banks = await banksWithWork(database.db, 500);
    expect(banks.map((bank) => bank.bankId).sort()).toEqual(['due', 'later', 'replan', 'unembedded']);
  });
});

describe('parked memories', () => {
  async function park(bankId: string, ids: readonly string[]): Promise<void> {
    await database.db.query(
      `update engram.memories set state = 'parked', state_reason = 'no_progress', attempts = 5,
         next_attempt_at = now() + interval '1 day' where bank_id = $1 and id = any($2)`,
      [bankId, ids],
    );
  }

  test('come back with a clean record and an event, of one bank', async () => {
    const a = await addMemories(database.db, 'a', { count: 2 });
    const b = await addMemories(database.db, 'b');
    await park('a', a);
    await park('b', b);
    expect(await unparkMemories(database.db, 'a', null)).toEqual(new Map([['a', 2]]));
    const { rows } = await database.db.query(
      `select state, state_reason, attempts, next_attempt_at <= now() as due from engram.memories where bank_id = 'a'`,
    );
    expect(rows).toEqual([
      { state: 'pending', state_reason: null, attempts: 0, due: true },
      { state: 'pending', state_reason: null, attempts: 0, due: true },
    ]);
    const events = await database.db.query(
      "select from engram.events where kind = 'memory.unparked' and memory_id = any($1)",
      [a],
    );
    expect(events.rowCount).toBe(2);
    expect(
      (await database.db.query("select from engram.memories where bank_id = 'b' and state = 'parked'")).rowCount,
    ).toBe(1);
  });

  test("another bank's ids bring nothing back", async () => {
    const b = await addMemories(database.db, 'b');
    await addBank(database.db, 'a');
    await park('b', b);
    expect(await unparkMemories(database.db, 'a', b)).toEqual(new Map());
    expect(await unparkMemories(database.db, 'b', [randomUUID()])).toEqual(new Map());
    expect(await unparkMemories(database.db, null, b)).toEqual(new Map([['b', 1]]));
  });

  test('of a whole bank come back by and by, in transactions of a few thousand, each with its events', async () => {
    await addBank(database.db, 'a');
    await addBank(database.db, 'b');
    await database.db.query(
      `insert into engram.memories (bank_id, id, text, state, score_parked)
       select bank, gen_random_uuid(), 'x', 'parked', 'too_long' from unnest(array['a', 'b']) as bank, generate_series(1, 2100)`,
    );
    const each = new Map([
      ['a', 2100],
      ['b', 2100],
    ]);
    const transactions = async (kind: string) => {
      const { rows } = await database.db.query<{ of_rows: number; of_events: number }>(
        `select count(distinct m.change_xid)::int as of_rows, count(distinct e.change_xid)::int as of_events
         from engram.memories m left join engram.events e on e.memory_id = m.id and e.kind = $1
           and e.change_xid = m.change_xid`,
        [kind],
      );
      return rows[0];
    };
    expect(await unparkMemories(database.db, null, null)).toEqual(each);
    expect(await transactions('memory.unparked')).toEqual({ of_rows: 4, of_events: 4 });
    expect(await unparkScores(database.db, null, null)).toEqual(each);
    expect(await transactions('memory.score_unparked')).toEqual({ of_rows: 4, of_events: 4 });
    expect(await unparkScores(database.db, null, null)).toEqual(new Map());
  });
});

test('pruning takes what is older than a week and leaves the rest', async () => {
  await database.db.query(
    `insert into engram.idempotency_keys (scope, key, request_hash, status, response, created_at)
     values ('s', 'old', '', 200, '{}', now() - interval '8 days'), ('s', 'new', '', 200, '{}', now() - interval '6 days')`,
  );
  expect(await pruneIdempotencyKeys(database.db)).toBe(1);
  expect((await database.db.query("select from engram.idempotency_keys where key = 'new'")).rowCount).toBe(1);

  await addBank(database.db, 'a');
  const [instanceId, runId] = [randomUUID(), randomUUID()];
  await database.db.query(
    "insert into engram.instances (id, role, host, pid, version) values ($1, 'cli', 'h', 1, '0')",
    [instanceId],
  );
  await database.db.query("insert into engram.runs (bank_id, id, trigger, instance_id) values ('a', $1, 'hint', $2)", [
    runId,
    instanceId,
  ]);
  await database.db.query(
    `insert into engram.attempts (bank_id, id, run_id, instance_id, memory_ids, started_at, finished_at, outcome)
     values ('a', gen_random_uuid(), $1, $2, '{}', now() - interval '9 days', now() - interval '8 days', 'applied'),
            ('a', gen_random_uuid(), $1, $2, '{}', now() - interval '9 days', now() - interval '6 days', 'crashed'),
            ('a', gen_random_uuid(), $1, $2, '{}', now() - interval '9 days', null, null)`,
    [runId, instanceId],
  );
  expect(await pruneAttempts(database.db)).toBe(1);
  expect((await database.db.query('select from engram.attempts')).rowCount).toBe(2);
});
