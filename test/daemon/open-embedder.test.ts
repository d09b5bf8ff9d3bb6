import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { loadConfig } from '../../src/config/load-config.ts';
import { openConfiguredEmbedder, openEmbedder } from '../../src/daemon/open-embedder.ts';
import { activeEmbeddingModel, pinEmbeddingModel } from '../../src/store/embedding-models.ts';
import { systemClock } from '../../src/telemetry/clock.ts';
import { createLog } from '../../src/telemetry/log.ts';
import { createPassGate } from '../models/embeddings/pass-gate.ts';
import { apiError, type ScriptedRequest } from '../support/scripted-model/reply.ts';
import { createScriptedModel, type ScriptedModel } from '../support/scripted-model.ts';
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts';

let server: ScriptedModel;
let database: TestDatabase;
beforeAll(async () => {
  server = await createScriptedModel();
});
beforeEach(async () => {
  database = await createTestDatabase();
});
afterEach(async () => {
  server.reset();
  await database.drop();
});
afterAll(() => server.close());

const query = { purpose: 'query' } as const;
const local = { id: 'local/use-512', dimensions: 512, provider: 'local' };

async function open(env: Record<string, string>) {
  const logged: string[] = [];
  const prepared: string[] = [];
  const { config } = loadConfig({ env, home: '/nonexistent', uid: 1000 });
  const opened = await openEmbedder({
    config,
    db: database.db,
    clock: systemClock,
    log: createLog({ level: 'info', pretty: false, destination: { write: (line) => logged.push(line) } }),
    inner: undefined,
    prepare: async ({ id }) => void prepared.push(id),
    gateOf: createPassGate,
  });
  return { ...opened, logged, prepared };
}

const endpoint = () => ({ OPENAI_BASE_URL: server.baseUrl, OPENAI_API_KEY: 'sk-test-1234567890' });
const pinned = () => activeEmbeddingModel(database.db);

describe('first use', () => {
  test('takes the local model where there is no endpoint, at once', async () => {
    const { embedder, prepared, configuredModel } = await open({});
    expect(await pinned()).toMatchObject(local);
    expect(embedder.model.id).toBe('local/use-512');
    expect(configuredModel().id).toBe('local/use-512');
    expect(prepared).toEqual(['local/use-512']);
  });

  test('takes the endpoint with its first good answer, and not before', async () => {
    const { embedder, prepared, logged } = await open(endpoint());
    server.onEmbed = () => apiError(401, {});
    expect(await pinned()).toBeNull();
    await expect(embedder.embed(['x'], query)).rejects.toMatchObject({ errorClass: 'auth' });
    expect(await pinned()).toBeNull();
    server.reset();
    expect(await embedder.embed(['x'], query)).toHaveLength(1);
    await embedder.embed(['y'], query);
    expect(await pinned()).toMatchObject({ id: 'openai/text-embedding-3-small', dimensions: 512, provider: 'openai' });
    expect(prepared).toEqual(['openai/text-embedding-3-small']);
    expect(logged.filter((line) => line.includes('first vectors'))).toHaveLength(1);
  });

  test('starts while the endpoint is down', async () => {
    const { embedder } = await open({ OPENAI_BASE_URL: 'http://127.0.0.1:9/v1' });
    await expect(embedder.embed(['x'], query)).rejects.toMatchObject({ errorClass: 'transient' });
  });

  test('of two processes with two models, the first answer wins and the other follows', async () => {
    const one = await open({ ...endpoint(), ENGRAMD_EMBEDDING_MODEL: 'one' });
    const two = await open({ ...endpoint(), ENGRAMD_EMBEDDING_MODEL: 'two' });
    await one.embedder.embed(['x'], query);
    await expect(two.embedder.embed(['x'], query)).rejects.toMatchObject({
      code: 'EMBEDDING_MODEL_MOVED',
      retryable: true,
    });
    expect(await two.embedder.embed(['x'], query)).toHaveLength(1);
    expect(two.embedder.model.id).toBe('openai/one');
    expect(server.requests.map(({ model }) => model)).toEqual(['one', 'two', 'one']);
  });

  test('of an endpoint without an endpoint is a configuration error', async () => {
    await expect(open({ ENGRAMD_EMBEDDER: 'openai' })).rejects.toMatchObject({
      code: 'EMBEDDING_MODEL_UNAVAILABLE',
      exitCode: 2,
      message: expect.stringContaining('OPENAI_BASE_URL'),
    });
  });
});

