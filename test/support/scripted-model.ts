import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type Reply, type ScriptedRequest, send } from './scripted-model/reply.ts';
import { answerHonestly, embedHonestly } from './scripted-model/understand.ts';

export type Handler = (request: ScriptedRequest) => Reply | Promise<Reply>;

export interface ScriptedModelOptions {
  /** Of every chat answer whose reply names none. */
  readonly chatLatencyMs?: number;
  readonly embedLatencyMs?: number;
  readonly onChat?: Handler;
  readonly onEmbed?: Handler;
  /** Names that `GET /v1/models` lists. */
  readonly models?: readonly string[];
  /** Most requests kept in `requests`, the newest; a bench of thousands keeps few. */
  readonly keepRequests?: number;
  readonly port?: number;
}

/** An OpenAI-compatible server on 127.0.0.1, to be reached through the real client. */
export interface ScriptedModel {
  /** Ends in `/v1`. */
  readonly baseUrl: string;
  /** Chat and embedding requests since the start or the last `reset`, oldest first. */
  readonly requests: readonly ScriptedRequest[];
  /** How many there were, also of those not kept. */
  readonly count: { readonly chat: number; readonly embed: number };
  inFlight(): number;
  mostInFlight(): number;
  /** Of those in flight, the ones that will never be answered. */
  hanging(): number;
  onChat: Handler;
  onEmbed: Handler;
  /** Forgets the requests, the counts and the handlers that were assigned. */
  reset(): void;
  close(): Promise<void>;
}

/**
 * Counts can also be read from outside, when it runs in a process of its own: `GET /scripted/counts`; `POST
 * /scripted/reset` starts them again.
 */
export async function createScriptedModel(options: ScriptedModelOptions = {}): Promise<ScriptedModel> {
  const {
    chatLatencyMs = 0,
    embedLatencyMs = 0,
    models = ['scripted'],
    keepRequests = Number.POSITIVE_INFINITY,
  } = options;
  const requests: ScriptedRequest[] = [];
  const count = { chat: 0, embed: 0 };
  let inFlight = 0;
  let mostInFlight = 0;
  let hanging = 0;

  const server = createServer((message, response) => {
    handle(message, response).catch((thrown) => {
      if (response.destroyed) return;
      // A handler that throws is a mistake of the test: said loudly, and to the client as a 500.
      console.error('scripted model:', thrown);
      if (!response.headersSent) response.writeHead(500, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ error: { message: 'the handler of the scripted model threw' } }));
    });
  });
  // An idle connection that the server closes while the client takes it up again would look like a reset.
  server.keepAliveTimeout = 600_000;

  async function handle(message: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = (message.url ?? '/').split('?')[0] ?? '/';
    const route = `${message.method} ${path}`;
    const text = await bodyOf(message);
    switch (route) {
      case 'POST /v1/chat/completions':
        count.chat += 1;
        return work(path, text, message, response, (request) => scripted.onChat(request), chatLatencyMs);
      case 'POST /v1/embeddings':
        count.embed += 1;
        return work(path, text, message, response, (request) => scripted.onEmbed(request), embedLatencyMs);
      case 'GET /v1/models':
        return json(response, 200, { object: 'list', data: models.map((id) => ({ id, object: 'model' })) });
      case 'GET /scripted/counts':
        return json(response, 200, { ...count, inFlight, mostInFlight });
      case 'POST /scripted/reset':
        scripted.reset();
        return json(response, 200, {});
      default:
        return json(response, 404, { error: { message: `no route ${route}` } });
    }
  }

  async function work(
    path: string,
    text: string,
    message: IncomingMessage,
    response: ServerResponse,
    handler: Handler,
    latencyMs: number,
  ): Promise<void> {
    const hungUp = new AbortController();
    response.once('close', () => {
      if (!response.writableFinished) hungUp.abort();
    });
    const body = parsed(text);
    const request: ScriptedRequest = {
      path,
      model: typeof body.model === 'string' ? body.model : '',
      headers: message.headers,
      body,
      bytes: Buffer.byteLength(text),
      clientPort: message.socket.remotePort ?? 0,
      get clientHungUp() {
        return hungUp.signal.aborted;
      },
    };
    requests.push(request);
    if (requests.length > keepRequests) requests.shift();
    inFlight += 1;
    mostInFlight = Math.max(mostInFlight, inFlight);
    try {
      const reply = await handler(request);
      if (reply.kind === 'hang') hanging += 1;
      await send(reply, request, response, latencyMs, hungUp.signal).finally(() => {
        if (reply.kind === 'hang') hanging -= 1;
      });
    } finally {
      inFlight -= 1;
    }
  }

  const scripted: ScriptedModel = {
    baseUrl: '',
    requests,
    count,
    inFlight: () => inFlight,
    mostInFlight: () => mostInFlight,
    hanging: () => hanging,
    onChat: options.onChat ?? answerHonestly,
    onEmbed: options.onEmbed ?? embedHonestly,
    reset() {
      requests.length = 0;
      count.chat = 0;
      count.embed = 0;
      mostInFlight = inFlight;
      scripted.onChat = options.onChat ?? answerHonestly;
      scripted.onEmbed = options.onEmbed ?? embedHonestly;
    },
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await closed;
    },
  };

  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(options.port ?? 0, '127.0.0.1', resolve);
  });
  return Object.assign(scripted, { baseUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1` });
}

async function bodyOf(message: IncomingMessage): Promise<string> {
  message.setEncoding('utf8');
  let text = '';
  for await (const chunk of message) text += chunk;
  return text;
}

function parsed(text: string): Record<string, unknown> {
  try {
    const body: unknown = JSON.parse(text);
    return typeof body === 'object' && body !== null ? (body as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

function json(response: ServerResponse, code: number, body: unknown): void {
  response.writeHead(code, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}
