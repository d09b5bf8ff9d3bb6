import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { checkModel } from '../../../src/models/chat/check-model.ts';
import { requestHash } from '../../../src/models/chat/request-hash.ts';
import { ModelContentError } from '../../../src/models/provider-errors.ts';
import { createDrivenClock } from '../../support/driven-clock.ts';
import { answer, apiError, hang, html, reset, status } from '../../support/scripted-model/reply.ts';
import { turnsOf } from '../../support/scripted-model/understand.ts';
import { createScriptedModel, type ScriptedModel } from '../../support/scripted-model.ts';
import { createTestDatabase, type TestDatabase } from '../../support/test-database.ts';
import { type ChatBench, context, createChatBench, pairRequest, readVerdict } from './chat-bench.ts';

let database: TestDatabase;
let scripted: ScriptedModel;
beforeAll(async () => {
  [database, scripted] = await Promise.all([createTestDatabase(), createScriptedModel()]);
});
afterEach(() => scripted.reset());
afterAll(async () => {
  await scripted.close();
  await database.drop();
});

const bench = (options: Parameters<typeof createChatBench>[2] = {}): ChatBench =>
  createChatBench(database, scripted, options);
const ask = ({ chat }: ChatBench, request = pairRequest(), changes: Parameters<typeof context>[0] = {}) =>
  chat.ask(request, readVerdict, context(changes));
const good = { verdict: 'same', reason: 'equal' };

async function reused(): Promise<number> {
  const { values } = await database.metrics.storedAnswers.get();
  return values.find(({ labels }) => labels.kind === 'answer')?.value ?? 0;
}

describe('a request', () => {
  it('asks for the strict schema and answers what the reader makes of it', async () => {
    const { chat, gate } = bench();
    expect(await ask({ chat, gate })).toBe('same');
    expect(scripted.requests[0]?.body).toMatchObject({
      model: 'scripted',
      temperature: 0,
      max_tokens: 100,
      messages: pairRequest().messages,
      response_format: { type: 'json_schema', json_schema: { name: 'adjudication', strict: true } },
    });
    expect(gate.runs).toMatchObject([
      {
        facts: { purpose: 'adjudicate', bankId: 'bank', memories: 1, maxOutputTokens: 100 },
        performed: { isUsable: true, answer: { finishReason: 'stop', refusal: null } },
      },
    ]);
  });

  it('reports the bytes that are sent, and never fewer', async () => {
    const { chat, gate } = bench({ name: 'bytes' });
    await ask({ chat, gate }, pairRequest('tee ☕'));
    await ask({ chat, gate }, pairRequest('coffee ☕'));
    const told = gate.runs.map(({ facts }) => facts.promptBytes);
    const sent = scripted.requests.map(({ bytes }) => bytes);
    // Before the first answer it may yet become longer; afterwards it is what it is.
    expect(told[0]).toBeGreaterThanOrEqual(sent[0] ?? 0);
    expect(told[1]).toBe(sent[1]);
  });

  it('hands on what was charged', async () => {
    scripted.onChat = () => answer(good, { usage: { promptTokens: 70, outputTokens: 9, cachedTokens: 64 } });
    const { chat, gate } = bench();
    await ask({ chat, gate });
    expect(gate.runs[0]?.performed?.usage).toEqual({ promptTokens: 70, cachedTokens: 64, outputTokens: 9 });
    scripted.onChat = () => answer(good, { usage: null });
    await ask({ chat, gate }, pairRequest('other'));
    expect(gate.runs[1]?.performed?.usage).toBeNull();
  });

  it('is refused under a held connection (L1)', async () => {
    const one = bench();
    await ask(one, pairRequest('before'));
    await expect(
      database.db.tx({ label: 'held' }, () => ask(one, pairRequest(), { bankId: null })),
    ).rejects.toMatchObject({ code: 'HELD_CONNECTION' });
    expect(scripted.requests).toHaveLength(1);
  });

  it('has the hash of what its answer depends on, and of nothing else', () => {
    const target = { endpoint: 'http://a/v1', model: 'm' };
    const hash = (changes = {}, of = target) => requestHash(of, pairRequest('tea', changes)).toString('hex');
    const others = [
      hash({ promptVersion: 'test/2' }),
      hash({ maxOutputTokens: 101 }),
      hash({ messages: pairRequest('coffee').messages }),
      hash({ answer: { name: 'other', schema: {} } }),
      hash({ answer: { name: 'adjudication', schema: {} } }),
      hash({}, { ...target, model: 'n' }),
      hash({}, { ...target, endpoint: 'http://b/v1' }),
    ];
    expect(new Set([hash(), ...others]).size).toBe(8);
    expect(hash({ purpose: 'check' })).toBe(hash());
    const { name, schema } = pairRequest().answer;
    const turned = Object.fromEntries(Object.entries(schema).reverse());
    expect(hash({ answer: { name, schema: turned } })).toBe(hash());
  });
});

