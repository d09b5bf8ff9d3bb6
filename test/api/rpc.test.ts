import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { createRpcDispatcher, type RpcDispatcher } from '../../src/api/rpc.ts';
import { startControlServer } from '../../src/daemon/control/control-server.ts';
import type { LifeControl } from '../../src/lifecycle/life-view.ts';
import { openClient } from '../daemon/control/control-fixture.ts';
import { createScratchFolder, removeScratchFolder } from '../support/scratch-folder.ts';
import { type ApiFixture, bodyOf, createApiFixture } from './api-fixture.ts';

let fixture: ApiFixture;
let dispatch: RpcDispatcher;
beforeAll(async () => {
  fixture = await createApiFixture({ settings: { apiToken: 's3cret-token' } });
  dispatch = createRpcDispatcher(fixture.deps);
});
beforeEach(() => {
  fixture.work.length = 0;
});
afterEach(() => fixture.setCondition('ready'));
afterAll(() => fixture.close());

const { signal } = new AbortController();
const headers = { authorization: 'Bearer s3cret-token' };
const call = (method: string, params?: unknown) => dispatch({ jsonrpc: '2.0', id: 1, method, params }, signal);

describe('a call', () => {
  test('does what the route does: path and query by name, the body, the key; no token', async () => {
    const written = await call('writeMemories', {
      bank: 'rpc',
      body: { text: 'The kiln is booked on Fridays.' },
      idempotency_key: 'once',
    });
    expect(written).toMatchObject({ jsonrpc: '2.0', id: 1, result: { added: 1 } });
    const again = await call('writeMemories', {
      bank: 'rpc',
      body: { text: 'The kiln is booked on Fridays.' },
      idempotency_key: 'once',
    });
    expect(again).toEqual(written);
    // A number where a query has text.
    const listed = await call('listMemories', { bank: 'rpc', limit: 5, state: 'pending' });
    expect(listed).toMatchObject({ result: { memories: [{ text: 'The kiln is booked on Fridays.' }] } });
    const url = '/v1/banks/rpc/memories?limit=5&state=pending';
    expect(listed).toMatchObject({ result: bodyOf(await fixture.app.inject({ url, headers })) });
    expect(await call('recall', { bank: 'rpc', body: { query: 'kiln' } })).toMatchObject({
      result: { items: [{ text: 'The kiln is booked on Fridays.' }] },
    });
  });

  test.each([
    ['no version', { id: 7, method: 'status' }, 7, /jsonrpc/],
    ['another version', { jsonrpc: '1.0', id: 7, method: 'status' }, 7, /jsonrpc: must be "2.0"/],
    ['no id', { jsonrpc: '2.0', method: 'status' }, null, /^id: /],
    ['null for an id', { jsonrpc: '2.0', id: null, method: 'status' }, null, /^id: must be a string/],
    ['an object for an id', { jsonrpc: '2.0', id: {}, method: 'status' }, null, /^id: must be a string/],
    ['a broken id', { jsonrpc: '2.0', id: 1.5, method: 'status' }, null, /^id: must be a string/],
    [
      'an id beyond 2^53',
      { jsonrpc: '2.0', id: 2 ** 60, method: 'status' },
      null,
      /^id: must be a string of at most 255/,
    ],
    [
      'a book for an id',
      { jsonrpc: '2.0', id: 'x'.repeat(256), method: 'status' },
      null,
      /^id: must be a string of at/,
    ],
    ['an empty method', { jsonrpc: '2.0', id: 7, method: '' }, 7, /^method: must be a string of 1 to 100 characters$/],
    [
      'a book for a method',
      { jsonrpc: '2.0', id: 7, method: 'x'.repeat(101) },
      7,
      /^method: must be a string of 1 to 100/,
    ],
    ['no method', { jsonrpc: '2.0', id: 'a' }, 'a', /^method: /],
    ['a field nobody knows', { jsonrpc: '2.0', id: 'a', method: 'status', x: 1 }, 'a', /x: unknown field/],
    ['a batch', [{ jsonrpc: '2.0', id: 1, method: 'status' }], null, /batches are not taken/],
    ['a number', 7, null, /object/],
    ['null', null, null, /object/],
  ])('with %s is no request', async (_, request, id, words) => {
    expect(await dispatch(request, signal)).toEqual({
      jsonrpc: '2.0',
      id,
      error: { code: -32600, message: expect.stringMatching(words), data: { code: 'INVALID_REQUEST' } },
    });
    expect(fixture.work).toEqual([]);
  });

  test.each([
    ['of no method', 'dance', {}, -32601, /operation ids/],
    ['with a list for parameters', 'recall', ['rpc'], -32602, /^params: must be an object/],
    ['without its bank', 'recall', { body: { query: 'x' } }, -32602, /^bank: required/],
    ['with a parameter nobody knows', 'listMemories', { bank: 'rpc', deep: true }, -32602, /deep: unknown field/],
    ['with a body that the route does not take', 'listMemories', { bank: 'rpc', body: {} }, -32602, /body: unknown/],
    ['with a limit out of range', 'listMemories', { bank: 'rpc', limit: 0 }, -32602, /^limit: /],
    ['with an empty text', 'writeMemories', { bank: 'rpc', body: { text: '' } }, -32602, /^text: /],
    [
      'with a bad key',
      'writeMemories',
      { bank: 'rpc', body: { text: 'x' }, idempotency_key: 'ö' },
      -32602,
      /^idempotency_key: /,
    ],
  ])('%s is refused and is no activity', async (_, method, params, code, words) => {
    expect(await call(method, params)).toMatchObject({ id: 1, error: { code, message: expect.stringMatching(words) } });
    expect(fixture.work).toEqual([]);
  });

  test('that HTTP would refuse is refused with the code of its problem', async () => {
    expect(await call('getBank', { bank: 'nowhere' })).toMatchObject({
      error: { code: -32000, data: { code: 'BANK_NOT_FOUND' } },
    });
    for (const condition of ['starting', 'stopping'] as const) {
      fixture.setCondition(condition);
      fixture.work.length = 0;
      expect(await call('listBanks')).toMatchObject({
        error: { code: -32000, data: { code: condition.toUpperCase() } },
      });
      expect(fixture.work).toEqual([]);
    }
  });

  test('that fails within is told without what the log alone should know', async () => {
    const broken = createRpcDispatcher({
      ...fixture.deps,
      queue: { ...fixture.deps.queue, retryJobs: () => Promise.reject(new Error('select secret')) },
    });
    const answer = await broken({ jsonrpc: '2.0', id: 1, method: 'retryJobs', params: { body: {} } }, signal);
    expect(answer).toMatchObject({ error: { code: -32000, data: { code: 'INTERNAL' } } });
    expect(JSON.stringify(answer)).not.toContain('secret');
    // It was work all the same, and is over.
    expect([fixture.work, fixture.inFlight()]).toEqual([['/v1/jobs/retry'], 0]);
  });
});

