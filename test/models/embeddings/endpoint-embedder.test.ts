import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { createEndpointEmbedder } from '../../../src/models/embeddings/endpoint-embedder.ts';
import { createEmbeddingTransport } from '../../../src/models/embeddings/request-embeddings.ts';
import { createOpenAiClient } from '../../../src/models/openai/create-client.ts';
import { type Clock, systemClock } from '../../../src/telemetry/clock.ts';
import { createDrivenClock } from '../../support/driven-clock.ts';
import { wordVector } from '../../support/fake-embedder.ts';
import { apiError, html, type Reply, type ScriptedRequest, status } from '../../support/scripted-model/reply.ts';
import { createScriptedModel, type ScriptedModel } from '../../support/scripted-model.ts';
import { createPassGate } from './pass-gate.ts';

let server: ScriptedModel;
beforeAll(async () => {
  server = await createScriptedModel();
});
afterEach(() => server.reset());
afterAll(() => server.close());

const { signal } = new AbortController();
const memory = { purpose: 'memory', signal, bankId: 'b' } as const;

function embedder(
  options: { model?: string; askedDimensions?: number; pinnedDimensions?: number; clock?: Clock } = {},
) {
  const { clock = systemClock } = options;
  const { model = 'some-model', askedDimensions = null, pinnedDimensions = null } = options;
  const gate = createPassGate(server.baseUrl, model);
  const client = createOpenAiClient({ apiKey: 'sk-test-1234567890', baseUrl: server.baseUrl });
  const transport = createEmbeddingTransport({ client, clock, endpoint: server.baseUrl, secrets: [] });
  const options_ = { model, askedDimensions, pinnedDimensions, gate, transport, clock };
  return { gate, ...{ embedder: createEndpointEmbedder(options_) } };
}

const inputs = (request: ScriptedRequest | undefined) => (request?.body.input ?? []) as string[];
const vectors = (texts: readonly string[], dimensions = 512): Reply => ({
  kind: 'vectors',
  vectors: texts.map((text) => wordVector(text, dimensions)),
});
/** Refuses requests that hold a text, as a content filter does. */
const refusing = (bad: string) => (request: ScriptedRequest) =>
  inputs(request).some((text) => text.includes(bad))
    ? apiError(400, { message: "'$.input' is invalid.", param: 'input', type: 'invalid_request_error' })
    : vectors(inputs(request));

test('floats of the model asked for, unit vectors in the order of the texts, and usage for the ledger', async () => {
  const { gate, embedder: it } = embedder();
  expect(it.model).toEqual({ id: 'openai/some-model', dimensions: 0, provider: 'openai' });
  const made = await it.embed(['one', 'two three'], memory);
  expect(made.map((vector) => [...vector])).toEqual(['one', 'two three'].map((text) => [...wordVector(text)]));
  expect(it.model.dimensions).toBe(512);
  expect(server.requests[0]?.body).toEqual({
    model: 'some-model',
    input: ['one', 'two three'],
    encoding_format: 'float',
  });
  expect(gate.calls[0]).toMatchObject({
    purpose: 'embed',
    bankId: 'b',
    memories: 2,
    maxOutputTokens: 0,
    urgent: false,
  });
  expect(gate.calls[0]?.promptBytes).toBeGreaterThan(12);
  expect(gate.usages[0]?.promptTokens).toBeGreaterThan(0);
});

test('a query is urgent, and of no memories', async () => {
  const { gate, embedder: it } = embedder();
  await it.embed(['where is it'], { purpose: 'query', signal });
  expect(gate.calls[0]).toMatchObject({ urgent: true, memories: 0, bankId: null });
});

test('shorter vectors are asked for, and are another model', async () => {
  const { embedder: it } = embedder({ askedDimensions: 256 });
  expect(it.model).toMatchObject({ id: 'openai/some-model@256', dimensions: 256 });
  expect((await it.embed(['one'], memory))[0]).toHaveLength(256);
  expect(server.requests[0]?.body.dimensions).toBe(256);
});

test('at most 64 texts and about 8,000 tokens a request', async () => {
  const { embedder: it } = embedder();
  await it.embed(
    Array.from({ length: 100 }, (_, at) => `text ${at}`),
    memory,
  );
  expect(server.requests.map((request) => inputs(request).length)).toEqual([64, 36]);
  server.reset();
  await it.embed(
    Array.from({ length: 10 }, (_, at) => `${at} ${'word '.repeat(1500)}`),
    memory,
  );
  expect(server.requests.map((request) => inputs(request).length)).toEqual([3, 3, 3, 1]);
});

test('what is too long for the model is cut between words; what its server still calls too long, further', async () => {
  const { embedder: it } = embedder({ model: 'mxbai-embed-large:latest' });
  server.onEmbed = (request) =>
    inputs(request).every((text) => text.length < 500)
      ? vectors(inputs(request))
      : apiError(400, { message: 'the input exceeds the maximum context length of 512 tokens' });
  expect(await it.embed(['word '.repeat(4000), 'short'], memory)).toHaveLength(2);
  for (const request of server.requests) {
    expect(Buffer.byteLength(inputs(request)[0] ?? '')).toBeLessThanOrEqual(512 * 3);
    expect(inputs(request)[0]).toMatch(/(?:^short|word)$/);
  }
});

