import pg from 'pg';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { idempotentRequest } from '../../src/ingest/idempotent-write.ts';
import { createMemoryWriter } from '../../src/ingest/write-memories.ts';
import { deleteBank } from '../../src/store/banks.ts';
import { countRows, createIngestFixture, type IngestFixture } from './ingest-fixture.ts';

let fixture: IngestFixture;
beforeEach(async () => {
  fixture = await createIngestFixture();
});
afterEach(() => fixture.drop());

const key = (name: string, body: unknown = null) => idempotentRequest('b', name, 'POST memories', body);

test('a memory is stored with all it came with, and its bank made', async () => {
  const { writer, db } = fixture;
  const { memories, added, scrubbed } = await writer.writeMemories('b', [
    {
      text: 'Ann moved. Her password is hunter2.',
      context: 'A call.',
      kind: 'experience',
      tags: ['z', 'a', 'z'],
      occurred_start: '2026-02-03',
      occurred_end: '2026-02-03T10:00+02:00',
      mentioned_at: '2026-02-04',
      source_ref: 'calls/1',
      entities: ['Ann', 'ann', 'Lund'],
      metadata: { channel: 'phone', token: 'abc' },
      dialogue: [{ role: 'user', content: 'sk-abcdefghijklmnopqrst1' }],
    },
  ]);
  expect({ added, scrubbed }).toEqual({ added: 1, scrubbed: 3 });
  const { rows } = await db.query('select * from engram.memories where bank_id = $1', ['b']);
  expect(rows[0]).toMatchObject({
    id: memories[0]?.id,
    text: 'Ann moved. Her password is [secret removed].',
    context: 'A call.',
    kind: 'experience',
    tags: ['a', 'z'],
    occurred_start: new Date('2026-02-03T00:00:00Z'),
    occurred_end: new Date('2026-02-03T08:00:00Z'),
    mentioned_at: new Date('2026-02-04T00:00:00Z'),
    source_ref: 'calls/1',
    metadata: { channel: 'phone', token: '[secret removed]' },
    dialogue: [{ role: 'user', content: '[secret removed]' }],
    state: 'pending',
    version: 1,
    embedding: null,
  });
  const names = await db.query<{ name: string }>('select name from engram.entities where bank_id = $1 order by name', [
    'b',
  ]);
  expect(names.rows.map((row) => row.name)).toEqual(['Ann', 'Lund']);
  expect(fixture.hints).toEqual(['b']);
  expect(fixture.reached).toEqual(['ingest:before-commit', 'ingest:after-commit']);
});

test('ids follow the order of the input, whatever order the rows were written in', async () => {
  const { memories } = await fixture.writer.writeMemories(
    'b',
    ['z', 'm', 'a'].map((ref) => ({ text: ref, source_ref: ref })),
  );
  const ids = memories.map((memory) => memory.id);
  expect(ids.toSorted()).toEqual(ids);
  const { rows } = await fixture.db.query<{ text: string }>('select text from engram.memories order by created_at, id');
  expect(rows.map((row) => row.text)).toEqual(['z', 'm', 'a']);
});