describe('an answer that was paid for', () => {
  it('is taken instead of asking, and counted', async () => {
    const one = bench();
    await ask(one);
    const before = await reused();
    expect(await ask(one)).toBe('same');
    expect(scripted.requests).toHaveLength(1);
    expect(await reused()).toBe(before + 1);
  });

  it('is the bank’s own', async () => {
    const one = bench();
    await ask(one);
    await ask(one, pairRequest(), { bankId: 'other' });
    await ask(one, pairRequest(), { bankId: null });
    await ask(one, pairRequest(), { bankId: null });
    expect(scripted.requests).toHaveLength(4);
  });

  it('announces the hash before the request is sent, and only then', async () => {
    const one = bench();
    const told: { hash: string; sent: number }[] = [];
    const onRequest = async (hash: Buffer) => {
      told.push({ hash: hash.toString('hex'), sent: scripted.requests.length });
    };
    await ask(one, pairRequest(), { onRequest });
    await ask(one, pairRequest(), { onRequest });
    expect(told).toEqual([{ hash: requestHash(one.gate, pairRequest()).toString('hex'), sent: 0 }]);
  });

  it('is not asked for when its hash cannot be written down', async () => {
    const onRequest = () => Promise.reject(new Error('the database is away'));
    await expect(ask(bench(), pairRequest(), { onRequest })).rejects.toThrow('the database is away');
    expect(scripted.requests).toHaveLength(0);
  });

  it('is found by the hash of the batch that died, whatever would be asked now', async () => {
    const one = bench();
    await ask(one, pairRequest('before'));
    const answeredBefore = requestHash(one.gate, pairRequest('before'));
    expect(await ask(one, pairRequest('now'), { answeredBefore })).toBe('same');
    expect(scripted.requests).toHaveLength(1);
    expect(await ask(one, pairRequest('now'), { answeredBefore: Buffer.alloc(32) })).toBe('same');
    expect(scripted.requests).toHaveLength(2);
  });

  it('is read again when it was malformed and its repair did not come: only that is asked for', async () => {
    scripted.onChat = (request) => (turnsOf(request) === 2 ? answer('no JSON') : status(500));
    const one = bench();
    await expect(ask(one)).rejects.toThrow();
    expect(scripted.requests).toHaveLength(2);
    one.gate.restart();
    scripted.onChat = () => answer(good);
    expect(await ask(one)).toBe('same');
    expect(scripted.requests.map(turnsOf)).toEqual([2, 4, 4]);
  });

  it('that was of no use to the end is asked for afresh: the model may do better by now', async () => {
    scripted.onChat = () => answer('no JSON');
    const one = bench();
    await expect(ask(one)).rejects.toMatchObject({ kind: 'malformed' });
    await expect(ask(one)).rejects.toMatchObject({ kind: 'malformed' });
    expect(scripted.requests.map(turnsOf)).toEqual([2, 4, 2, 4]);
    scripted.onChat = () => answer(good);
    expect(await ask(one)).toBe('same');
    expect(scripted.requests).toHaveLength(5);
    expect(await ask(one)).toBe('same');
    expect(scripted.requests).toHaveLength(5);
  });

  it('is asked for again where something else is kept', async () => {
    const one = bench();
    const hash = requestHash(one.gate, pairRequest()).toString('hex');
    (one.gate.answers as Map<string, string>).set(`bank ${hash}`, '{"of":"another version"}');
    expect(await ask(one)).toBe('same');
    expect(scripted.requests).toHaveLength(1);
  });
});

