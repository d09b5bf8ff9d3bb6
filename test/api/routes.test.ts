import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type ApiFixture, bodyOf, createApiFixture, noJobs } from './api-fixture.ts';

let fixture: ApiFixture;
beforeAll(async () => {
  fixture = await createApiFixture({
    engine: {
      dryRun: async (_bankId, { limit }) => ({
        memories: limit ?? 50,
        ops: [{ op: 'create', before: null, after: 'x', sources: ['x'], reason: 'new' }],
        rejected: [{ validator: 'negation', reason: 'no' }],
        undecided: [{ memories: ['y'], reason: 'refused' }],
        calls: 2,
        costUsd: 0.01,
      }),
    },
  });
});
afterAll(() => fixture.close());

let nextBank = 0;
/** A name of its own, so that tests can share the database. */
const freshBank = () => `bank-${++nextBank}`;
const error = (response: Parameters<typeof bodyOf>[0]) => ({
  status: response.statusCode,
  ...bodyOf<{ error: { code: string; message: string; details?: unknown } }>(response).error,
});
const unknownId = '01890000-0000-7000-8000-00000000dead';

describe('banks', () => {
  test('are made, listed in pages, shown and deleted', async () => {
    const names = ['zz-a', 'zz-b', 'zz-c'];
    for (const id of names) expect((await fixture.post('/v1/banks', { id, mission: 'm' })).statusCode).toBe(201);
    const first = bodyOf<{ banks: { id: string }[]; next_cursor: string }>(
      await fixture.get('/v1/banks?limit=2&cursor=zz'),
    );
    expect([first.banks.map((bank) => bank.id), first.next_cursor]).toEqual([['zz-a', 'zz-b'], 'zz-b']);
    const second = bodyOf<{ banks: { id: string }[] }>(
      await fixture.get(`/v1/banks?limit=2&cursor=${first.next_cursor}`),
    );
    expect(second).toMatchObject({ banks: [{ id: 'zz-c' }], next_cursor: null });
    expect((await fixture.get('/v1/banks/zz-a')).json()).toMatchObject({
      id: 'zz-a',
      mission: 'm',
      memories: { pending: 0 },
    });
    expect((await fixture.app.inject({ method: 'DELETE', url: '/v1/banks/zz-a' })).json()).toEqual({ deleted: 'zz-a' });
    expect(error(await fixture.get('/v1/banks/zz-a'))).toMatchObject({ status: 404, code: 'BANK_NOT_FOUND' });
    expect((await fixture.app.inject({ method: 'DELETE', url: '/v1/banks/zz-a' })).statusCode).toBe(404);
  });

  test('are made once', async () => {
    const id = freshBank();
    await fixture.post('/v1/banks', { id });
    expect(error(await fixture.post('/v1/banks', { id }))).toMatchObject({ status: 409, code: 'BANK_EXISTS' });
    const headers = { 'idempotency-key': 'make' };
    const other = freshBank();
    await fixture.post('/v1/banks', { id: other }, headers);
    const again = await fixture.post('/v1/banks', { id: other }, headers);
    expect([again.statusCode, again.headers['idempotency-replayed']]).toEqual([201, 'true']);
  });

  test.each([
    ['/v1/banks/a%20b', 'bank'],
    ['/v1/banks//memories', 'bank'],
    [`/v1/banks/${'x'.repeat(129)}`, 'bank'],
    ['/v1/banks?limit=0', 'limit'],
    ['/v1/banks?limit=ten', 'limit'],
    ['/v1/banks?limit=1&limit=2', 'limit'],
    ['/v1/banks?colour=red', 'colour'],
    ['/v1/banks/b/memories?state=lost', 'state'],
    ['/v1/banks/b/memories?cursor=abc', 'cursor'],
    ['/v1/banks/b/memories/7', 'id'],
  ])('%s is refused, naming %s', async (url, path) => {
    expect(error(await fixture.get(url))).toMatchObject({ status: 422, code: 'INVALID', details: [{ path }] });
  });

  test.each(['memories', 'observations', 'consolidations', 'changes', 'conflicts'])(
    '%s of one that is not there are 404',
    async (list) => {
      expect(error(await fixture.get(`/v1/banks/nobody/${list}`))).toMatchObject({
        status: 404,
        code: 'BANK_NOT_FOUND',
      });
    },
  );
});

