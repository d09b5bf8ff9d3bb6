import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { beforeEach, describe, expect, test } from 'vitest';
import { newIds, usePlainSql } from './plain-sql.ts';

const plain = usePlainSql();
const { run, newBank, memory, settledMemory, observation, marked, events, tombstones, calls, asOurs } = plain;

let bank: string;
beforeEach(() => {
  bank = plain.bank();
});

const kinds = async () => (await events()).map(({ kind }) => kind);

const failureOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => expect.unreachable('it should have failed'),
    (thrown: unknown) => thrown,
  );

describe('a statement over many memories', () => {
  let ids: string[];
  let other: string;
  beforeEach(async () => {
    ids = newIds(3);
    other = await newBank();
  });

  test('inserts: one event for each, one call for each bank', async () => {
    await run(
      `insert into engram.memories (bank_id, id, text) select b, m, 'New' from unnest($1::text[]) as b, unnest($2::uuid[]) as m`,
      [[bank, other], ids.toReversed()],
    );
    for (const bankId of [bank, other]) {
      expect((await events(bankId)).map(({ memory_id }) => memory_id)).toEqual(ids);
    }
    expect((await calls()).sort()).toEqual([bank, other].sort());
  });

  test('inserts nothing: silence', async () => {
    await settledMemory({ id: ids[0] ?? '' });
    await run("insert into engram.memories (bank_id, id, text) values ($1, $2, 'New') on conflict do nothing", [
      bank,
      ids[0],
    ]);
    await run("update engram.memories set text = 'New' where bank_id = $1 and id = $2", [bank, randomUUID()]);
    await run('delete from engram.memories where bank_id = $1 and id = $2', [bank, randomUUID()]);
    expect(await events()).toEqual([]);
    expect(await tombstones()).toEqual([]);
    expect(await calls()).toEqual([]);
  });

  test('updates: each row for itself', async () => {
    for (const id of ids) await settledMemory({ id });
    const [edited = '', same = '', invalidated = ''] = ids;
    const cited = [edited, same, invalidated].map((id) => observation({ cites: [id] }));
    const [ofEdited = '', , ofInvalidated = ''] = await Promise.all(cited);
    const ofBoth = await observation({ cites: [invalidated, edited] });
    await run(
      `update engram.memories set text = case id when $2 then 'New' else text end,
         invalidated_at = case id when $3 then now() end where bank_id = $1`,
      [bank, edited, invalidated],
    );
    expect(await memory(edited)).toMatchObject({ version: 2, state: 'pending', vector: null });
    expect(await memory(same)).toMatchObject({ version: 1, state: 'parked', vector: [1, 0] });
    expect(await memory(invalidated)).toMatchObject({ version: 2, state: 'parked', vector: [1, 0], is_valid: false });
    expect(await marked()).toEqual([ofEdited, ofInvalidated, ofBoth].sort());
    expect(await events()).toEqual([
      { kind: 'memory.edited', memory_id: edited, detail: { version: 2 } },
      { kind: 'memory.invalidated', memory_id: invalidated, detail: { version: 2 } },
    ]);
    expect(await calls()).toEqual([bank]);
  });

  test('deletes: each row for itself', async () => {
    for (const id of ids) await settledMemory({ id });
    const citing = [await observation({ cites: ids.slice(0, 2) }), await observation({ cites: ids.slice(1) })].sort();
    await observation();
    await run('delete from engram.memories where bank_id = $1', [bank]);
    expect(await marked()).toEqual(citing);
    expect(await run('select from engram.observation_sources where bank_id = $1', [bank])).toEqual([]);
    expect(await events()).toEqual(ids.map((memory_id) => ({ kind: 'memory.deleted', memory_id, detail: {} })));
    expect(await tombstones()).toEqual(ids.map((row_id) => ({ target: 'memories', row_id })));
    expect(await calls()).toEqual([bank]);
  });
});