describe('what moves the clock (law L11)', () => {
  test('is not status, health, metrics, what is refused, control messages, noise or an open idle connection', async () => {
    const folder = createScratchFolder();
    const path = `${folder}/engramd.sock`;
    const noted = async () => ({ state: 'wake' as const, note: '' });
    const life: LifeControl = { forceSleep: noted, wake: noted, pause: noted, resume: noted };
    const { deps, app } = fixture;
    const document = bodyOf(await app.inject({ url: '/v1/status', headers })) as never;
    const status = { fresh: async () => document, last: () => document };
    const server = await startControlServer({ at: { path }, handlers: { status, life }, dispatch, ...deps });
    const idle = [await openClient(path), await openClient(path), await openClient(path)];
    const client = await openClient(path);
    const still = ['status', 'force_sleep', 'wake', 'pause', 'resume', 'dance'].map((type) => ({ type }));
    const rpc = (method: string, params: object = {}) => ({ jsonrpc: '2.0', id: 1, method, params });
    const lines = ['noise\n', '\n', '[]\n', ...still, rpc('status'), rpc('listJobs'), rpc('dance'), rpc('recall')];
    client.send(...lines);
    // The blank line is passed over.
    for (let reply = 1; reply < lines.length; reply += 1) await client.next();

    for (const url of ['/healthz', '/readyz', '/metrics', '/v1/banks', '/nothing']) await app.inject({ url });
    for (const url of ['/v1/status', '/v1/jobs', '/v1/nothing', '/v1/banks?limit=0', '/v1/openapi.json'])
      await app.inject({ url, headers });
    const recall = { method: 'POST', url: '/v1/banks/rpc/recall' } as const;
    expect((await app.inject({ ...recall, payload: { query: 'x' } })).statusCode).toBe(401);
    expect((await app.inject({ ...recall, headers, payload: { query: 7 } })).statusCode).toBe(422);
    expect(server.connections()).toBe(4);
    expect(fixture.work).toEqual([]);

    client.send(rpc('recall', { bank: 'rpc', body: { query: 'x' } }));
    expect(await client.next()).toHaveProperty('result');
    expect(fixture.work).toEqual(['/v1/banks/{bank}/recall']);
    expect((await app.inject({ ...recall, headers, payload: { query: 'x' } })).statusCode).toBe(200);
    expect(fixture.work).toHaveLength(2);

    for (const { socket } of [...idle, client]) socket.destroy();
    await server.stop();
    removeScratchFolder(folder);
  });

  test('is counted in flight until the answer is made, also where two overlap and one fails', async () => {
    const held = { retry: Promise.withResolvers<number>(), unpark: Promise.withResolvers<number>() };
    const slow = createRpcDispatcher({
      ...fixture.deps,
      queue: {
        ...fixture.deps.queue,
        retryJobs: (ids) => (ids === 'dead' ? held.retry.promise : held.unpark.promise),
      },
    });
    const retry = (body: object) => slow({ jsonrpc: '2.0', id: 1, method: 'retryJobs', params: { body } }, signal);
    const first = retry({ parked: false });
    const second = retry({ jobs: [], parked: false });
    expect(fixture.inFlight()).toBe(2);
    held.retry.reject(new Error('no database'));
    expect(await first).toHaveProperty('error');
    expect(fixture.inFlight()).toBe(1);
    held.unpark.resolve(0);
    expect(await second).toMatchObject({ result: { jobs: 0 } });
    expect(fixture.inFlight()).toBe(0);
  });

  test('is released too when the client has gone before its answer', async () => {
    const gone = new AbortController();
    const asking = Promise.withResolvers<void>();
    const slow = createRpcDispatcher({
      ...fixture.deps,
      engine: {
        // Like a model call: it ends because the signal does.
        dryRun: (_bank, { signal: over }) =>
          new Promise((_, reject) => {
            over.addEventListener('abort', () => reject(over.reason), { once: true });
            asking.resolve();
          }),
      },
    });
    const params = { bank: 'rpc', body: { dry_run: true } };
    const asked = slow({ jsonrpc: '2.0', id: 1, method: 'consolidate', params }, gone.signal);
    await asking.promise;
    expect(fixture.inFlight()).toBe(1);
    gone.abort(new Error('the client went away'));
    expect(await asked).toHaveProperty('error');
    expect(fixture.inFlight()).toBe(0);
  });
});