describe('written again', () => {
  test('the same text under the same reference is the row that is there, also within one request', async () => {
    const { writer, db } = fixture;
    const first = await writer.writeMemories('b', [{ text: 'x', source_ref: 'r' }]);
    const again = await writer.writeMemories('b', [
      { text: 'x', source_ref: 'r' },
      { text: 'y', source_ref: 'r' },
      { text: 'y', source_ref: 'r' },
    ]);
    const [x, y] = [first.memories[0]?.id, again.memories[1]?.id];
    expect(again).toMatchObject({
      memories: [
        { id: x, duplicate: true },
        { id: y, duplicate: false },
        { id: y, duplicate: true },
      ],
      added: 1,
      duplicates: 2,
    });
    expect(await countRows(db, 'b')).toBe(2);
    expect(await fixture.metrics.memoriesIngested.get()).toMatchObject({
      values: [
        { labels: { outcome: 'added' }, value: 2 },
        { labels: { outcome: 'duplicate' }, value: 2 },
      ],
    });
  });

  test('without a reference or a key it is another memory', async () => {
    await fixture.writer.writeMemories('b', [{ text: 'x' }]);
    await fixture.writer.writeMemories('b', [{ text: 'x' }]);
    expect(await countRows(fixture.db, 'b')).toBe(2);
  });

  test('in another bank it is another memory', async () => {
    await fixture.writer.writeMemories('b', [{ text: 'x', source_ref: 'r', idempotency_key: 'k' }]);
    const other = await fixture.writer.writeMemories('c', [{ text: 'x', source_ref: 'r', idempotency_key: 'k' }]);
    expect(other.added).toBe(1);
  });

  test('an element key is found again, though its text was edited since', async () => {
    const { writer, db } = fixture;
    const first = await writer.writeMemories('b', [{ text: 'x', idempotency_key: 'file:1' }]);
    await db.query("update engram.memories set text = 'edited' where bank_id = 'b'");
    const again = await writer.writeMemories('b', [{ text: 'x', idempotency_key: 'file:1' }]);
    expect(again.memories).toEqual([{ id: first.memories[0]?.id, duplicate: true }]);
  });

  test('an element key with another text is an error, and nothing of the request is written', async () => {
    await fixture.writer.writeMemories('b', [{ text: 'x', idempotency_key: 'k' }]);
    await expect(
      fixture.writer.writeMemories('b', [{ text: 'new' }, { text: 'y', idempotency_key: 'k' }]),
    ).rejects.toMatchObject({
      code: 'INGEST_KEY_CONFLICT',
      errors: [{ path: '[1].idempotency_key' }],
    });
    expect(await countRows(fixture.db, 'b')).toBe(1);
  });
});

describe('an Idempotency-Key', () => {
  test('answers the second request from the first', async () => {
    const { writer, db } = fixture;
    const inputs = [{ text: 'x' }, { text: 'y' }];
    const first = await writer.writeMemories('b', inputs, { idempotency: key('k', inputs) });
    const again = await writer.writeMemories('b', inputs, { idempotency: key('k', inputs) });
    expect(again).toEqual({ ...first, replayed: true });
    expect(await countRows(db, 'b')).toBe(2);
  });

  test('still protects when the stored answer is gone', async () => {
    const { writer, db } = fixture;
    const first = await writer.writeMemories('b', [{ text: 'x' }], { idempotency: key('k') });
    await db.query('delete from engram.idempotency_keys');
    const again = await writer.writeMemories('b', [{ text: 'x' }], { idempotency: key('k') });
    expect(again.memories).toEqual([{ id: first.memories[0]?.id, duplicate: true }]);
  });

  test('with another body is refused', async () => {
    await fixture.writer.writeMemories('b', [{ text: 'x' }], { idempotency: key('k', 1) });
    await expect(
      fixture.writer.writeMemories('b', [{ text: 'y' }], { idempotency: key('k', 2) }),
    ).rejects.toMatchObject({
      code: 'IDEMPOTENCY_KEY_REUSED',
    });
    expect(await countRows(fixture.db, 'b')).toBe(1);
  });

  test('used by many at once is one write', async () => {
    const results = await Promise.all(
      Array.from({ length: 8 }, () => fixture.writer.writeMemories('b', [{ text: 'x' }], { idempotency: key('k') })),
    );
    expect(new Set(results.map((result) => result.memories[0]?.id)).size).toBe(1);
    expect(results.filter((result) => !result.replayed)).toHaveLength(1);
    expect(await countRows(fixture.db, 'b')).toBe(1);
  });

  test('of a request that failed is free again', async () => {
    fixture.at('ingest:before-commit', async () => {
      throw new Error('killed');
    });
    await expect(fixture.writer.writeMemories('b', [{ text: 'x' }], { idempotency: key('k') })).rejects.toThrow(
      'killed',
    );
    fixture.at('ingest:before-commit', async () => undefined);
    expect(await fixture.writer.writeMemories('b', [{ text: 'y' }], { idempotency: key('k', 'other') })).toMatchObject({
      added: 1,
      replayed: false,
    });
  });

  test('finds the answer of a request whose process died after the commit', async () => {
    const { writer, db } = fixture;
    fixture.at('ingest:after-commit', async () => {
      throw new Error('killed');
    });
    await expect(writer.writeMemories('b', [{ text: 'x' }], { idempotency: key('k') })).rejects.toThrow('killed');
    expect(fixture.hints).toEqual([]);
    fixture.at('ingest:after-commit', async () => undefined);
    const again = await writer.writeMemories('b', [{ text: 'x' }], { idempotency: key('k') });
    expect(again).toMatchObject({ added: 1, replayed: true });
    expect(await countRows(db, 'b')).toBe(1);
    expect(fixture.hints).toEqual(['b']);
  });

  test('is forgotten with its bank', async () => {
    const { writer, db } = fixture;
    await writer.writeMemories('b', [{ text: 'x' }], { idempotency: key('k') });
    await db.tx({ label: 'test' }, (tx) => deleteBank(tx, 'b'));
    expect(await writer.writeMemories('b', [{ text: 'x' }], { idempotency: key('k') })).toMatchObject({ added: 1 });
    expect(await countRows(db, 'b')).toBe(1);
  });
});