describe('memories', () => {
  test('are written one or many, and hinted after', async () => {
    const bank = freshBank();
    const url = `/v1/banks/${bank}/memories`;
    const one = await fixture.post(url, { text: 'x', source_ref: 'r' });
    expect([one.statusCode, one.json()]).toEqual([
      201,
      { memories: [{ id: expect.any(String), duplicate: false }], added: 1, duplicates: 0, scrubbed: 0 },
    ]);
    const many = await fixture.post(url, [{ text: 'x', source_ref: 'r' }, { text: 'password=hunter2' }]);
    expect(many.json()).toMatchObject({ added: 1, duplicates: 1, scrubbed: 1 });
    expect(fixture.asked.filter((entry) => entry === `hint ${bank}`)).toHaveLength(2);
  });

  test('with a fault in one are refused as a whole, naming element and field', async () => {
    const bank = freshBank();
    const list = [{ text: 'a' }, { text: '' }, { text: 'b', colour: 1 }, { text: 'c', occurred_start: '2026-02-30' }];
    expect(error(await fixture.post(`/v1/banks/${bank}/memories`, list))).toMatchObject({
      status: 422,
      code: 'INVALID',
      message: '[1].text: must not be blank (and 2 more)',
      details: [
        { path: '[1].text', message: 'must not be blank' },
        { path: '[2].colour', message: 'unknown field' },
        { path: '[3].occurred_start', message: expect.stringMatching(/^must be an ISO 8601/) },
      ],
    });
    expect((await fixture.get(`/v1/banks/${bank}`)).statusCode).toBe(404);
  });

  test.each<[string, string, string]>([
    ['a hidden prototype', '{"__proto__":{"a":1}}', 'metadata.__proto__: is no name that a field can have'],
    ['a deeper one', '{"a":[{"__proto__":1}]}', 'metadata.a[0].__proto__: is no name that a field can have'],
    ['a number past the doubles', '{"a":{"b":1e400}}', 'metadata.a.b: must be a number that a double can hold'],
    [
      'nesting deeper than the call stack',
      `{"a":${'['.repeat(200_000)}${']'.repeat(200_000)}}`,
      'metadata: must not be nested deeper than 8 levels',
    ],
  ])('whose metadata has %s are refused, not stored without it', async (_, metadata, message) => {
    const response = await fixture.app.inject({
      method: 'POST',
      url: '/v1/banks/b/memories',
      headers: { 'content-type': 'application/json' },
      payload: `{"text":"x","metadata":${metadata}}`,
    });
    expect(error(response)).toMatchObject({ status: 422, code: 'INVALID', message });
  });

  test.each<[string, unknown, string]>([
    ['nothing in a list', [], 'the body: must hold at least one memory'],
    ['a number', 5, 'the body: must be an object'],
    ['too many', Array.from({ length: 1001 }, () => ({ text: 'x' })), 'the body: must hold at most 1000 memories'],
    [
      'a hidden prototype',
      JSON.parse('{"text":"x","__proto__":{"a":1}}'),
      '__proto__: is no name that a field can have',
    ],
  ])('that are %s are refused', async (_, body, message) => {
    const response = await fixture.app.inject({
      method: 'POST',
      url: '/v1/banks/b/memories',
      headers: { 'content-type': 'application/json' },
      payload: JSON.stringify(body),
    });
    expect(error(response)).toMatchObject({ status: 422, message });
  });

  test('are listed in pages that neither lose nor repeat one, also of the same instant', async () => {
    const bank = freshBank();
    const url = `/v1/banks/${bank}/memories`;
    await fixture.post(
      url,
      Array.from({ length: 5 }, (_, i) => ({ text: `t${i}` })),
    );
    await fixture.post(
      url,
      Array.from({ length: 2 }, (_, i) => ({ text: `u${i}` })),
    );
    const seen: string[] = [];
    let cursor: string | null = '';
    while (cursor !== null) {
      const page: { memories: { text: string }[]; next_cursor: string | null } = bodyOf(
        await fixture.get(`${url}?limit=3${cursor === '' ? '' : `&cursor=${cursor}`}`),
      );
      seen.push(...page.memories.map((memory) => memory.text));
      cursor = page.next_cursor;
    }
    expect(seen).toEqual(['u1', 'u0', 't4', 't3', 't2', 't1', 't0']);
    expect((await fixture.get(`${url}?state=parked`)).json()).toEqual({ memories: [], next_cursor: null });
  });

  test('are shown with all that is known of them', async () => {
    const bank = freshBank();
    const memory = {
      text: 'x',
      context: 'c',
      tags: ['b', 'a'],
      entities: ['Ann'],
      metadata: { n: 1 },
      mentioned_at: '2026-02-03',
    };
    const written = bodyOf<{ memories: { id: string }[] }>(await fixture.post(`/v1/banks/${bank}/memories`, memory));
    const url = `/v1/banks/${bank}/memories/${written.memories[0]?.id}`;
    expect((await fixture.get(url)).json()).toMatchObject({
      ...memory,
      tags: ['a', 'b'],
      mentioned_at: '2026-02-03T00:00:00.000Z',
      state: 'pending',
      embedded: false,
      cited_by: [],
    });
    expect((await fixture.get(`/v1/banks/${bank}/memories/${unknownId}`)).statusCode).toBe(404);
    expect((await fixture.get(url.replace(bank, 'other'))).statusCode).toBe(404);
  });
});