describe('a pin', () => {
  test('to the local model holds when a key is set', async () => {
    await pinEmbeddingModel(database.db, local);
    const { embedder, configuredModel } = await open(endpoint());
    expect(embedder.model.id).toBe('local/use-512');
    expect(configuredModel().id).toBe('local/use-512');
    expect(server.requests).toHaveLength(0);
  });

  test.each([{ ENGRAMD_EMBEDDER: 'openai' }, { ENGRAMD_EMBEDDING_MODEL: 'text-embedding-3-small' }])(
    'holds against %o, which is told',
    async (env: Record<string, string>) => {
      await pinEmbeddingModel(database.db, local);
      const { embedder, configuredModel } = await open({ ...endpoint(), ...env });
      expect(embedder.model.id).toBe('local/use-512');
      expect(configuredModel().id).toBe('openai/text-embedding-3-small');
    },
  );

  test('to a model of an endpoint asks that model, wherever the endpoint is by now', async () => {
    await pinEmbeddingModel(database.db, { id: 'openai/bge-m3@512', dimensions: 512, provider: 'openai' });
    const { embedder } = await open({ ENGRAMD_EMBEDDING_BASE_URL: server.baseUrl });
    await embedder.embed(['x'], query);
    expect(server.requests[0]).toMatchObject({ model: 'bge-m3' });
    expect(server.requests[0]?.body).toMatchObject({ dimensions: 512 });
  });

  test('whose endpoint answers another length is a configuration error', async () => {
    await pinEmbeddingModel(database.db, { id: 'openai/bge-m3', dimensions: 1024, provider: 'openai' });
    const { embedder } = await open(endpoint());
    await expect(embedder.embed(['x'], query)).rejects.toMatchObject({ errorClass: 'configuration' });
  });

  test('without its endpoint is a clear error', async () => {
    await pinEmbeddingModel(database.db, { id: 'openai/bge-m3', dimensions: 1024, provider: 'openai' });
    await expect(open({})).rejects.toMatchObject({ code: 'EMBEDDING_MODEL_UNAVAILABLE', exitCode: 2 });
  });

  test('to a model that nobody here has is a clear error', async () => {
    await pinEmbeddingModel(database.db, { id: 'other/model', dimensions: 8, provider: 'other' });
    await expect(open(endpoint())).rejects.toMatchObject({ code: 'EMBEDDING_MODEL_UNAVAILABLE', exitCode: 2 });
  });

  test('that moves is followed at the next look; what was taken before stays at its model', async () => {
    const { embedder, open: openModel } = await open({ ...endpoint(), ENGRAMD_EMBEDDING_MODEL: 'one' });
    await embedder.embed(['x'], query);
    const before = await embedder.current();
    await database.db.query('update engram.embedding_models set is_active = false');
    await pinEmbeddingModel(database.db, { id: 'openai/two', dimensions: 512, provider: 'openai' });
    expect((await embedder.current()).model.id).toBe('openai/two');
    await before.embed(['y'], query);
    expect(before.model.id).toBe('openai/one');
    expect(server.requests.map((request: ScriptedRequest) => request.model)).toEqual(['one', 'one']);
    expect(openModel({ id: 'local/use-512', provider: 'local', dimensions: 512 }).model.id).toBe('local/use-512');
  });
});

test('a pin that moves to a model that this process cannot ask makes work wait, and is said once', async () => {
  const { embedder, logged } = await open({});
  await database.db.query('update engram.embedding_models set is_active = false');
  await pinEmbeddingModel(database.db, { id: 'openai/two', dimensions: 512, provider: 'openai' });
  for (const _ of [1, 2]) {
    const now = await embedder.current();
    expect(now.model).toMatchObject({ id: 'openai/two', dimensions: 512 });
    await expect(now.embed(['x'], query)).rejects.toMatchObject({
      code: 'EMBEDDING_MODEL_UNAVAILABLE',
      retryable: true,
    });
  }
  expect(logged.filter((line) => line.includes('needs its endpoint'))).toHaveLength(1);
});

test('what doctor looks with is of the pin, else of the settings', () => {
  const { config } = loadConfig({ env: endpoint(), home: '/nonexistent', uid: 1000 });
  const options = { config, clock: systemClock, gateOf: createPassGate };
  expect(openConfiguredEmbedder(options, null).model.id).toBe('openai/text-embedding-3-small');
  expect(openConfiguredEmbedder(options, local).model.id).toBe('local/use-512');
});
