import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { bearerGuard, hostGuard, requireJson } from '../../src/api/security.ts';
import { type ApiFixture, bodyOf, createApiFixture } from './api-fixture.ts';

const settings = { apiToken: 's3cret-token', metricsToken: 'm3trics' };
/** Without a token, and with one. */
let open: ApiFixture;
let guarded: ApiFixture;
beforeAll(async () => {
  open = await createApiFixture();
  guarded = await createApiFixture({ settings });
});
afterAll(async () => {
  await open.close();
  await guarded.close();
});

const codeOf = (response: Parameters<typeof bodyOf>[0]) => bodyOf<{ error: { code: string } }>(response).error.code;

describe('with a token', () => {
  test.each([
    ['none', undefined],
    ['another', 'Bearer s3cret-tokem'],
    ['one that begins like it', 'Bearer s3cret'],
    ['one that goes on', 'Bearer s3cret-token2'],
    ['no scheme', 's3cret-token'],
    ['another scheme', 'Basic s3cret-token'],
    ['an empty one', 'Bearer '],
    ['the one of metrics', 'Bearer m3trics'],
  ])('%s is refused', async (_, authorization) => {
    const headers = authorization === undefined ? {} : { authorization };
    const response = await guarded.app.inject({ url: '/v1/banks', headers });
    expect([response.statusCode, codeOf(response), response.headers['www-authenticate']]).toEqual([
      401,
      'UNAUTHORIZED',
      'Bearer',
    ]);
    expect(guarded.work).toEqual([]);
  });

  test('every route of /v1 asks for it, also by other spellings of its path, and those that are not there', async () => {
    const headers = { authorization: 'Bearer s3cret-token' };
    const document = bodyOf<{ paths: Record<string, Record<string, unknown>> }>(
      await guarded.app.inject({ url: '/v1/openapi.json', headers }),
    );
    const routes = Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => ({
        method: method.toUpperCase() as 'GET',
        url: path.replace('{bank}', 'b').replace('{id}', '01890000-0000-7000-8000-000000000001'),
      })),
    );
    expect(routes.length).toBeGreaterThan(15);
    const more = ['/v1/openapi.json', '/%761/banks', '/v1/%62anks', '/v1/nothing', '/nothing', '/v1/banks/'].map(
      (url) => ({
        method: 'GET' as const,
        url,
      }),
    );
    for (const request of [...routes, ...more]) {
      expect([request.url, (await guarded.app.inject(request)).statusCode]).toEqual([request.url, 401]);
    }
    expect((await guarded.app.inject({ url: '/%761/banks', headers })).statusCode).toBe(200);
  });

  test('health and readiness stay open, metrics have their own', async () => {
    const status = async (url: string, token?: string) => {
      const response = await guarded.app.inject({ url, headers: token ? { authorization: `Bearer ${token}` } : {} });
      return response.statusCode;
    };
    expect(await status('/healthz')).toBe(200);
    expect(await status('/readyz')).toBe(200);
    expect(await status('/metrics')).toBe(401);
    expect(await status('/metrics', 's3cret-token')).toBe(401);
    expect(await status('/metrics', 'm3trics')).toBe(200);
  });

  test('unequal lengths are compared as digests', () => {
    const guard = bearerGuard('abc');
    expect(() => guard('bearer abc')).not.toThrow();
    expect(() => guard(`Bearer ${'x'.repeat(100_000)}`)).toThrow(/token/);
  });
});

describe('the Host', () => {
  const accepts = (guard: ReturnType<typeof hostGuard>, host: string | undefined) => {
    try {
      guard(host);
      return true;
    } catch {
      return false;
    }
  };

  test.each([
    '127.0.0.1',
    '127.0.0.1:7766',
    'localhost',
    'LOCALHOST:7766',
    'localhost.',
    '[::1]:7766',
    'db.internal:1',
    'extra',
  ])('%s is ours', (host) => {
    expect(accepts(hostGuard('DB.internal', ['Extra']), host)).toBe(true);
  });

  test.each([
    undefined,
    '',
    'evil.example',
    'evil.example:7766',
    'localhost.evil.example',
    '127.0.0.1.evil.example',
    '192.168.0.7',
    '0.0.0.0',
    'localhost:7766@evil.example',
    'localhost, evil.example',
    'localhost/x',
    '::1',
  ])('%s is not', (host) => {
    expect(accepts(hostGuard('db.internal', []), host)).toBe(false);
  });

  test.each(['0.0.0.0', '::', '[::]'])('behind %s literal addresses are, names are not', (wildcard) => {
    const guard = hostGuard(wildcard, ['box']);
    expect(['192.168.0.7:7766', '[fe80::1]:7766', 'box', 'localhost'].every((host) => accepts(guard, host))).toBe(true);
    expect(['evil.example', 'box.evil.example'].some((host) => accepts(guard, host))).toBe(false);
  });

  test('of a stranger gets nothing, not even health', async () => {
    for (const url of ['/healthz', '/readyz', '/metrics', '/v1/banks', '/nothing']) {
      const response = await open.app.inject({ url, headers: { host: 'evil.example' } });
      expect([url, response.statusCode, codeOf(response)]).toEqual([url, 421, 'HOST_NOT_ALLOWED']);
    }
  });
});