describe('an answer that does not do', () => {
  it('is repaired once, with what is wrong with it', async () => {
    scripted.onChat = (request) => answer(turnsOf(request) === 2 ? { reason: 'forgot' } : good);
    const one = bench();
    const hashes: string[] = [];
    const onRequest = async (hash: Buffer) => void hashes.push(hash.toString('hex'));
    expect(await ask(one, pairRequest(), { onRequest })).toBe('same');
    const messages = scripted.requests[1]?.body.messages as { role: string; content: string }[];
    expect(messages.map(({ role }) => role)).toEqual(['system', 'user', 'assistant', 'user']);
    expect(messages[2]?.content).toBe('{"reason":"forgot"}');
    expect(messages[3]?.content).toMatch(/The field "verdict" is missing/);
    expect(new Set(hashes).size).toBe(2);
    // Its memory is counted once, and only the second answer says that the model is fit.
    expect(one.gate.runs.map(({ facts, performed }) => [facts.memories, performed?.isUsable])).toEqual([
      [1, false],
      [0, true],
    ]);
  });

  it('is quoted at a length that cannot fill the prompt', async () => {
    scripted.onChat = (request) => answer(turnsOf(request) === 2 ? 'The user likes tea. '.repeat(2500) : good);
    await ask(bench());
    expect(scripted.requests[1]?.bytes).toBeLessThan(11_000);
  });

  it('is quoted as far as the window has room for it beside the prompt and a new answer', async () => {
    scripted.onChat = (request) => answer(turnsOf(request) === 2 ? 'The user likes tea. '.repeat(2500) : good);
    const window = 900;
    expect(await ask(bench({ contextTokens: window }))).toBe('same');
    const { messages, max_tokens: limit } = (scripted.requests[1]?.body ?? {}) as {
      messages: { content: string }[];
      max_tokens: number;
    };
    const bytes = messages.reduce((sum, { content }) => sum + Buffer.byteLength(content), 0);
    expect(messages[2]?.content.length).toBeGreaterThan(200);
    expect(bytes / 4 + limit).toBeLessThanOrEqual(window);
  });

  it('is malformed without a repair where the window has no room for one', async () => {
    scripted.onChat = (request) => answer(turnsOf(request) === 2 ? 'The user likes tea. '.repeat(2500) : good);
    await expect(ask(bench({ contextTokens: 300 }))).rejects.toMatchObject({ kind: 'malformed' });
    expect(scripted.requests.map(turnsOf)).toEqual([2]);
  });

  it.each(['', null])('may be empty (%j)', async (nothing) => {
    scripted.onChat = (request) => answer(turnsOf(request) === 2 ? nothing : good);
    expect(await ask(bench())).toBe('same');
  });

  it('is the content’s fault when the repair does not do either', async () => {
    scripted.onChat = () => answer('Ann’s diary says 4711');
    const error = await ask(bench()).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(ModelContentError);
    expect(error).toMatchObject({ kind: 'malformed', message: expect.not.stringMatching(/diary|4711/) });
    expect(scripted.requests).toHaveLength(2);
  });

  it('is asked for once more with a limit four times as large when it was cut off', async () => {
    scripted.onChat = ({ body }) =>
      body.max_tokens === 100 ? answer('{"verdict": "sa', { finishReason: 'length' }) : answer(good);
    const one = bench();
    expect(await ask(one)).toBe('same');
    expect(scripted.requests.map(({ body }) => body.max_tokens)).toEqual([100, 400]);
    expect(one.gate.runs.map(({ facts }) => facts.memories)).toEqual([1, 0]);
  });

  it('is cut off when what is whole of it is not what was asked for', async () => {
    scripted.onChat = ({ body }) =>
      body.max_tokens === 100 ? answer('{"reason": "first"} {"verd', { finishReason: 'length' }) : answer(good);
    expect(await ask(bench())).toBe('same');
    expect(scripted.requests.map((request) => turnsOf(request))).toEqual([2, 2]);
  });

  it('gets a limit that the context window has room for', async () => {
    scripted.onChat = () => answer('{', { finishReason: 'length' });
    await expect(ask(bench({ contextTokens: 500 }))).rejects.toMatchObject({ kind: 'truncated' });
    expect(scripted.requests.map(({ body }) => body.max_tokens)).toEqual([100, 200]);
    scripted.reset();
    scripted.onChat = () => answer('{', { finishReason: 'length' });
    await expect(ask(bench({ contextTokens: 250 }))).rejects.toMatchObject({ kind: 'truncated' });
    expect(scripted.requests).toHaveLength(1);
  });

  it('is truncated when it is cut off at both limits', async () => {
    scripted.onChat = () => answer('{"verdict": "sa', { finishReason: 'length' });
    await expect(ask(bench())).rejects.toMatchObject({ kind: 'truncated', retryable: false });
    expect(scripted.requests).toHaveLength(2);
  });

  it('is truncated, and no outage, when the model gives none of the larger length', async () => {
    scripted.onChat = ({ body }) =>
      body.max_tokens === 100
        ? answer('{', { finishReason: 'length' })
        : apiError(400, { message: 'max_tokens is too large: 400. It must be at most 128.', param: 'max_tokens' });
    await expect(ask(bench())).rejects.toMatchObject({ kind: 'truncated' });
  });

  it('is taken when it is whole though it ended at the limit', async () => {
    scripted.onChat = () => answer(good, { finishReason: 'length' });
    expect(await ask(bench())).toBe('same');
    expect(scripted.requests).toHaveLength(1);
  });

  it.each([
    ['a refusal', () => answer(null, { refusal: 'I will not.' })],
    ['a filter', () => answer('', { finishReason: 'content_filter' })],
    ['a refused request', () => apiError(400, { code: 'content_filter' })],
  ])('is refused: %s', async (_name, reply) => {
    scripted.onChat = reply;
    await expect(ask(bench())).rejects.toMatchObject({ kind: 'refused' });
    expect(scripted.requests).toHaveLength(1);
  });

  it('says when it was asked for, which is what blame is found by', async () => {
    const clock = createDrivenClock();
    await clock.advance(5000);
    scripted.onChat = () => answer(null, { refusal: 'no' });
    await expect(ask(bench({ clock }))).rejects.toMatchObject({ sentAtMs: 5000 });
  });

  it.each([
    ['a code fence', '```json\n{"verdict":"same","reason":""}\n```'],
    ['thoughts', '<think>{"verdict":"different"} or not?</think>\n{"verdict":"same","reason":""}'],
    ['courtesy', 'Sure! Here you are:\n{"verdict":"same","reason":""}\nAnything else?'],
  ])('is read all the same with %s around it', async (_name, text) => {
    scripted.onChat = () => answer(text);
    expect(await ask(bench())).toBe('same');
    expect(scripted.requests).toHaveLength(1);
  });
});

