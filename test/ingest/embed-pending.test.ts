import { afterEach, beforeEach, expect, test } from 'vitest';
import { createIngestFixture, type IngestFixture } from './ingest-fixture.ts';

let fixture: IngestFixture;
beforeEach(async () => {
  fixture = await createIngestFixture();
});
afterEach(() => fixture.drop());

const { signal } = new AbortController();

async function rows() {
  const result = await fixture.db.query<{
    text: string;
    dims: number | null;
    model: string | null;
    state: string;
    reason: string | null;
  }>(
    `select text, cardinality(embedding) as dims, embedding_model as model, state, state_reason as reason
     from engram.memories order by created_at, id`,
  );
  return result.rows;
}

test('64 at a time, oldest first, until none is left', async () => {
  await fixture.writer.writeMemories(
    'b',
    Array.from({ length: 70 }, (_, i) => ({ text: `memory ${i}` })),
  );
  await fixture.writer.writeMemories('other', [{ text: 'elsewhere' }]);
  expect(await fixture.pending.embedPending('b', { signal })).toEqual({ embedded: 64, remaining: 6 });
  expect(await fixture.pending.embedPending('b', { signal })).toEqual({ embedded: 6, remaining: 0 });
  expect(await fixture.pending.embedPending('b', { signal })).toEqual({ embedded: 0, remaining: 0 });
  expect(fixture.fake.calls.map((call) => call.texts.length)).toEqual([64, 6]);
  expect(fixture.fake.calls[0]?.texts[0]).toBe('memory 0');
  expect((await rows()).filter((row) => row.dims === 512)).toHaveLength(70);
});

test('a memory is embedded as its text, without its context and without a secret that came by plain SQL', async () => {
  await fixture.writer.writeMemories('b', [{ text: 'one', context: 'not this' }]);
  await fixture.db.query(
    "insert into engram.memories (bank_id, id, text) values ('b', gen_random_uuid(), 'password=hunter2')",
  );
  await fixture.pending.embedPending('b', { signal });
  expect(fixture.fake.calls[0]?.texts).toEqual(['one', 'password=[secret removed]']);
});

test('no connection is held while the model works', async () => {
  await fixture.writer.writeMemories('b', [{ text: 'one' }]);
  const used: number[] = [];
  fixture.fake.onEmbed = () => void used.push(fixture.db.poolCounts().used);
  await fixture.pending.embedPending('b', { signal });
  expect(used).toEqual([0]);
});

test('a text that changed meanwhile gets no vector of the old one, and its own the next time', async () => {
  await fixture.writer.writeMemories('b', [{ text: 'old' }, { text: 'stays' }]);
  fixture.at('embed:before-store', async () => {
    await fixture.db.query("update engram.memories set text = 'new' where text = 'old'");
  });
  expect(await fixture.pending.embedPending('b', { signal })).toEqual({ embedded: 1, remaining: 1 });
  expect(await rows()).toMatchObject([
    { text: 'new', dims: null },
    { text: 'stays', dims: 512 },
  ]);
  fixture.at('embed:before-store', async () => undefined);
  await fixture.pending.embedPending('b', { signal });
  expect(fixture.fake.calls.at(-1)?.texts).toEqual(['new']);
});

test('a row deleted meanwhile, or a whole bank, is no error', async () => {
  await fixture.writer.writeMemories('b', [{ text: 'one' }, { text: 'two' }]);
  fixture.at('embed:before-store', async () => {
    await fixture.db.query("delete from engram.banks where id = 'b'");
  });
  expect(await fixture.pending.embedPending('b', { signal })).toEqual({ embedded: 0, remaining: 0 });
});

test('one text the model cannot take is parked alone', async () => {
  await fixture.writer.writeMemories('b', [{ text: 'good' }, { text: 'bad' }, { text: 'fine' }]);
  fixture.fake.embed = async (texts) =>
    texts.map((text) => new Float32Array(512).fill(text === 'bad' ? Number.NaN : 1));
  expect(await fixture.pending.embedPending('b', { signal })).toEqual({ embedded: 2, remaining: 0 });
  expect(await rows()).toMatchObject([
    { text: 'good', dims: 512, state: 'pending' },
    { text: 'bad', dims: null, state: 'parked', reason: 'unembeddable: number 0 is NaN' },
    { text: 'fine', dims: 512, state: 'pending' },
  ]);
});

test('a wrong dimension of every vector parks nothing it was not sure of', async () => {
  await fixture.writer.writeMemories('b', [{ text: 'one' }]);
  fixture.fake.embed = async () => [];
  await expect(fixture.pending.embedPending('b', { signal })).rejects.toMatchObject({
    code: 'INVALID_EMBEDDING',
    index: null,
  });
  expect(await rows()).toMatchObject([{ dims: null, state: 'pending' }]);
});

test('an embedder that fails leaves the rows as they were', async () => {
  await fixture.writer.writeMemories('b', [{ text: 'one' }]);
  fixture.fake.onEmbed = () => Promise.reject(new Error('model gone'));
  await expect(fixture.pending.embedPending('b', { signal })).rejects.toThrow('model gone');
  expect(await rows()).toMatchObject([{ dims: null, state: 'pending' }]);
});

test('an abort while the model works stores nothing', async () => {
  await fixture.writer.writeMemories('b', [{ text: 'one' }]);
  const controller = new AbortController();
  fixture.fake.onEmbed = () => new Promise(() => queueMicrotask(() => controller.abort(new Error('stopping'))));
  await expect(fixture.pending.embedPending('b', { signal: controller.signal })).rejects.toThrow('stopping');
  expect(await rows()).toMatchObject([{ dims: null }]);
});