describe('words of a memory in the timeline', () => {
  const wordy = { reason: 'a score of Zanzibar Pete', entities: ['Zanzibar Pete'], score: 1 };
  const tell = (bankId: string, kind: string, memoryId: string | null) =>
    run('insert into engram.events (bank_id, kind, memory_id, detail) values ($1, $2, $3, $4)', [
      bankId,
      kind,
      memoryId,
      JSON.stringify(wordy),
    ]);

  test.each([
    ['one', 1],
    ['as many as are looked up otherwise', 150],
  ])('go with it, and those of others stay: %s', async (_, count) => {
    const ids = newIds(count);
    const other = await newBank();
    const kept = await settledMemory();
    for (const bankId of [bank, other]) {
      await run(
        "insert into engram.memories (bank_id, id, text) select $1, m, 'Old' from unnest($2::uuid[]) as m order by m",
        [bankId, ids],
      );
      await run('delete from engram.events where bank_id = $1', [bankId]);
      await tell(bankId, 'memory.scored', ids[0] ?? '');
      await tell(bankId, 'memory.parked', ids.at(-1) ?? '');
    }
    await tell(bank, 'memory.scored', kept);
    await run('delete from engram.memories where bank_id = $1 and id = any($2::uuid[])', [bank, ids]);
    const told = (await events()).filter(({ kind }) => kind !== 'memory.deleted');
    expect(told.map(({ memory_id, detail }) => [memory_id, detail])).toEqual([
      [ids[0], { score: 1 }],
      [ids.at(-1), { score: 1 }],
      [kept, wordy],
    ]);
    expect((await events(other)).map(({ detail }) => detail)).toEqual([wordy, wordy]);
  });

  test('go with the bank, also of what went before there was a care for them', async () => {
    const other = await newBank();
    for (const bankId of [bank, other]) {
      const id = await settledMemory({ bankId });
      await tell(bankId, 'memory.score_parked', id);
      await tell(bankId, 'memory.scored', randomUUID());
      await tell(bankId, 'memory.scored', null);
    }
    await run('delete from engram.banks where id = $1', [bank]);
    expect((await events()).map(({ detail }) => detail)).toEqual(Array(3).fill({ score: 1 }));
    expect((await events(other)).map(({ detail }) => detail)).toEqual(Array(3).fill(wordy));
  });

  test('go with the bank though they were being written', async () => {
    const id = await settledMemory();
    const writer = new pg.Client({ connectionString: plain.connectionString() });
    await writer.connect();
    try {
      await writer.query('begin');
      // As where the reason of a memory that is given up is noted: without a lock of the bank.
      await writer.query("update engram.memories set state_reason = 'x' where bank_id = $1 and id = $2", [bank, id]);
      const deleting = run('delete from engram.banks where id = $1', [bank]);
      await expect
        .poll(
          async () =>
            (await run("select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"))
              .length,
        )
        .toBe(1);
      await writer.query(
        "insert into engram.events (bank_id, kind, memory_id, detail) values ($1, 'memory.parked', $2, $3)",
        [bank, id, JSON.stringify(wordy)],
      );
      await writer.query('commit');
      await deleting;
    } finally {
      await writer.end();
    }
    expect((await events()).map(({ detail }) => detail)).toEqual([{ score: 1 }]);
  });
});

describe('locks of a plain statement (L4)', () => {
  const statements = [
    "update engram.memories set text = 'New' where bank_id = $1",
    'delete from engram.memories where bank_id = $1',
  ];

  /** Runs `statement` while `held` is locked by somebody, looks which of `rows` it has, and lets it end. */
  async function whichAreLocked(
    statement: string,
    held: [string, string],
    table: string,
    ids: readonly string[],
  ): Promise<boolean[]> {
    const holder = new pg.Client({ connectionString: plain.connectionString() });
    await holder.connect();
    try {
      await holder.query('begin');
      await holder.query(`select from engram.${held[0]} where bank_id = $1 and id = $2 for no key update`, [
        bank,
        held[1],
      ]);
      const running = run(statement, [bank]);
      await expect
        .poll(
          async () =>
            (await run("select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"))
              .length,
        )
        .toBe(1);
      const free = await run<{ id: string }>(
        `select id from engram.${table} where bank_id = $1 and id = any($2::uuid[]) for no key update skip locked`,
        [bank, ids],
      );
      await holder.query('rollback');
      await running;
      return ids.map((id) => !free.some((row) => row.id === id));
    } finally {
      await holder.end();
    }
  }

  test.each(statements)('no observation before the last memory: %s', async (statement) => {
    const [first = '', last = ''] = newIds(2);
    for (const id of [first, last]) await settledMemory({ id });
    const citing = await observation({ cites: [first] });
    expect(await whichAreLocked(statement, ['memories', last], 'observations', [citing])).toEqual([false]);
    expect(await marked()).toEqual([citing]);
  });

  test.each(statements)('observations by id: %s', async (statement) => {
    const [low = '', middle = '', high = ''] = newIds(3);
    for (const id of [high, middle, low]) await observation({ id, cites: [await settledMemory()] });
    expect(await whichAreLocked(statement, ['observations', middle], 'observations', [low, high])).toEqual([
      true,
      false,
    ]);
    expect(await marked()).toEqual([low, middle, high]);
  });
});