describe('a failure of the endpoint', () => {
  it.each([
    ['500', () => status(500), 'transient'],
    ['a reset', () => reset(), 'transient'],
    ['a reset in the middle', () => reset('middle'), 'transient'],
    ['HTML', () => html(), 'configuration'],
    ['HTML as an error', () => html({ status: 404 }), 'configuration'],
    ['JSON of something else', () => status(200, { body: { hello: 'world' } }), 'configuration'],
    ['an empty body', () => status(200, { body: '' }), 'configuration'],
    [
      'broken JSON',
      () => status(200, { body: '{"id":', headers: { 'content-type': 'application/json' } }),
      'configuration',
    ],
    ['an error in a 200', () => status(200, { body: { error: { code: 429, message: 'slow down' } } }), 'rate_limit'],
    ['an error without a number in a 200', () => status(200, { body: { error: { message: 'oops' } } }), 'transient'],
    ['a wrong key', () => apiError(401, { code: 'invalid_api_key' }), 'auth'],
    ['a wrong model', () => apiError(404, { code: 'model_not_found' }), 'configuration'],
  ])('%s is sent once and is of class %s', async (_name, reply, errorClass) => {
    scripted.onChat = reply;
    await expect(ask(bench())).rejects.toMatchObject({ code: 'MODEL_PROVIDER', errorClass });
    expect(scripted.requests).toHaveLength(1);
  });

  it.each([
    ['consolidate', 60_000],
    ['rewrite', 60_000],
    ['adjudicate', 30_000],
    ['check', 30_000],
  ] as const)('%s waits %d ms for an answer, then closes the socket', async (purpose, waitsMs) => {
    const clock = createDrivenClock();
    const arrived = Promise.withResolvers<void>();
    scripted.onChat = () => {
      arrived.resolve();
      return hang();
    };
    let isOver = false;
    const asked = ask(bench({ clock, timeoutMs: 60_000 }), pairRequest('tea', { purpose }))
      .catch((thrown: unknown) => thrown)
      .finally(() => {
        isOver = true;
      });
    await arrived.promise;
    await clock.advance(waitsMs - 1);
    expect(isOver).toBe(false);
    await clock.advance(1);
    expect(await asked).toMatchObject({
      errorClass: 'timeout',
      message: expect.stringMatching(/within (60|30) s: raise ENGRAMD_LLM_TIMEOUT/),
    });
    await expect.poll(() => scripted.requests[0]?.clientHungUp).toBe(true);
  });

  it('an abort of the caller gives the caller’s reason and closes the socket', async () => {
    const leaving = new AbortController();
    const arrived = Promise.withResolvers<void>();
    scripted.onChat = () => {
      arrived.resolve();
      return hang();
    };
    const asked = ask(bench(), pairRequest(), { signal: leaving.signal });
    await arrived.promise;
    const reason = new Error('the daemon stops');
    leaving.abort(reason);
    await expect(asked).rejects.toBe(reason);
    await expect.poll(() => scripted.requests[0]?.clientHungUp).toBe(true);
    await expect(ask(bench(), pairRequest(), { signal: leaving.signal })).rejects.toBe(reason);
    expect(scripted.requests).toHaveLength(1);
  });
});

