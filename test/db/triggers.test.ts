import { createHash, randomUUID } from 'node:crypto';
import { beforeEach, describe, expect, test } from 'vitest';
import { sqlState } from '../../src/db/errors.ts';
import { migrate, readMigrations } from '../../src/db/migrate.ts';
import { createBlankDatabase } from './blank-database.ts';
import { usePlainSql } from './plain-sql.ts';

const migrationsFolder = new URL('../../src/store/migrations', import.meta.url).pathname;

const plain = usePlainSql();
const { run, newBank, memory, settledMemory, observation, marked, events, tombstones, calls } = plain;

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

describe('an inserted memory', () => {
  test('is pending work, on the timeline, and calls the daemon', async () => {
    const id = randomUUID();
    await run("insert into engram.memories (bank_id, id, text) values ($1, $2, 'New')", [bank, id]);
    expect(await memory(id)).toMatchObject({ version: 1, state: 'pending', attempts: 0, is_due: true, vector: null });
    expect(await events()).toEqual([{ kind: 'memory.added', memory_id: id, detail: {} }]);
    expect(await calls()).toEqual([bank]);
  });

  test.each([
    ['sorted, each once', '{b,a,b,a}', ['a', 'b']],
    ['by byte, whatever the language', '{ä,z,B,a}', ['B', 'a', 'z', 'ä']],
    ['without NULL', '{b,NULL,a,NULL}', ['a', 'b']],
    ['flat', '{{b,c},{a,b}}', ['a', 'b', 'c']],
    ['none', null, []],
  ])('has its tags as a set: %s', async (_, tags, expected) => {
    const [inserted, updated] = [randomUUID(), await settledMemory()];
    await run("insert into engram.memories (bank_id, id, text, tags) values ($1, $2, 'New', $3)", [
      bank,
      inserted,
      tags,
    ]);
    await run('update engram.memories set tags = $3 where bank_id = $1 and id = $2', [bank, updated, tags]);
    expect((await memory(inserted))?.tags).toEqual(expected);
    expect((await memory(updated))?.tags).toEqual(expected);
  });

  test('has its tags by byte also where the database sorts otherwise', async () => {
    const blank = await createBlankDatabase({ sorting: 'en' });
    try {
      const db = blank.open();
      await migrate(db, await readMigrations(migrationsFolder));
      const { rows } = await db.query("select 'a' < 'B' as by_word, engram.scope_of('{a,B,ä,z}') as scope");
      expect(rows).toEqual([{ by_word: true, scope: ['B', 'a', 'z', 'ä'] }]);
    } finally {
      await blank.drop();
    }
  });

  test('has the SHA-256 of its text, which follows the text and nobody can set', async () => {
    const id = randomUUID();
    const hash = async () =>
      (
        await run<{ hash: string }>(
          "select encode(content_hash, 'hex') as hash from engram.memories where bank_id = $1 and id = $2",
          [bank, id],
        )
      )[0]?.hash;
    const sha256 = (text: string) => createHash('sha256').update(text, 'utf8').digest('hex');
    const text = 'Zoë paid 12 € 🙂';
    await run('insert into engram.memories (bank_id, id, text) values ($1, $2, $3)', [bank, id, text]);
    expect(await hash()).toBe(sha256(text));
    await run("update engram.memories set context = 'else' where bank_id = $1 and id = $2", [bank, id]);
    expect(await hash()).toBe(sha256(text));
    await run("update engram.memories set text = 'Other' where bank_id = $1 and id = $2", [bank, id]);
    expect(await hash()).toBe(sha256('Other'));
    const forged = run("update engram.memories set content_hash = '\\x00' where bank_id = $1 and id = $2", [bank, id]);
    expect(sqlState(await failureOf(forged))).toBe('428C9');
  });
});

