import { getEventListeners } from 'node:events';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { afterEach, expect, it } from 'vitest';
import { callWithin } from '../../../src/models/openai/call-within.ts';
import { createOpenAiClient } from '../../../src/models/openai/create-client.ts';
import type { EndpointFacts } from '../../../src/models/openai/error-message.ts';
import { type Clock, systemClock } from '../../../src/telemetry/clock.ts';
import { createDrivenClock } from '../../support/driven-clock.ts';

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

/** A server that writes this to each connection once something has come, and says when it has. */
async function serve(bytes: string | null): Promise<{ port: number; written: Promise<void>; closed: Promise<void> }> {
  const written = Promise.withResolvers<void>();
  const closed = Promise.withResolvers<void>();
  const server = createServer((socket) => {
    socket.on('error', () => {}).once('close', () => closed.resolve());
    socket.once('data', () => {
      if (bytes === null) socket.destroy();
      else socket.write(bytes, () => written.resolve());
    });
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { port: (server.address() as AddressInfo).port, written: written.promise, closed: closed.promise };
}

function ask(baseUrl: string, options: { clock?: Clock; signal?: AbortSignal; timeoutMs?: number } = {}) {
  const client = createOpenAiClient({ apiKey: 'k', baseUrl });
  const facts: EndpointFacts = {
    endpoint: baseUrl,
    model: 'm',
    settings: { baseUrl: 'OPENAI_BASE_URL', apiKey: 'OPENAI_API_KEY', model: 'ENGRAMD_LLM_MODEL' },
    secrets: [],
  };
  const { clock = systemClock, signal = new AbortController().signal, timeoutMs = 60_000 } = options;
  return callWithin(facts, { clock, signal, timeoutMs, hasAnswered: () => false }, (inner) =>
    client.chat({ model: 'm', messages: [] }, inner),
  );
}

it('says that nothing listens there', async () => {
  const { port } = await serve('');
  await new Promise((resolve) => servers.splice(0)[0]?.close(resolve));
  await expect(ask(`http://127.0.0.1:${port}/v1`)).rejects.toMatchObject({
    errorClass: 'transient',
    message: expect.stringMatching(
      /refused the connection \(ECONNREFUSED\): start the server, or correct OPENAI_BASE_URL/,
    ),
  });
});

it('says that the connection broke', async () => {
  const { port } = await serve(null);
  await expect(ask(`http://127.0.0.1:${port}/v1`)).rejects.toMatchObject({
    errorClass: 'transient',
    message: expect.stringMatching(/broke the connection \(ECONNRESET\)/),
  });
});

it('says that a server speaks no TLS', async () => {
  const { port } = await serve('HTTP/1.1 400 Bad Request\r\n\r\n');
  await expect(ask(`https://127.0.0.1:${port}/v1`)).rejects.toMatchObject({
    errorClass: 'configuration',
    message: expect.stringMatching(/check http or https in OPENAI_BASE_URL/),
  });
});

it('says that what answers speaks no HTTP', async () => {
  const { port } = await serve('220 mail.example ESMTP\r\n');
  await expect(ask(`http://127.0.0.1:${port}/v1`)).rejects.toMatchObject({
    errorClass: 'configuration',
    message: expect.stringMatching(/does not speak HTTP/),
  });
});

it('waits no longer for the rest of an answer than for its beginning', async () => {
  const clock = createDrivenClock();
  const { port, written, closed } = await serve('HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{"id":');
  const asked = ask(`http://127.0.0.1:${port}/v1`, { clock, timeoutMs: 5000 }).catch((thrown: unknown) => thrown);
  await written;
  await clock.advance(5000);
  expect(await asked).toMatchObject({ errorClass: 'timeout' });
  await closed;
});

it('reads no answer without an end', async () => {
  let sent = 0;
  const server = createServer((socket) => {
    const chunk = Buffer.alloc(2 ** 20, ' ');
    const more = () => {
      while (sent < 300 && !socket.destroyed) {
        sent += 1;
        if (!socket.write(chunk)) return;
      }
    };
    socket.on('error', () => {}).on('drain', more);
    socket.once('data', () => {
      socket.write('HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n');
      more();
    });
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  await expect(ask(`http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`)).rejects.toMatchObject({
    errorClass: 'configuration',
    message: expect.stringMatching(/answered with no end .*correct OPENAI_BASE_URL/),
  });
  // 32, and what the sockets hold.
  expect(sent).toBeLessThan(100);
});

it.each([
  ['a client that cannot be made', (baseUrl: string) => baseUrl.replace('://', '://us%er:pw@')],
  ['an address that is none', () => 'no address'],
])('takes %s for the configuration, never for the content', async (_, made) => {
  const { port } = await serve('');
  const asked = () =>
    callWithin(
      {
        endpoint: 'http://models.example/v1',
        model: 'm',
        settings: { baseUrl: 'OPENAI_BASE_URL', apiKey: 'OPENAI_API_KEY', model: 'ENGRAMD_LLM_MODEL' },
        secrets: [],
      },
      { clock: systemClock, signal: new AbortController().signal, timeoutMs: 60_000, hasAnswered: () => true },
      (inner) =>
        createOpenAiClient({ apiKey: undefined, baseUrl: made(`http://127.0.0.1:${port}/v1`) }).chat(
          { model: 'm', messages: [] },
          inner,
        ),
    );
  await expect(asked()).rejects.toMatchObject({
    errorClass: 'configuration',
    message: expect.stringMatching(/could not be asked by the client .*check OPENAI_BASE_URL and OPENAI_API_KEY/),
  });
});

it('leaves nothing behind on the signal of its caller', async () => {
  const { port } = await serve(null);
  const { signal } = new AbortController();
  await ask(`http://127.0.0.1:${port}/v1`, { signal }).catch(() => {});
  expect(getEventListeners(signal, 'abort')).toHaveLength(0);
});