it('passes on what the gate knows', async () => {
  const { chat, gate } = bench({ contextTokens: 1234 });
  expect(chat).toMatchObject({ model: 'scripted', endpoint: scripted.baseUrl, contextTokens: 1234 });
  expect(chat.tokensOf('12345678')).toBe(2);
  expect(await chat.readyAt()).toEqual(await gate.readyAt());
  expect(await chat.contentFailed(new ModelContentError('refused', 'x', { sentAtMs: 0 }), 'm1')).toBe('memory');
  expect(bench({ name: 'gpt-5-mini' }).chat.contextTokens).toBe(400_000);
});

it('checks the connection with a request of its own each time', async () => {
  const { chat, gate } = bench();
  await checkModel(chat, new AbortController().signal);
  await checkModel(chat, new AbortController().signal);
  expect(gate.runs.map(({ facts }) => [facts.purpose, facts.bankId, facts.memories])).toEqual([
    ['check', null, 0],
    ['check', null, 0],
  ]);
  scripted.onChat = () => answer({ ok: false });
  await expect(checkModel(chat, new AbortController().signal)).rejects.toMatchObject({ kind: 'malformed' });
  scripted.onChat = () => apiError(401, { code: 'invalid_api_key' });
  await expect(checkModel(chat, new AbortController().signal)).rejects.toThrow(/correct OPENAI_API_KEY/);
});