describe('an update by plain SQL', () => {
  const again = { version: 2, state: 'pending', state_reason: null, attempts: 0, is_due: true, is_edited: true };
  const untouched = {
    version: 1,
    state: 'parked',
    state_reason: 'old reason',
    attempts: 3,
    is_due: false,
    is_edited: false,
  };
  const vector = { vector: [1, 0], embedding_model: 'model' };
  const noVector = { vector: null, embedding_model: null };

  test.each([
    ['the text', "text = 'New text'", { ...again, ...noVector, text: 'New text' }],
    ['the context', "context = 'new context'", { ...again, ...noVector }],
    ['the context away', 'context = null', { ...again, ...noVector }],
    [
      'text and vector together',
      "text = 'New text', embedding = '{0,1}'",
      { ...again, vector: [0, 1], embedding_model: 'model' },
    ],
    ['the tags', "tags = '{c}'", { ...again, ...vector, tags: ['c'] }],
    ['when it began', "occurred_start = '2025-01-01'", { ...again, ...vector }],
    ['when it ended', 'occurred_end = null', { ...again, ...vector }],
    ['when it was said', "mentioned_at = '2025-01-01'", { ...again, ...vector }],
    ['text, state and version', "text = 'New text', state = 'consolidated', version = 40", { ...again, ...noVector }],
  ])('of %s makes it work again', async (_, change, expected) => {
    const id = await settledMemory();
    const citing = await observation({ cites: [id] });
    await run(`update engram.memories set ${change} where bank_id = $1 and id = $2`, [bank, id]);
    expect(await memory(id)).toMatchObject(expected);
    expect(await marked()).toEqual([citing]);
    expect(await events()).toEqual([{ kind: 'memory.edited', memory_id: id, detail: { version: 2 } }]);
    expect(await calls()).toEqual([bank]);
  });

  test.each([
    ['the state', "state = 'held'", { state: 'held' }],
    [
      'a state of pending',
      "state = 'pending', state_reason = null, attempts = 0",
      { state: 'pending', state_reason: null, attempts: 0 },
    ],
    ['the vector', "embedding = '{0,1}'", { vector: [0, 1] }],
    ['the vector away', 'embedding = null, embedding_model = null', noVector],
    [
      'metadata, kind and reference',
      `metadata = '{"a": 1}', kind = 'experience', source_ref = 'r', ingest_key = 'k'`,
      {},
    ],
    ['everything to what it was', "text = text, context = context, tags = '{b,a,a}', mentioned_at = mentioned_at", {}],
    ['the version', 'version = 40', {}],
  ])('of %s changes just that', async (_, change, expected) => {
    const id = await settledMemory();
    await observation({ cites: [id] });
    const before = await memory(id);
    await run(`update engram.memories set ${change} where bank_id = $1 and id = $2`, [bank, id]);
    const after = await memory(id);
    expect(after).toMatchObject({ ...untouched, ...vector, ...expected });
    expect(await marked()).toEqual([]);
    expect(await events()).toEqual([]);
    expect(await calls()).toEqual([]);
    // What caches vectors finds the row by this, whatever was changed.
    expect(Number(after?.change_xid)).toBeGreaterThan(Number(before?.change_xid));
  });

  test('that invalidates leaves the state, tells who cites it, and keeps the vector', async () => {
    const id = await settledMemory();
    const citing = await observation({ cites: [id] });
    await run('update engram.memories set invalidated_at = now() where bank_id = $1 and id = $2', [bank, id]);
    expect(await memory(id)).toMatchObject({ ...untouched, ...vector, version: 2, is_valid: false });
    expect(await marked()).toEqual([citing]);
    expect(await events()).toEqual([{ kind: 'memory.invalidated', memory_id: id, detail: { version: 2 } }]);
    expect(await calls()).toEqual([bank]);
  });

  test('that restores makes it work again', async () => {
    const id = await settledMemory({ invalidated: true });
    const citing = await observation({ cites: [id] });
    await run('update engram.memories set invalidated_at = null where bank_id = $1 and id = $2', [bank, id]);
    expect(await memory(id)).toMatchObject({ ...again, ...vector, is_edited: false, is_valid: true });
    expect(await marked()).toEqual([citing]);
    expect(await events()).toEqual([{ kind: 'memory.restored', memory_id: id, detail: { version: 2 } }]);
    expect(await calls()).toEqual([bank]);
  });

  test('that invalidates and edits at once is one step', async () => {
    const id = await settledMemory();
    await run("update engram.memories set invalidated_at = now(), text = 'New' where bank_id = $1 and id = $2", [
      bank,
      id,
    ]);
    expect(await memory(id)).toMatchObject({ ...again, ...noVector, is_valid: false });
    expect(await kinds()).toEqual(['memory.invalidated']);
  });

  test('cannot give a text the vector of another model, or half of one', async () => {
    const id = await settledMemory();
    for (const change of [
      "text = 'New', embedding = '{0,1}', embedding_model = null",
      "embedding_model = 'unknown'",
      'embedding = null',
    ]) {
      const failure = await failureOf(
        run(`update engram.memories set ${change} where bank_id = $1 and id = $2`, [bank, id]),
      );
      expect(sqlState(failure)).toMatch(/^23(503|514)$/);
    }
  });

  test('cannot move a memory to another id or bank', async () => {
    const id = await settledMemory();
    const other = await newBank();
    for (const change of [`bank_id = '${other}'`, `id = '${randomUUID()}'`]) {
      const failure = await failureOf(
        run(`update engram.memories set ${change} where bank_id = $1 and id = $2`, [bank, id]),
      );
      expect(String(failure)).toContain('cannot change its id or bank');
    }
  });

  test('marks observations of this bank only, and none twice', async () => {
    const id = await settledMemory();
    const citing = await observation({ cites: [id] });
    await observation({ cites: [await settledMemory()] });
    const other = await newBank();
    await settledMemory({ id, bankId: other });
    await observation({ cites: [id], bankId: other });
    await run("update engram.observations set needs_replan_at = '2026-01-01' where bank_id = $1 and id = $2", [
      bank,
      citing,
    ]);
    await run("update engram.memories set text = 'New' where bank_id = $1 and id = $2", [bank, id]);
    expect(await marked()).toEqual([citing]);
    const [mark] = await run<{ at: Date }>(
      'select needs_replan_at as at from engram.observations where bank_id = $1 and id = $2',
      [bank, citing],
    );
    expect(mark?.at).toEqual(new Date('2026-01-01'));
    expect(await marked(other)).toEqual([]);
    expect(await memory(id, other)).toMatchObject(untouched);
  });
});

