import { Agent as HttpAgent, type IncomingMessage, request as requestHttp } from 'node:http';
import { Agent as HttpsAgent, request as requestHttps } from 'node:https';

/** A server that has not taken the connection by then is not there; what was to be sent has not been sent. */
const connectTimeoutMs = 10_000;

/** Under the 5 s after which many servers close idle connections: one taken up at that moment would be a reset. */
const idleConnectionMs = 4000;

/** The largest honest answer is 64 vectors of 16,000 numbers, about 20 MiB. An endless one would take all the memory. */
const mostBodyBytes = 32 * 2 ** 20;
export const bodyTooLargeCode = 'EBODYTOOLARGE';

class BodyTooLargeError extends Error {
  readonly code = bodyTooLargeCode;
}

/** Not even a connection came about, so nothing was sent and nothing has to be paid. */
export class ConnectTimeoutError extends Error {
  readonly code = 'ECONNECTTIMEOUT';
}

/**
 * What the client sends requests with, over `node:http`. Node's own `fetch` gives up on an answer after five minutes
 * whatever its caller says, and a model on a laptop takes longer; here only the caller's signal ends the wait, and ends
 * it at the socket. Follows no redirect: one would turn the POST into a GET. Reads the whole body, up to 32 MiB, so
 * that a connection that breaks in the middle fails here and not in a parser.
 */
export function createHttpFetch(): typeof fetch {
  const agents = {
    'http:': new HttpAgent({ keepAlive: true, timeout: idleConnectionMs }),
    'https:': new HttpsAgent({ keepAlive: true, timeout: idleConnectionMs }),
  } as const;

  return (input, init = {}) =>
    new Promise<Response>((resolve, reject) => {
      const url = new URL(input instanceof Request ? input.url : input);
      const isTls = url.protocol === 'https:';
      const { body, signal } = init;
      if (typeof body !== 'string' && body !== undefined && body !== null) {
        reject(new TypeError('only text bodies are sent'));
        return;
      }
      const request = (isTls ? requestHttps : requestHttp)(url, {
        method: init.method ?? 'GET',
        headers: Object.fromEntries(new Headers(init.headers)),
        agent: agents[isTls ? 'https:' : 'http:'],
        ...(signal && { signal }),
      });
      request.once('error', reject);
      request.once('response', (response) => read(response).then(resolve, reject));
      request.once('socket', (socket) => {
        if (!socket.connecting) return;
        const timer = setTimeout(
          () => request.destroy(new ConnectTimeoutError(`no connection to ${url.host} within ${connectTimeoutMs} ms`)),
          connectTimeoutMs,
        );
        const settled = () => clearTimeout(timer);
        socket.once(isTls ? 'secureConnect' : 'connect', settled).once('close', settled);
      });
      request.end(body ?? undefined);
    });
}

const withoutBody = new Set([204, 205, 304]);

async function read(response: IncomingMessage): Promise<Response> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    // Leaving the loop ends the connection.
    if (bytes > mostBodyBytes) throw new BodyTooLargeError(`an answer of more than ${mostBodyBytes} bytes`);
    chunks.push(chunk);
  }
  const status = response.statusCode ?? 0;
  const headers = new Headers();
  for (const [name, values] of Object.entries(response.headersDistinct)) {
    for (const value of values ?? []) headers.append(name, value);
  }
  return new Response(withoutBody.has(status) ? null : Buffer.concat(chunks), { status, headers });
}