describe('a text that is refused', () => {
  test('is found among the others and named', async () => {
    const { gate, embedder: it } = embedder();
    server.onEmbed = refusing('poison');
    const texts = Array.from({ length: 9 }, (_, at) => (at === 5 ? 'poison' : `text ${at}`));
    await expect(it.embed(texts, memory)).rejects.toMatchObject({ code: 'INVALID_EMBEDDING', index: 5 });
    expect(server.requests.length).toBeLessThanOrEqual(9);
    expect(gate.contentFailures).toEqual([]);
  });

  test('alone is named too, once the model has answered a plain sentence', async () => {
    const { embedder: it } = embedder();
    server.onEmbed = refusing('poison');
    await expect(it.embed(['poison'], memory)).rejects.toMatchObject({ code: 'INVALID_EMBEDDING', index: 0 });
    expect(server.requests).toHaveLength(2);
  });

  test('in words that say nothing is found too, once the model has answered', async () => {
    const { embedder: it } = embedder();
    const mute = (request: ScriptedRequest) =>
      inputs(request).includes('poison') ? apiError(400, { message: 'could not' }) : vectors(inputs(request));
    server.onEmbed = mute;
    await expect(it.embed(['poison'], memory)).rejects.toMatchObject({ errorClass: 'configuration' });
    await it.embed(['fine'], memory);
    const texts = ['a', 'b', 'poison', 'c'];
    await expect(it.embed(texts, memory)).rejects.toMatchObject({ code: 'INVALID_EMBEDDING', index: 2 });
  });

  test('by a model that refuses everything blames the model and no text', async () => {
    const { gate, embedder: it } = embedder();
    server.onEmbed = refusing('');
    await expect(it.embed(['fine', 'fine too'], memory)).rejects.toMatchObject({
      code: 'MODEL_UNAVAILABLE',
      errorClass: 'model_unfit',
      message: expect.stringContaining('take another embedding model'),
    });
    expect(gate.contentFailures).toHaveLength(1);
  });

  test('by NaN in its vector is named; NaN in all of them is the model', async () => {
    const { embedder: it } = embedder();
    const nan = (bad: (text: string) => boolean) => (request: ScriptedRequest) =>
      status(200, {
        body: {
          data: inputs(request).map((text, index) => ({ index, embedding: bad(text) ? [null, 1] : [0.6, 0.8] })),
        },
      });
    server.onEmbed = nan((text) => text === 'bad');
    await expect(it.embed(['good', 'bad'], memory)).rejects.toMatchObject({ code: 'INVALID_EMBEDDING', index: 1 });
    server.onEmbed = nan(() => true);
    await expect(it.embed(['good', 'bad'], memory)).rejects.toMatchObject({ errorClass: 'model_unfit' });
  });
});

test('answers out of order are put in order by their index', async () => {
  const { embedder: it } = embedder();
  server.onEmbed = () =>
    status(200, {
      body: {
        data: [
          { index: 1, embedding: [0, 1] },
          { index: 0, embedding: [1, 0] },
        ],
      },
    });
  expect((await it.embed(['a', 'b'], memory)).map((vector) => [...vector])).toEqual([
    [1, 0],
    [0, 1],
  ]);
});

describe('a configuration error, and no text at fault', () => {
  test.each<[string, Parameters<typeof embedder>[0], () => Reply, RegExp]>([
    [
      'another length than the vectors of the database',
      { pinnedDimensions: 768 },
      () => vectors(['x'], 512),
      /768.*embeddings switch/,
    ],
    [
      'dimensions that the server ignores',
      { askedDimensions: 256 },
      () => vectors(['x'], 512),
      /ENGRAMD_EMBEDDING_DIMENSIONS/,
    ],
    [
      'dimensions that the server refuses',
      { askedDimensions: 256 },
      () => apiError(400, { message: 'no', param: 'dimensions' }),
      /400/,
    ],
    ['fewer vectors than texts', {}, () => vectors([]), /0 vectors for 1 texts/],
    ['a web page', {}, () => html(), /BASE_URL/],
    ['another JSON', {}, () => status(200, { body: { ok: true } }), /BASE_URL/],
    ['a wrong model name', {}, () => apiError(404, { code: 'model_not_found' }), /ENGRAMD_EMBEDDING_MODEL/],
  ])('%s', async (_, options, reply, message) => {
    const { embedder: it } = embedder(options);
    server.onEmbed = reply;
    await expect(it.embed(['x'], memory)).rejects.toMatchObject({
      code: 'MODEL_UNAVAILABLE',
      errorClass: 'configuration',
      message: expect.stringMatching(message),
    });
    expect(server.requests).toHaveLength(1);
  });

  test.each<[string, Reply, string]>([
    ['a wrong key', apiError(401, {}), 'auth'],
    ['a server in trouble', status(503), 'transient'],
    ['too many requests', status(429), 'rate_limit'],
  ])('%s', async (_, reply, errorClass) => {
    const { embedder: it } = embedder();
    server.onEmbed = () => reply;
    await expect(it.embed(['x', 'y'], memory)).rejects.toMatchObject({ code: 'MODEL_UNAVAILABLE', errorClass });
    expect(server.requests).toHaveLength(1);
  });
});

test('a query at an endpoint that hangs is over before its caller leaves, which tells the gate', async () => {
  const clock = createDrivenClock();
  const { embedder: it } = embedder({ clock });
  const arrived = Promise.withResolvers<void>();
  server.onEmbed = () => {
    arrived.resolve();
    return { kind: 'hang' };
  };
  const asked = it.embed(['x'], { purpose: 'query', signal }).catch((thrown: unknown) => thrown);
  await arrived.promise;
  // Recall waits for 10 s.
  await clock.advance(8000);
  expect(await asked).toMatchObject({ code: 'MODEL_UNAVAILABLE', errorClass: 'timeout' });
});

test('an abort hangs up', async () => {
  const { embedder: it } = embedder();
  const aborting = new AbortController();
  server.onEmbed = () => {
    queueMicrotask(() => aborting.abort(new Error('stopping')));
    return { kind: 'hang' };
  };
  await expect(it.embed(['x'], { ...memory, signal: aborting.signal })).rejects.toThrow('stopping');
});