describe('the call to the daemon', () => {
  const writes = [
    "insert into engram.memories (bank_id, id, text) values ($1, gen_random_uuid(), 'New')",
    "update engram.memories set text = text || '!' where bank_id = $1",
    'delete from engram.memories where bank_id = $1',
  ];

  test.each(writes)('is not made for what the daemon writes itself: %s', async (sql) => {
    await settledMemory();
    await asOurs((tx) => tx.query(sql, [bank]));
    expect(await kinds()).toHaveLength(1);
    expect(await calls()).toEqual([]);
  });

  test.each(writes)('is made by a connection that was once the daemon’s: %s', async (sql) => {
    await settledMemory();
    const client = new pg.Client({ connectionString: plain.connectionString() });
    await client.connect();
    try {
      await client.query("begin; select set_config('engram.writer', 'an instance', true); commit");
      await client.query(sql, [bank]);
    } finally {
      await client.end();
    }
    expect(await calls()).toEqual([bank]);
  });
});

test('a deleted bank takes all that is its own along; tombstones, the timeline, what was spent and the others stay', async () => {
  const other = await newBank();
  for (const bankId of [bank, other]) await furnish(bankId);
  const tables = await run<{ name: string }>(
    `select table_name as name from information_schema.columns where table_schema = 'engram' and column_name = 'bank_id'
     and table_name not in ('events', 'vector_tombstones', 'model_calls', 'erasures', 'erasures_due') order by name`,
  );
  const rowsOf = async (bankId: string) => {
    const counts: Record<string, number> = {};
    for (const { name } of tables) {
      counts[name] = (await run(`select from engram.${name} where bank_id = $1`, [bankId])).length;
    }
    return counts;
  };
  const furnished = await rowsOf(bank);
  expect(Object.entries(furnished).filter(([, count]) => count === 0)).toEqual([]);
  const kindsBefore = await kinds();
  await calls();

  await run('delete from engram.banks where id = $1', [bank]);
  expect(Object.entries(await rowsOf(bank)).filter(([, count]) => count > 0)).toEqual([]);
  expect(await rowsOf(other)).toEqual(furnished);
  expect(await marked(other)).toEqual([]);
  expect((await tombstones()).map(({ target }) => target)).toEqual([
    'memories',
    'memories',
    ...Array(4).fill('observations'),
  ]);
  expect(await tombstones(other)).toEqual([]);
  expect(await kinds()).toEqual(kindsBefore);
  expect(await calls()).toEqual([bank]);
});

