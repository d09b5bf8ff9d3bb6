import { v7 as uuid } from 'uuid';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Tx } from '../../src/db/database.ts';
import { insertEvents } from '../../src/store/apply-writes.ts';
import { createBank } from '../../src/store/banks.ts';
import { insertMemories } from '../../src/store/memories.ts';
import { endOfTimeline, readBack, readOn, type TimelinePlace } from '../../src/store/timeline.ts';
import { settled } from '../support/settled.ts';
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts';
import { newMemory } from './victim-bank.ts';

let database: TestDatabase;
let bankId: string;
beforeAll(async () => {
  database = await createTestDatabase();
});
beforeEach(() => {
  bankId = uuid();
});
afterAll(() => database.drop());

const write = (tx: Pick<Tx, 'query'>, ...kinds: string[]) =>
  insertEvents(
    tx,
    bankId,
    kinds.map((kind) => ({ kind, memoryId: null, observationId: null, changeSetId: null, detail: {} })),
  );

/** A transaction that has written and commits when it is told to. */
async function heldWriter(...kinds: string[]) {
  const written = Promise.withResolvers<void>();
  const released = Promise.withResolvers<void>();
  const done = database.db.tx({ label: 'test' }, async (tx) => {
    await write(tx, ...kinds);
    written.resolve();
    await released.promise;
  });
  await written.promise;
  return {
    commit: () => {
      released.resolve();
      return done;
    },
  };
}

const back = async (more: { kind?: string; before?: TimelinePlace; limit?: number } = {}) => {
  const page = await readBack(database.db, { bankId, kind: null, before: null, limit: 100, ...more });
  if (!page) throw new Error('no page');
  return { ...page, kinds: page.rows.map((row) => row.kind) };
};
const on = async (after: TimelinePlace, more: { kind?: string; limit?: number } = {}) => {
  const [page] = await readOn(database.db, [{ bankId, kind: more.kind ?? null, after }], more.limit ?? 100);
  if (!page) throw new Error('no page');
  return { ...page, kinds: page.rows.map((row) => row.kind) };
};

describe('reading on', () => {
  test('of two writers the one with the earlier ids commits last: both are seen, each once, in one order', async () => {
    const { db } = database;
    const from = await endOfTimeline(db);
    const early = await heldWriter('early.1', 'early.2');
    const late = await heldWriter('late.1', 'late.2');
    await late.commit();

    // By id one would go on behind `late` here, and never see `early`.
    expect((await back()).kinds).toEqual(['late.2', 'late.1']);
    const first = await on(from);
    expect(first.kinds).toEqual([]);

    await early.commit();
    await settled(db);
    const second = await on(first.readOnFrom);
    expect(second.kinds).toEqual(['early.1', 'early.2', 'late.1', 'late.2']);
    expect((await on(second.readOnFrom)).kinds).toEqual([]);
  });

  test('goes on behind what a page held, and past what a filter leaves out', async () => {
    const { db } = database;
    const from = await endOfTimeline(db);
    await write(db, 'memory.added', 'observation.created', 'memory.edited', 'memoryless.thing');
    await settled(db);
    const first = await on(from, { limit: 1 });
    expect([first.kinds, first.hasMore]).toEqual([['memory.added'], true]);
    const second = await on(first.readOnFrom, { kind: 'memory', limit: 1 });
    expect([second.kinds, second.hasMore]).toEqual([['memory.edited'], false]);
    expect((await on(second.readOnFrom)).kinds).toEqual([]);
  });

  test('many read on by one statement, each its own bank from its own place', async () => {
    const { db } = database;
    const from = await endOfTimeline(db);
    await write(db, 'mine');
    const mine = bankId;
    bankId = uuid();
    await write(db, 'theirs');
    await settled(db);
    const after = (await on(from)).readOnFrom;
    const pages = await readOn(
      db,
      [
        { bankId, kind: null, after: from },
        { bankId, kind: null, after },
        { bankId: mine, kind: null, after: from },
        { bankId: mine, kind: 'theirs', after: from },
      ],
      10,
    );
    expect(pages.map((page) => page?.rows.map((row) => row.kind))).toEqual([['theirs'], [], ['mine'], []]);
    expect(await readOn(db, [], 10)).toEqual([]);
  });
});

describe('reading back', () => {
  test('is newest first, in pages that what commits meanwhile does not move', async () => {
    const { db } = database;
    const early = await heldWriter('early');
    for (const kind of ['a', 'b', 'c', 'd']) await write(db, kind);
    const first = await back({ limit: 2 });
    expect([first.kinds, first.hasMore]).toEqual([['d', 'c'], true]);
    await write(db, 'e');
    await early.commit();
    const before = first.rows.at(-1)?.place;
    if (!before) throw new Error('no rows');
    const second = await back({ limit: 2, before });
    expect([second.kinds, second.hasMore]).toEqual([['b', 'a'], true]);
    // What committed late stands at its transaction's place, and is met on the way.
    const third = await back({ before: second.rows.at(-1)?.place ?? before });
    expect([third.kinds, third.hasMore]).toEqual([['early'], false]);
  });

  test('and then on: what is settled comes once, what is not comes again and no later', async () => {
    const { db } = database;
    await write(db, 'settled');
    await settled(db);
    const early = await heldWriter('early');
    await write(db, 'unsettled');
    const page = await back();
    expect(page.kinds).toEqual(['unsettled', 'settled']);
    await early.commit();
    await settled(db);
    expect((await on(page.readOnFrom)).kinds).toEqual(['early', 'unsettled']);
  });

  test('by one kind, or by a family of kinds', async () => {
    await write(database.db, 'memory.added', 'memory.added', 'memory.edited', 'observation.created');
    expect((await back({ kind: 'memory.added' })).kinds).toEqual(['memory.added', 'memory.added']);
    expect((await back({ kind: 'memory' })).kinds).toEqual(['memory.edited', 'memory.added', 'memory.added']);
    // Nothing in a filter is a pattern.
    expect((await back({ kind: '%' })).kinds).toEqual([]);
  });

  test('tells what a memory says now, and nothing of one that is gone', async () => {
    const { db } = database;
    const [kept, gone] = [uuid(), uuid()];
    await createBank(db, bankId);
    await insertMemories(db, bankId, [newMemory(kept, `Ana ${'a'.repeat(300)}`), newMemory(gone, 'Ben keeps bees')]);
    await db.query('delete from engram.memories where bank_id = $1 and id = $2', [bankId, gone]);
    const { rows } = await back({ kind: 'memory.added' });
    const textOf = (id: string) => rows.find((row) => row.memoryId === id)?.text;
    expect(textOf(kept)).toBe(`Ana ${'a'.repeat(196)}`);
    expect(textOf(gone)).toBeNull();
  });
});