describe('an Idempotency-Key', () => {
  const headers = { 'idempotency-key': 'k 1' };

  test('is answered as the first time, and done once, however many come at once', async () => {
    const url = `/v1/banks/${freshBank()}/memories`;
    const responses = await Promise.all(
      Array.from({ length: 6 }, () => fixture.post(url, [{ text: 'x' }, { text: 'y' }], headers)),
    );
    for (const response of responses) expect(response.json()).toEqual(responses[0]?.json());
    expect(responses.filter((response) => response.headers['idempotency-replayed'] === 'true')).toHaveLength(5);
    expect(bodyOf<{ memories: unknown[] }>(await fixture.get(url)).memories).toHaveLength(2);
  });

  test('with another body is refused, though not with the same one spelt otherwise', async () => {
    const url = `/v1/banks/${freshBank()}/memories`;
    await fixture.post(url, { text: 'x', kind: 'world' }, headers);
    expect((await fixture.post(url, { kind: 'world', text: 'x' }, headers)).headers['idempotency-replayed']).toBe(
      'true',
    );
    expect(error(await fixture.post(url, { text: 'y' }, headers))).toMatchObject({
      status: 422,
      code: 'IDEMPOTENCY_KEY_REUSED',
    });
    expect(error(await fixture.post(url, [{ text: 'x', kind: 'world' }], headers))).toMatchObject({ status: 422 });
  });

  test('is its bank’s own', async () => {
    await fixture.post(`/v1/banks/${freshBank()}/memories`, { text: 'x' }, headers);
    const other = await fixture.post(`/v1/banks/${freshBank()}/memories`, { text: 'y' }, headers);
    expect([other.statusCode, other.headers['idempotency-replayed']]).toEqual([201, undefined]);
  });

  test.each(['k'.repeat(256), ' \u00e9', ''])('%j is refused', async (key) => {
    const response = await fixture.post(`/v1/banks/${freshBank()}/memories`, { text: 'x' }, { 'idempotency-key': key });
    expect(error(response)).toMatchObject({ status: 422, details: [{ path: 'Idempotency-Key' }] });
  });

  test('of an element with another text is a conflict that names the element', async () => {
    const url = `/v1/banks/${freshBank()}/memories`;
    await fixture.post(url, { text: 'x', idempotency_key: 'e' });
    expect(error(await fixture.post(url, [{ text: 'a' }, { text: 'y', idempotency_key: 'e' }]))).toMatchObject({
      status: 409,
      code: 'INGEST_KEY_CONFLICT',
      details: [{ path: '[1].idempotency_key' }],
    });
    expect(error(await fixture.post(url, { text: 'y', idempotency_key: 'e' }))).toMatchObject({
      details: [{ path: 'idempotency_key' }],
    });
  });
});

describe('a recall', () => {
  test('answers over HTTP, and says when it had no vectors', async () => {
    const bank = freshBank();
    await fixture.post(`/v1/banks/${bank}/memories`, [{ text: 'Ann drinks tea.' }, { text: 'Bob fixes bikes.' }]);
    await fixture.embed(bank);
    const url = `/v1/banks/${bank}/recall`;
    const answer = bodyOf<{ items: { text: string }[]; tokens: number }>(
      await fixture.post(url, { query: 'What does Ann drink?' }),
    );
    expect(answer).toMatchObject({
      items: [{ type: 'memory', text: 'Ann drinks tea.', tokens: 4, superseded_by: null }],
      degraded: null,
    });
    fixture.fake.onEmbed = () => Promise.reject(new Error('down'));
    expect((await fixture.post(url, { query: 'What does Ann drink?' })).json()).toMatchObject({
      degraded: 'embedder',
      items: [{}],
    });
    fixture.fake.onEmbed = undefined;
  });

  test.each<[object, string]>([
    [{}, 'query'],
    [{ query: ' ' }, 'query'],
    [{ query: 'a\0' }, 'query'],
    [{ query: 'x', limit: 0 }, 'limit'],
    [{ query: 'x', limit: 1.5 }, 'limit'],
    [{ query: 'x', only: 'facts' }, 'only'],
    [{ query: 'x', colour: 1 }, 'colour'],
  ])('of %j is refused, naming %s', async (body, path) => {
    expect(error(await fixture.post('/v1/banks/b/recall', body))).toMatchObject({ status: 422, details: [{ path }] });
  });

  test('of a bank that is not there is 404, of an empty one an empty list', async () => {
    expect((await fixture.post('/v1/banks/nobody/recall', { query: 'x' })).statusCode).toBe(404);
    const id = freshBank();
    await fixture.post('/v1/banks', { id });
    expect((await fixture.post(`/v1/banks/${id}/recall`, { query: 'x' })).json()).toEqual({
      as_of: null,
      items: [],
      tokens: 0,
      degraded: null,
    });
  });
});