describe('a write', () => {
  test.each([
    ['a form', 'application/x-www-form-urlencoded', 'a=b'],
    ['plain text, as a page may send it unasked', 'text/plain', '{"text":"x"}'],
    ['another JSON', 'application/json-seq', '{"text":"x"}'],
    ['no type', undefined, '{"text":"x"}'],
    ['no type and no body', undefined, undefined],
  ])('as %s is refused before it is read', async (_, type, payload) => {
    const response = await open.app.inject({
      method: 'POST',
      url: '/v1/banks/b/memories',
      headers: type === undefined ? {} : { 'content-type': type },
      ...(payload !== undefined && { payload }),
    });
    expect([response.statusCode, codeOf(response)]).toEqual([415, 'UNSUPPORTED_MEDIA_TYPE']);
    expect((await open.get('/v1/banks')).json()).toMatchObject({ banks: [] });
  });

  test.each(['application/json', 'application/json; charset=utf-8', 'Application/JSON;charset="UTF-8"'])(
    'as %s is taken',
    (type) => {
      expect(() => requireJson('POST', type, true)).not.toThrow();
    },
  );

  test('that deletes needs no body, but no other type either', async () => {
    await open.post('/v1/banks', { id: 'b' });
    const form = await open.app.inject({
      method: 'DELETE',
      url: '/v1/banks/b',
      headers: { 'content-type': 'text/plain' },
    });
    expect(form.statusCode).toBe(415);
    expect((await open.app.inject({ method: 'DELETE', url: '/v1/banks/b' })).statusCode).toBe(200);
  });

  test('of more than 1 MiB is refused', async () => {
    const response = await open.post('/v1/banks/b/memories', [{ text: 'x'.repeat(1024 * 1024) }]);
    expect([response.statusCode, codeOf(response)]).toEqual([413, 'BODY_TOO_LARGE']);
  });

  test('of broken JSON, broken UTF-8 or nothing is refused without quoting it', async () => {
    const send = (payload: string | Buffer) =>
      open.app.inject({ method: 'POST', url: '/v1/banks', headers: { 'content-type': 'application/json' }, payload });
    const broken = await send('{"id": hunter2');
    expect(broken.statusCode).toBe(400);
    expect(broken.body).not.toContain('hunter2');
    expect((await send(Buffer.from([0x22, 0xff, 0x22]))).statusCode).toBe(400);
    expect((await send('')).statusCode).toBe(422);
  });
});

test('no page of another origin is told that it may read', async () => {
  const headers = { origin: 'https://evil.example' };
  const preflight = await open.app.inject({
    method: 'OPTIONS',
    url: '/v1/banks',
    headers: { ...headers, 'access-control-request-method': 'DELETE' },
  });
  const read = await open.app.inject({ url: '/v1/banks', headers });
  for (const response of [preflight, read]) {
    expect(Object.keys(response.headers).filter((name) => name.startsWith('access-control'))).toEqual([]);
  }
  expect(preflight.statusCode).toBe(404);
});

test('what is not HTTP gets a problem and loses the connection', async () => {
  const address = await open.app.listen({ host: '127.0.0.1', port: 0 });
  const answer = await new Promise<string>((resolve, reject) => {
    const socket = connect(Number(new URL(address).port), '127.0.0.1', () => socket.write('NONSENSE\r\n\r\n'));
    let text = '';
    socket.on('data', (data) => {
      text += data;
    });
    socket.on('end', () => resolve(text));
    socket.on('error', reject);
  });
  expect(answer).toMatch(/^HTTP\/1\.1 400 /);
  expect(answer).toContain('"BAD_REQUEST"');
});

test('a path that cannot be decoded is a problem like any other', async () => {
  const response = await open.get('/v1/banks/%zz');
  expect([response.statusCode, codeOf(response)]).toEqual([400, 'BAD_REQUEST']);
});
