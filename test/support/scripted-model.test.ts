import OpenAI from 'openai';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { wordVector } from './fake-embedder.ts';
import { malicious } from './scripted-model/malicious.ts';
import { startScriptedModelProcess } from './scripted-model/process.ts';
import { apiError, hang, html, reset } from './scripted-model/reply.ts';
import { createScriptedModel, type ScriptedModel } from './scripted-model.ts';

let model: ScriptedModel;
let client: OpenAI;

beforeAll(async () => {
  model = await createScriptedModel();
  client = new OpenAI({ apiKey: 'none', baseURL: model.baseUrl, maxRetries: 0 });
});
afterEach(() => model.reset());
afterAll(() => model.close());

async function ask(document: unknown, signal?: AbortSignal): Promise<unknown> {
  const completion = await client.chat.completions.create(
    {
      model: 'scripted',
      messages: [
        { role: 'system', content: 'be scripted' },
        { role: 'user', content: JSON.stringify(document) },
      ],
    },
    { signal },
  );
  const content = completion.choices[0]?.message.content ?? '';
  return JSON.parse(content);
}

const batch = {
  mission: '',
  notes: [],
  observations: [{ id: 'o1', text: 'Ann likes tea.', valid_from: null, sources: [] }],
  memories: [
    { id: 'm1', text: 'ann likes tea. ', context: null, mentioned_at: null },
    { id: 'm2', text: 'Ben has a dog.', context: null, mentioned_at: null },
    { id: 'm3', text: 'Ben has a dog.', context: null, mentioned_at: null },
  ],
};

it('answers a batch: what is known is reinforced, the rest created word for word', async () => {
  expect(await ask(batch)).toEqual({
    ops: [
      expect.objectContaining({ op: 'reinforce', target: 'o1', memories: ['m1'], text: null }),
      expect.objectContaining({ op: 'create', as: 'n1', text: 'Ben has a dog.', memories: ['m2', 'm3'] }),
    ],
  });
  expect(model.requests).toHaveLength(1);
  expect(model.requests[0]).toMatchObject({ path: '/v1/chat/completions', model: 'scripted', clientHungUp: false });
});

it('answers pairs, rewritings and checks', async () => {
  const side = (text: string) => ({ text, valid_from: null });
  expect(await ask({ held: side('A b'), offered: side(' a B'), admissible: [] })).toMatchObject({ verdict: 'same' });
  expect(await ask({ held: side('A'), offered: side('B'), admissible: [] })).toMatchObject({ verdict: 'different' });
  const sources = [
    { text: 'old', mentioned_at: null },
    { text: 'new', mentioned_at: null },
  ];
  expect(await ask({ text: 'was', sources })).toMatchObject({ text: 'new' });
  expect(await ask({})).toEqual({ ok: true });
});

it('embeds by words, as base64 and as numbers, of any length', async () => {
  const first = await client.embeddings.create({ model: 'e', input: ['Ann likes tea', 'x'] });
  expect(Float32Array.from(first.data[0]?.embedding ?? [])).toEqual(wordVector('Ann likes tea'));
  const second = await client.embeddings.create({ model: 'e', input: 'x', dimensions: 64, encoding_format: 'float' });
  expect(second.data[0]?.embedding).toHaveLength(64);
  expect((await client.models.list()).data[0]?.id).toBe('scripted');
});

it('fails in every way it is told to', async () => {
  model.onChat = () => apiError(429, { code: 'rate_limit_exceeded' }, { 'retry-after': '7' });
  await expect(ask({})).rejects.toMatchObject({ status: 429, code: 'rate_limit_exceeded' });
  model.onChat = () => html();
  await expect(ask({})).rejects.toThrow();
  for (const when of ['before', 'middle'] as const) {
    model.onChat = () => reset(when);
    await expect(ask({})).rejects.toThrow();
  }
  expect(model.requests.filter(({ clientHungUp }) => clientHungUp)).toEqual([]);
});

it('notices a client that hangs up', async () => {
  const leaving = new AbortController();
  const arrived = Promise.withResolvers<void>();
  model.onChat = () => {
    arrived.resolve();
    return hang();
  };
  const asked = ask({}, leaving.signal);
  await arrived.promise;
  expect(model.inFlight()).toBe(1);
  leaving.abort();
  await expect(asked).rejects.toThrow();
  await expect.poll(() => model.inFlight()).toBe(0);
  expect(model.requests[0]?.clientHungUp).toBe(true);
});

it('can be bad on purpose', async () => {
  model.onChat = malicious.inventsAliases;
  expect(JSON.stringify(await ask(batch))).toContain('"o99"');
  model.onChat = malicious.repeatsItself;
  expect(JSON.stringify(await ask(batch)).length).toBeGreaterThan(50_000);
  model.onChat = malicious.obeysInjection;
  expect(await ask({})).toEqual({ ok: true });
});

it('runs in a process of its own, 64 answers at once', async () => {
  const apart = await startScriptedModelProcess({ chatLatencyMs: 300 });
  try {
    const client = new OpenAI({ apiKey: 'none', baseURL: apart.baseUrl, maxRetries: 0 });
    const messages = [{ role: 'user' as const, content: '{}' }];
    const asked = Array.from({ length: 64 }, () => client.chat.completions.create({ model: 'm', messages }));
    expect(await Promise.all(asked)).toHaveLength(64);
    expect(await apart.counts()).toMatchObject({ chat: 64, embed: 0, inFlight: 0 });
    await apart.reset();
    expect(await apart.counts()).toMatchObject({ chat: 0, mostInFlight: 0 });
  } finally {
    await apart.close();
  }
});
