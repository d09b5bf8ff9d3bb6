import { afterEach, beforeEach, expect, test } from 'vitest';
import { EmbeddingModelUnavailableError } from '../../src/models/embeddings/embedding-errors.ts';
import { type ApiFixture, bodyOf, createApiFixture } from './api-fixture.ts';

let fixture: ApiFixture;
beforeEach(async () => {
  fixture = await createApiFixture();
  await fixture.post('/v1/banks/b/memories', { text: 'the kiln is in the shed' });
  await fixture.embed('b');
});
afterEach(() => fixture.close());

const remove = (url: string) => fixture.app.inject({ method: 'DELETE', url });

test('status, estimate, switch, cancel', async () => {
  expect(bodyOf(await fixture.get('/v1/embeddings'))).toEqual({
    model: 'local/fake-512',
    dimensions: 512,
    pinned: true,
    configured: 'local/fake-512',
    repeat_similarity: 0.85,
    calibrated_at: null,
    switch: null,
  });
  const estimate = { from: 'local/fake-512', to: 'openai/next', texts: 1, tokens: 6, cost_usd: null, seconds: 1 };
  const dry = await fixture.post('/v1/embeddings/switch', { dry_run: true });
  expect(bodyOf(dry)).toEqual({ ...estimate, started: false });
  expect(bodyOf(await fixture.get('/v1/embeddings'))).toMatchObject({ switch: null });

  const started = await fixture.post('/v1/embeddings/switch', { model: 'next' });
  expect(started.statusCode).toBe(200);
  expect(bodyOf(started)).toEqual({ ...estimate, started: true });
  expect(bodyOf(await fixture.get('/v1/embeddings'))).toMatchObject({
    switch: {
      model: 'openai/next',
      dimensions: 64,
      working: false,
      problem: null,
      texts: 1,
      done: 0,
      tokens: 0,
      cost_usd: 0,
    },
  });
  expect((await fixture.post('/v1/embeddings/switch', { model: 'next' })).statusCode).toBe(200);

  expect(bodyOf(await remove('/v1/embeddings/switch'))).toEqual({ cancelled: 'openai/next' });
  expect(bodyOf(await remove('/v1/embeddings/switch'))).toEqual({ cancelled: null });
  expect(fixture.work).not.toContain('/v1/embeddings');
});

test('a switch that cannot be is refused with what stands in the way', async () => {
  expect((await fixture.post('/v1/embeddings/switch', { model: 'x', local: true })).statusCode).toBe(422);
  await fixture.db.query('update engram.embedding_models set id = id, is_active = false');
  const empty = await fixture.post('/v1/embeddings/switch', {});
  expect(empty.statusCode).toBe(409);
  expect(bodyOf(empty)).toMatchObject({ error: { code: 'EMBEDDING_SWITCH_REFUSED' } });
  await fixture.db.query(
    "insert into engram.embedding_models (id, provider, dimensions, is_active) values ('openai/next', 'openai', 32, false)",
  );
  await fixture.db.query("update engram.embedding_models set is_active = true where id = 'local/fake-512'");
  const otherLength = await fixture.post('/v1/embeddings/switch', {});
  expect(otherLength.statusCode).toBe(409);
  expect(bodyOf<{ error: { message: string } }>(otherLength).error.message).toContain('another length');
  await fixture.db.query(
    "insert into engram.embedding_models (id, provider, dimensions, is_active, switch_started_at) values ('openai/x', 'openai', 8, false, now())",
  );
  const busy = await fixture.post('/v1/embeddings/switch', {});
  expect(bodyOf<{ error: { message: string } }>(busy).error.message).toContain('openai/x is under way');
});

test('a model without an endpoint is the asker’s to mend, before anything is estimated or begun', async () => {
  const without = await createApiFixture({
    embeddings: {
      ...fixture.deps.embeddings,
      start: () => Promise.reject(new EmbeddingModelUnavailableError('openai/x needs its endpoint')),
      open: () => {
        throw new EmbeddingModelUnavailableError('openai/x needs its endpoint');
      },
    },
  });
  for (const body of [{ model: 'x', dry_run: true }, { model: 'x' }]) {
    const answer = await without.post('/v1/embeddings/switch', body);
    expect([answer.statusCode, answer.json()]).toMatchObject([422, { error: { code: 'EMBEDDING_MODEL_UNAVAILABLE' } }]);
  }
  await without.close();
});

test('calibrate scores the golden pairs, and sets what it is told or what it proposes', async () => {
  type Answer = { proposed: number; before: number; set: number | null; scores: unknown[]; pairs: number };
  const dry = bodyOf<Answer>(await fixture.post('/v1/embeddings/calibrate', { dry_run: true }));
  expect(dry).toMatchObject({ before: 0.85, set: null });
  expect(dry.scores).toHaveLength(70);
  expect(dry.pairs).toBeGreaterThan(200);
  expect(bodyOf<Answer>(await fixture.post('/v1/embeddings/calibrate', {})).set).toBe(dry.proposed);
  expect(bodyOf(await fixture.get('/v1/embeddings'))).toMatchObject({ repeat_similarity: dry.proposed });
  await fixture.post('/v1/embeddings/calibrate', { threshold: 0.7 });
  const status = bodyOf<{ repeat_similarity: number; calibrated_at: string }>(await fixture.get('/v1/embeddings'));
  expect(status.repeat_similarity).toBe(0.7);
  expect(Date.parse(status.calibrated_at)).not.toBeNaN();
  expect((await fixture.post('/v1/embeddings/calibrate', { threshold: 2 })).statusCode).toBe(422);
});
