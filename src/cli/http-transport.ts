import type { Config } from '../config/schema.ts';
import { type DaemonFile, readDaemonFile } from '../daemon/daemon-file.ts';
import { errorMessage } from '../telemetry/engramd-error.ts';
import { ApiError, DaemonUnreachableError } from './cli-errors.ts';
import { readLines } from './http-lines.ts';
import type { ApiReply, ApiRequest, Transport } from './transport.ts';

/** A daemon that is alive answers this from memory. */
const probeMs = 3000;
/** A dry run over many memories takes its time. */
const requestMs = 120_000;

interface HttpOptions {
  readonly config: Config;
  readonly signal: AbortSignal;
}

/** The way to a daemon's routes, its streams included. */
export interface DaemonTransport extends Transport {
  /**
   * The lines of a stream, until the daemon ends it or goes.
   *
   * @throws DaemonUnreachableError; on another answer than a stream ApiError
   */
  lines(path: string): AsyncGenerator<string, void, void>;
}

/** The daemon that the data directory's `daemon.json` names, if it answers. */
export async function findDaemon(options: HttpOptions): Promise<DaemonTransport | undefined> {
  const daemon = readDaemonFile(options.config.dataDir);
  if (!daemon || !(await isAlive(daemon, options))) return undefined;
  return {
    kind: 'daemon',
    request: (request) => send(daemon.url, request, options),
    lines: (path) => readLines(new URL(path, daemon.url), options.config.apiToken, options.signal),
    close: async () => undefined,
  };
}

/** The file may be that of a daemon long dead, and its port somebody else's by now: who answers has to say the same id. */
async function isAlive(daemon: DaemonFile, { signal }: HttpOptions): Promise<boolean> {
  try {
    const timeout = AbortSignal.timeout(probeMs);
    const response = await fetch(new URL('/healthz', daemon.url), { signal: AbortSignal.any([signal, timeout]) });
    const health = (await response.json()) as { readonly instance_id?: unknown } | null;
    return response.ok && health?.instance_id === daemon.instanceId;
  } catch {
    signal.throwIfAborted();
    return false;
  }
}

async function send(baseUrl: string, request: ApiRequest, { config, signal }: HttpOptions): Promise<ApiReply> {
  const headers = new Headers(request.headers);
  if (config.apiToken !== undefined) headers.set('authorization', `Bearer ${config.apiToken}`);
  if (request.body !== undefined) headers.set('content-type', 'application/json');
  let response: Response;
  let text: string;
  try {
    response = await fetch(new URL(request.path, baseUrl), {
      method: request.method,
      headers,
      signal: AbortSignal.any([signal, AbortSignal.timeout(requestMs)]),
      ...(request.body !== undefined && { body: JSON.stringify(request.body) }),
    });
    text = await response.text();
  } catch (cause) {
    signal.throwIfAborted();
    const reason = cause instanceof Error && cause.cause instanceof Error ? cause.cause : cause;
    throw new DaemonUnreachableError(`the daemon at ${baseUrl} does not answer: ${errorMessage(reason)}`, { cause });
  }
  if (response.status === 401) {
    throw new ApiError(401, 'UNAUTHORIZED', 'the daemon asks for another token: set ENGRAMD_API_TOKEN as it has it');
  }
  return { status: response.status, body: parseBody(text, response.status) };
}

function parseBody(text: string, status: number): unknown {
  if (text === '') return null;
  try {
    return JSON.parse(text);
  } catch {
    throw new ApiError(status, 'NOT_JSON', `the daemon answered ${status} with something that is not JSON`);
  }
}
