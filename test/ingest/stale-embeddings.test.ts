import { afterEach, beforeEach, expect, test } from 'vitest';
import { InvalidEmbeddingError } from '../../src/models/validate-embedding.ts';
import { selectStale } from '../../src/store/stale-embeddings.ts';
import { createSwitchFixture, type SwitchFixture, signal } from './re-embed-fixture.ts';

let fixture: SwitchFixture;
beforeEach(async () => {
  fixture = await createSwitchFixture();
});
afterEach(() => fixture.close());

const tooLong = () => {
  throw new InvalidEmbeddingError(0, 'too long');
};

test('a thousand texts that the active model cannot take do not hide the others', async () => {
  const { db } = fixture;
  await db.query(
    "insert into engram.embedding_models (id, provider, dimensions, is_active) values ('local/aaa', 'local', 512, false), ('openai/zzz', 'openai', 64, false)",
  );
  for (const model of ['local/aaa', 'openai/zzz']) {
    await db.query(
      `insert into engram.memories (bank_id, id, text, embedding, embedding_model)
       select 'a', gen_random_uuid(), 'long ' || i, array[1]::real[], $1 from generate_series(1, 1001) as i`,
      [model],
    );
    await db.query(
      `insert into engram.observations (bank_id, id, text, tags, scope_epoch, embedding, embedding_model)
       select 'a', gen_random_uuid(), 'long ' || i, '{}', 1, array[1]::real[], $1 from generate_series(1, 1001) as i`,
      [model],
    );
  }
  for (const target of ['memories', 'observations']) {
    await db.query(
      `insert into engram.next_embeddings (bank_id, target, row_id, model, content_hash)
       select 'a', 'memories', id, 'local/old', content_hash from engram.memories where $1 = 'memories'
       union all select 'a', 'observations', id, 'local/old', content_hash from engram.observations where $1 = 'observations'`,
      [target],
    );
  }
  const isStale = async () =>
    (await db.query<{ stale: boolean }>("select engram.has_stale_embeddings('a') as stale")).rows[0]?.stale;
  expect(await isStale()).toBe(false);
  await db.query(
    "insert into engram.memories (bank_id, id, text, embedding, embedding_model) values ('a', gen_random_uuid(), 'short', array[1]::real[], 'local/aaa')",
  );
  await db.query(
    `insert into engram.observations (bank_id, id, text, tags, scope_epoch, embedding, embedding_model)
     values ('a', gen_random_uuid(), 'brief', '{}', 1, array[1]::real[], 'openai/zzz')`,
  );
  expect((await selectStale(db, 'a', 'memories', 64)).map((row) => row.text)).toEqual(['short']);
  expect((await selectStale(db, 'a', 'observations', 64)).map((row) => row.text)).toEqual(['brief']);
  expect(await isStale()).toBe(true);
});

test('what the active model cannot take is not asked of it again because the next one can', async () => {
  const daemon = await fixture.daemon();
  const { db, old, next } = fixture;
  await db.query(
    "insert into engram.embedding_models (id, provider, dimensions, is_active) values ('local/aaa', 'local', 512, false)",
  );
  await db.query(
    "insert into engram.memories (bank_id, id, text, embedding, embedding_model) values ('a', gen_random_uuid(), 'long', array[1]::real[], 'local/aaa')",
  );
  old.onEmbed = tooLong;
  await daemon.embedPending('a', { signal });
  const [askedOld, askedNext] = [old.calls.length, next.calls.length];
  await fixture.begin();
  await daemon.reEmbedder.step(signal);
  await daemon.embedPending('a', { signal });
  await daemon.reEmbedder.step(signal);
  await daemon.embedPending('a', { signal });
  expect(old.calls.length).toBe(askedOld);
  expect(next.calls.length).toBe(askedNext + 1);
  expect((await daemon.run()).at(-1)).toBe('switched');
  expect(await fixture.vectors()).toEqual({ long: 'openai/next 64' });
});