describe('consolidation', () => {
  test('is asked for, or tried dry', async () => {
    const id = freshBank();
    const url = `/v1/banks/${id}/consolidations`;
    expect((await fixture.post(url, {})).statusCode).toBe(404);
    await fixture.post('/v1/banks', { id });
    const asked = await fixture.post(url, {});
    expect([asked.statusCode, asked.json()]).toEqual([202, { job_id: 'job-1', again: 0, held: 0 }]);
    const dry = await fixture.post(url, { dry_run: true, limit: 7 });
    expect([dry.statusCode, dry.json()]).toEqual([
      200,
      {
        memories: 7,
        ops: [{ op: 'create', before: null, after: 'x', sources: ['x'], reason: 'new' }],
        rejected: [{ validator: 'negation', reason: 'no' }],
        undecided: [{ memories: ['y'], reason: 'refused' }],
        calls: 2,
        cost_usd: 0.01,
      },
    ]);
    expect(fixture.asked.filter((entry) => entry === `consolidate ${id}`)).toHaveLength(1);
    expect(error(await fixture.post(url, { dry_run: 'yes' }))).toMatchObject({
      status: 422,
      details: [{ path: 'dry_run' }],
    });
  });
});

describe('the daemon', () => {
  test('tells how it stands', async () => {
    expect((await fixture.get('/v1/status')).json()).toMatchObject({
      version: '0.0.0',
      condition: 'ready',
      decider: 'rules',
      embedding: { model: 'local/fake-512', configured: 'local/fake-512', pinned_differs: false },
      vectors: 'exact',
      queue: { dead_letters: 0, in_flight: 0, consolidate: { ready: 0, oldest_ready_at: null } },
    });
  });

  test('lists and retries jobs', async () => {
    fixture.asked.length = 0;
    await fixture.get('/v1/jobs?dead=true&limit=5');
    expect((await fixture.post('/v1/jobs/retry', {})).json()).toEqual({ jobs: 2, memories: 3, scores: 1 });
    await fixture.post('/v1/jobs/retry', { jobs: [unknownId], bank: 'b' });
    await fixture.post('/v1/jobs/retry', { parked: false });
    expect(fixture.asked).toEqual([
      'list {"deadOnly":true,"limit":5}',
      'retry "dead"',
      'unpark all',
      `retry ["${unknownId}"]`,
      'unpark b',
      'retry "dead"',
    ]);
  });

  test('notes work and nothing else', async () => {
    fixture.work.length = 0;
    for (const url of [
      '/healthz',
      '/readyz',
      '/metrics',
      '/v1/status',
      '/v1/jobs',
      '/v1/openapi.json',
      '/v1/nothing',
      '/v1/banks?limit=0',
    ]) {
      await fixture.get(url);
    }
    await fixture.post('/v1/banks/b/memories', { text: '' });
    expect(fixture.work).toEqual([]);
    await fixture.get('/v1/banks');
    expect(fixture.work).toEqual(['/v1/banks']);
  });

  test('that is not ready serves probes only', async () => {
    for (const condition of ['starting', 'stopping'] as const) {
      fixture.setCondition(condition);
      expect((await fixture.get('/healthz')).statusCode).toBe(200);
      expect((await fixture.get('/metrics')).statusCode).toBe(200);
      expect((await fixture.get('/readyz')).statusCode).toBe(503);
      const refused = await fixture.get('/v1/banks');
      expect(error(refused)).toMatchObject({ status: 503, code: condition.toUpperCase() });
      expect(refused.headers['retry-after']).toBe('5');
    }
    fixture.setCondition('ready');
    expect((await fixture.get('/readyz')).json()).toEqual({ status: 'ready' });
  });

  test('shows the queue as unknown where nobody has started it', async () => {
    const { queue } = fixture.deps;
    const missing = Object.assign(new Error('relation "pgboss.job" does not exist'), { code: '42P01' });
    Object.assign(queue, { snapshot: () => Promise.reject(missing) });
    expect(bodyOf(await fixture.get('/v1/status')).queue).toBeNull();
    Object.assign(queue, { snapshot: async () => noJobs });
  });
});

test('an answer to an error of ours says nothing of its inside', async () => {
  const { queue } = fixture.deps;
  const listJobs = queue.listJobs;
  Object.assign(queue, { listJobs: () => Promise.reject(new Error('select secret from inside')) });
  const response = await fixture.get('/v1/jobs');
  expect(error(response)).toEqual({
    status: 500,
    code: 'INTERNAL',
    message: 'something went wrong; the log of the daemon says what',
  });
  Object.assign(queue, { listJobs });
});
