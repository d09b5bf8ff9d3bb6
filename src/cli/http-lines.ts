import { get, type IncomingMessage } from 'node:http';
import { EngramdError, errorMessage } from '../telemetry/engramd-error.ts';
import { apiErrorOf } from './api-client.ts';
import { DaemonUnreachableError } from './cli-errors.ts';

/**
 * The lines that a daemon sends, for as long as it sends any. Not by fetch, which gives up after five minutes of silence,
 * and a timeline may rest for days. A line that was cut off by the end is none.
 *
 * @throws DaemonUnreachableError where nobody answers, or the connection breaks; ApiError where the answer is a problem
 */
export async function* readLines(
  url: URL,
  token: string | undefined,
  signal: AbortSignal,
): AsyncGenerator<string, void, void> {
  const response = await open(url, token, signal);
  try {
    if (response.statusCode !== 200) throw apiErrorOf(response.statusCode ?? 0, await bodyOf(response));
    let rest = '';
    for await (const chunk of response.setEncoding('utf8')) {
      const parts = `${rest}${chunk}`.split('\n');
      rest = parts.pop() ?? '';
      yield* parts.filter((line) => line !== '');
    }
  } catch (cause) {
    signal.throwIfAborted();
    if (cause instanceof EngramdError) throw cause;
    throw new DaemonUnreachableError(`the daemon at ${url.origin} has gone: ${errorMessage(cause)}`, { cause });
  } finally {
    response.destroy();
  }
}

function open(url: URL, token: string | undefined, signal: AbortSignal): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
    const request = get(url, { headers, signal, agent: false }, resolve);
    request.setSocketKeepAlive(true, 30_000);
    request.once('error', (cause) => {
      if (signal.aborted) return reject(signal.reason);
      const message = `the daemon at ${url.origin} does not answer: ${errorMessage(cause)}`;
      reject(new DaemonUnreachableError(message, { cause }));
    });
  });
}

async function bodyOf(response: IncomingMessage): Promise<unknown> {
  let text = '';
  for await (const chunk of response) text += chunk;
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