test('a crash before the commit leaves nothing; one after it leaves everything', async () => {
  const { writer, db } = fixture;
  const crash = async () => {
    throw new Error('killed');
  };
  fixture.at('ingest:before-commit', crash);
  await expect(writer.writeMemories('b', [{ text: 'x', entities: ['Ann'] }])).rejects.toThrow('killed');
  const { rows } = await db.query(
    'select from engram.banks union all select from engram.entities union all select from engram.events',
  );
  expect(rows).toEqual([]);
  fixture.at('ingest:before-commit', async () => undefined);
  fixture.at('ingest:after-commit', crash);
  await expect(writer.writeMemories('b', [{ text: 'x' }])).rejects.toThrow('killed');
  expect(await countRows(db, 'b')).toBe(1);
});

test('a hint that fails does not fail the write', async () => {
  const writer = createMemoryWriter({
    ...fixture.deps,
    hint: async () => {
      throw new Error('queue down');
    },
  });
  expect(await writer.writeMemories('b', [{ text: 'x' }])).toMatchObject({ added: 1 });
});

test('its own writes wake nobody, those of plain SQL do', async () => {
  const client = new pg.Client({ connectionString: fixture.connectionString });
  await client.connect();
  try {
    const heard: (string | undefined)[] = [];
    client.on('notification', (message) => heard.push(message.payload));
    await client.query('listen engramd_work');
    await fixture.writer.writeMemories('b', [{ text: 'x' }]);
    await client.query('select 1');
    expect(heard).toEqual([]);
    await client.query("insert into engram.memories (bank_id, id, text) values ('b', gen_random_uuid(), 'y')");
    await client.query('select 1');
    expect(heard).toEqual(['b']);
  } finally {
    await client.end();
  }
});

describe('two writers with the same rows in opposite order', () => {
  const names = ['a', 'f', 'm', 's', 'z'];
  const blockers = {
    'source references': {
      inputs: names.map((name) => ({ text: 'x', source_ref: name })),
      blocker: "insert into engram.memories (bank_id, id, text, source_ref) values ('b', gen_random_uuid(), 'x', 'm')",
    },
    'entity names': {
      inputs: names.map((name) => ({ text: 'x', entities: [name] })),
      blocker: "insert into engram.entities (bank_id, id, name) values ('b', gen_random_uuid(), 'm')",
    },
  };

  test.each(Object.entries(blockers))(
    '(%s) wait for each other and do not deadlock',
    async (_, { inputs, blocker }) => {
      const { writer, db, metrics, connectionString } = fixture;
      await writer.writeMemories('b', [{ text: 'the bank' }]);
      // Both have to pass the middle one, which a third holds: each is then inside its insert, its first rows in hand.
      const client = new pg.Client({ connectionString });
      await client.connect();
      try {
        await client.query('begin');
        await client.query(blocker);
        const writing = [inputs, inputs.toReversed()].map((rows) => writer.writeMemories('b', rows));
        await expect
          .poll(async () => {
            // Not on the client in a transaction: it would see its first look at the activity for ever.
            const waiting = await db.query(
              "select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'",
            );
            return waiting.rowCount;
          })
          .toBe(2);
        await client.query('rollback');
        await Promise.all(writing);
      } finally {
        await client.end();
      }
      // A deadlock is run again and so passes unseen; it is counted where that is done.
      expect((await metrics.transactionRetries.get()).values).toEqual([]);
      expect(await countRows(db, 'b')).toBeGreaterThan(5);
    },
  );
});