describe('a deleted memory', () => {
  test('marks what cites it, takes its links along and leaves a tombstone', async () => {
    const [id, kept] = [await settledMemory(), await settledMemory()];
    const citing = await observation({ cites: [id, kept] });
    await observation({ cites: [kept] });
    await run("insert into engram.entities (bank_id, id, name) values ($1, $2, 'Ben')", [bank, citing]);
    await run('insert into engram.memory_entities values ($1, $2, $3)', [bank, id, citing]);
    await run('delete from engram.memories where bank_id = $1 and id = $2', [bank, id]);
    expect(await memory(id)).toBeUndefined();
    expect(await marked()).toEqual([citing]);
    expect(
      await run('select memory_id from engram.observation_sources where bank_id = $1 and observation_id = $2', [
        bank,
        citing,
      ]),
    ).toEqual([{ memory_id: kept }]);
    expect(await run('select from engram.memory_entities where bank_id = $1', [bank])).toEqual([]);
    expect(await events()).toEqual([{ kind: 'memory.deleted', memory_id: id, detail: {} }]);
    expect(await tombstones()).toEqual([{ target: 'memories', row_id: id }]);
    expect(await calls()).toEqual([bank]);
  });

  test('leaves the same id of another bank alone', async () => {
    const id = await settledMemory();
    const other = await newBank();
    await settledMemory({ id, bankId: other });
    await observation({ cites: [id], bankId: other });
    await run('delete from engram.memories where bank_id = $1 and id = $2', [bank, id]);
    expect(await memory(id, other)).toBeDefined();
    expect(await marked(other)).toEqual([]);
    expect(await tombstones(other)).toEqual([]);
    expect(await run('select from engram.observation_sources where bank_id = $1', [other])).toHaveLength(1);
  });

  test('cannot be cited by anything new', async () => {
    const link = run('insert into engram.observation_sources values ($1, $2, $3, 1)', [
      bank,
      await observation(),
      randomUUID(),
    ]);
    expect(sqlState(await failureOf(link))).toBe('23503');
  });
});