/** A row at least in every table, with all the references there can be. */
async function furnish(bankId: string): Promise<void> {
  const memories = [await settledMemory({ bankId }), await settledMemory({ bankId })];
  const [left = '', right = '', folded = '', older = ''] = newIds(4);
  for (const id of [left, right, folded, older]) await observation({ id, cites: memories, bankId });
  await run('update engram.observations set canonical_id = $3 where bank_id = $1 and id = $2', [bankId, folded, left]);
  await run('update engram.observations set superseded_by = $3 where bank_id = $1 and id = $2', [bankId, older, left]);
  const id = randomUUID();
  await run("insert into engram.instances (id, role, host, pid, version) values ($1, 'cli', 'host', 1, '0')", [id]);
  for (const [sql, ...values] of [
    ["insert into engram.entities (bank_id, id, name) values ($1, $2, 'Ben')", id],
    ['insert into engram.memory_entities values ($1, $2, $3)', memories[0], id],
    ["insert into engram.scopes (bank_id, tags, epoch) values ($1, '{}', 3)"],
    ["insert into engram.runs (bank_id, id, trigger, instance_id) values ($1, $2, 'test', $2)", id],
    [
      "insert into engram.change_sets (bank_id, id, run_id, decider, status) values ($1, $2, $2, 'test', 'applied')",
      id,
    ],
    [
      "insert into engram.change_ops (bank_id, change_set_id, seq, op, status, target_id) values ($1, $2, 1, 'revise', 'applied', $3)",
      id,
      left,
    ],
    ['insert into engram.conflicts (bank_id, id, left_id, right_id) values ($1, $2, $3, $4)', id, left, right],
    ["insert into engram.attempts (bank_id, id, run_id, instance_id, memory_ids) values ($1, $2, $2, $2, '{}')", id],
    ["insert into engram.events (bank_id, kind) values ($1, 'test')"],
    ["insert into engram.contradiction_marks (bank_id, seen_xid) values ($1, '1')"],
    ["insert into engram.sweep_marks (bank_id, seen_xid) values ($1, '1')"],
    [
      `insert into engram.shared_builds (bank_id, kind, key, fence, rows, seen_xid, is_complete, payload)
       values ($1, 'neighbours', 'k', 1, 1, '1', true, '\\x00')`,
    ],
    [
      `insert into engram.build_leases (bank_id, kind, key, holder, fence, expires_at)
       values ($1, 'neighbours', 'k', gen_random_uuid(), 1, now())`,
    ],
    ['insert into engram.snapshots (bank_id, id, trigger, applied_no) values ($1, $2, $3, 1)', id, 'asked'],
    [
      `insert into engram.snapshot_rows (bank_id, snapshot_id, target, row_id, version, state)
       values ($1, $2, 'memories', $3, 1, 'pending')`,
      id,
      memories[0],
    ],
    ["insert into engram.model_answers (bank_id, request_hash, answer, subject_ids) values ($1, 'x', '{}', '{}')"],
    ["insert into engram.verdicts (bank_id, key, verdict, subject_ids) values ($1, 'x', 'same', '{}')"],
    [
      `insert into engram.next_embeddings (bank_id, target, row_id, model, content_hash)
       select $1, 'memories', $2, id, 'x' from engram.embedding_models limit 1`,
      memories[0],
    ],
  ] as const) {
    await run(sql, [bankId, ...values]);
  }
}

describe('what only grows (L22)', () => {
  test('the version of an observation', async () => {
    const id = await observation();
    const set = (version: number) =>
      run('update engram.observations set version = $3 where bank_id = $1 and id = $2', [bank, id, version]);
    await set(3);
    await set(3);
    expect(String(await failureOf(set(2)))).toContain(`observation ${id} cannot go back from version 3 to 2`);
    expect(await run('select version from engram.observations where bank_id = $1', [bank])).toEqual([{ version: 3 }]);
  });

  test('the epoch of a scope', async () => {
    await run("insert into engram.scopes (bank_id, tags, epoch) values ($1, '{}', 3)", [bank]);
    const set = (epoch: number) => run('update engram.scopes set epoch = $2 where bank_id = $1', [bank, epoch]);
    await set(3);
    await set(4);
    expect(String(await failureOf(set(3)))).toContain('cannot go back from 4 to 3');
    expect(await run('select epoch from engram.scopes where bank_id = $1', [bank])).toEqual([{ epoch: 4 }]);
  });

  test('the mark by which caches find an observation, at every change; a deleted one leaves a tombstone', async () => {
    const id = await observation();
    const xid = async () =>
      Number(
        (
          await run<{ xid: string }>('select change_xid::text as xid from engram.observations where bank_id = $1', [
            bank,
          ])
        )[0]?.xid,
      );
    const before = await xid();
    await run('update engram.observations set trust = 1 where bank_id = $1 and id = $2', [bank, id]);
    expect(await xid()).toBeGreaterThan(before);
    await run('delete from engram.observations where bank_id = $1', [bank]);
    expect(await tombstones()).toEqual([{ target: 'observations', row_id: id }]);
  });
});
