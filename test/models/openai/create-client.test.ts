import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { afterAll, afterEach, beforeAll, expect, it, vi } from 'vitest';
import { createOpenAiClient, endpointOf } from '../../../src/models/openai/create-client.ts';
import { answer, hang, reset, status } from '../../support/scripted-model/reply.ts';
import { createScriptedModel, type ScriptedModel } from '../../support/scripted-model.ts';

let model: ScriptedModel;
beforeAll(async () => {
  model = await createScriptedModel();
});
afterEach(() => {
  model.reset();
  vi.unstubAllEnvs();
});
afterAll(() => model.close());

const never = new AbortController().signal;
const messages = [{ role: 'user' as const, content: '{}' }];

it('works without a key and tells nothing about this machine or its environment', async () => {
  vi.stubEnv('OPENAI_API_KEY', 'sk-of-the-environment');
  vi.stubEnv('OPENAI_ORG_ID', 'org-of-the-environment');
  vi.stubEnv('OPENAI_PROJECT_ID', 'project-of-the-environment');
  const client = createOpenAiClient({ apiKey: undefined, baseUrl: model.baseUrl });
  await client.chat({ model: 'm', messages }, never);
  const headers = model.requests[0]?.headers ?? {};
  expect(headers.authorization).toBe('Bearer none');
  expect(headers['user-agent']).toBe('engramd');
  expect(Object.keys(headers).filter((name) => /stainless|openai|timeout/.test(name))).toEqual([]);
  expect(JSON.stringify(headers)).not.toContain('environment');
});

it('sends the key, and a user and password of the URL where there is no key', async () => {
  const withKey = createOpenAiClient({ apiKey: 'sk-mine', baseUrl: model.baseUrl });
  await withKey.chat({ model: 'm', messages }, never);
  const url = new URL(model.baseUrl);
  url.username = 'ann';
  url.password = 'p:ä';
  await createOpenAiClient({ apiKey: undefined, baseUrl: url.href }).chat({ model: 'm', messages }, never);
  expect(model.requests.map(({ headers }) => headers.authorization)).toEqual([
    'Bearer sk-mine',
    `Basic ${Buffer.from('ann:p:ä').toString('base64')}`,
  ]);
});

it('names an endpoint without what is secret in it', () => {
  expect(endpointOf('https://ann:secret@models.example:8443/v1/?key=abc')).toBe('https://models.example:8443/v1');
  expect(endpointOf(undefined)).toBe('https://api.openai.com/v1');
});

it('asks once: a failure is not repeated behind the back of the gate', async () => {
  const client = createOpenAiClient({ apiKey: 'k', baseUrl: model.baseUrl });
  for (const reply of [status(500), status(429), status(408), reset()]) {
    model.reset();
    model.onChat = () => reply;
    await expect(client.chat({ model: 'm', messages }, never)).rejects.toThrow();
    expect(model.requests).toHaveLength(1);
  }
});

it('closes the socket when its caller goes', async () => {
  const client = createOpenAiClient({ apiKey: 'k', baseUrl: model.baseUrl });
  const arrived = Promise.withResolvers<void>();
  model.onChat = () => {
    arrived.resolve();
    return hang();
  };
  const leaving = new AbortController();
  const asked = client.chat({ model: 'm', messages }, leaving.signal);
  await arrived.promise;
  leaving.abort();
  await expect(asked).rejects.toThrow();
  await expect.poll(() => model.requests[0]?.clientHungUp).toBe(true);
});

it('closes the socket also in the middle of an answer', async () => {
  const closed = Promise.withResolvers<void>();
  const arrived = Promise.withResolvers<void>();
  const server = createServer((socket) => {
    socket.once('close', () => closed.resolve()).on('error', () => {});
    socket.once('data', () => {
      socket.write('HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{"id":', () =>
        arrived.resolve(),
      );
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;
  const client = createOpenAiClient({ apiKey: 'k', baseUrl });
  const leaving = new AbortController();
  const asked = client.chat({ model: 'm', messages }, leaving.signal);
  await arrived.promise;
  leaving.abort();
  await expect(asked).rejects.toThrow();
  await closed.promise;
  server.close();
});

it('follows no redirect, which would lose the request', async () => {
  model.onChat = (request) =>
    request.path === '/v1/chat/completions' ? status(301, { headers: { location: '/elsewhere' } }) : answer('no');
  const client = createOpenAiClient({ apiKey: 'k', baseUrl: model.baseUrl });
  await expect(client.chat({ model: 'm', messages }, never)).rejects.toMatchObject({ status: 301 });
  expect(model.requests).toHaveLength(1);
});

it('keeps connections for the next request', async () => {
  const client = createOpenAiClient({ apiKey: 'k', baseUrl: model.baseUrl });
  for (let round = 0; round < 3; round += 1) await client.chat({ model: 'm', messages }, never);
  expect(new Set(model.requests.map(({ clientPort }) => clientPort)).size).toBe(1);
});
