import type { IncomingHttpHeaders, ServerResponse } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';

/** A request as the server got it. */
export interface ScriptedRequest {
  /** e.g. `/v1/chat/completions` */
  readonly path: string;
  /** The `model` of the body; '' where there is none. */
  readonly model: string;
  readonly headers: IncomingHttpHeaders;
  /** Parsed JSON, an empty object where there was none. */
  readonly body: Readonly<Record<string, unknown>>;
  /** UTF-8 bytes of the body. */
  readonly bytes: number;
  /** Tells connections apart. */
  readonly clientPort: number;
  /** Whether the client closed the connection before it had the whole answer. */
  readonly clientHungUp: boolean;
}

export interface Usage {
  readonly promptTokens: number;
  readonly outputTokens: number;
  readonly cachedTokens?: number;
}

export type Reply = (
  | {
      readonly kind: 'answer';
      /** An object is sent as its JSON, a string as it is, null as null. */
      readonly content: unknown;
      readonly finishReason?: string;
      readonly refusal?: string;
      /** Null: the server does not say. */
      readonly usage?: Usage | null;
    }
  | { readonly kind: 'vectors'; readonly vectors: readonly Float32Array[]; readonly usage?: Usage | null }
  | {
      readonly kind: 'status';
      readonly status: number;
      readonly headers?: Readonly<Record<string, string>>;
      /** An object is sent as JSON, a string as text. */
      readonly body?: unknown;
    }
  | { readonly kind: 'html'; readonly status?: number }
  /** Never answers; ends when the client hangs up. */
  | { readonly kind: 'hang' }
  /** Destroys the connection before the answer, or after half of it. */
  | { readonly kind: 'reset'; readonly when: 'before' | 'middle' }
) & { readonly latencyMs?: number };

type Options<K extends Reply['kind']> = Omit<Extract<Reply, { kind: K }>, 'kind'>;

export const answer = (content: unknown, options: Omit<Options<'answer'>, 'content'> = {}): Reply => ({
  kind: 'answer',
  content,
  ...options,
});

export const status = (code: number, options: Omit<Options<'status'>, 'status'> = {}): Reply => ({
  kind: 'status',
  status: code,
  ...options,
});

/** An error as OpenAI words it. */
export const apiError = (
  code: number,
  error: {
    readonly message?: string;
    readonly code?: string | null;
    readonly type?: string;
    readonly param?: string | null;
  },
  headers: Readonly<Record<string, string>> = {},
): Reply => ({ kind: 'status', status: code, headers, body: { error: { message: 'scripted error', ...error } } });

export const html = (options: Options<'html'> = {}): Reply => ({ kind: 'html', ...options });
export const hang = (): Reply => ({ kind: 'hang' });
export const reset = (when: 'before' | 'middle' = 'before'): Reply => ({ kind: 'reset', when });

/** Four bytes a token, as a rule of thumb. */
export const tokensOfBytes = (bytes: number): number => Math.ceil(bytes / 4);

/** Sends a reply. Resolves when it is sent, or when the client has hung up. */
export async function send(
  reply: Reply,
  request: ScriptedRequest,
  response: ServerResponse,
  latencyMs: number,
  hungUp: AbortSignal,
): Promise<void> {
  const waitMs = reply.latencyMs ?? latencyMs;
  if (waitMs > 0) await delay(waitMs, undefined, { signal: hungUp }).catch(() => {});
  if (hungUp.aborted) return;
  switch (reply.kind) {
    case 'answer':
      return sendJson(response, 200, chatCompletion(reply, request));
    case 'vectors':
      return sendJson(response, 200, embeddings(reply, request));
    case 'status': {
      const body = reply.body ?? { error: { message: `scripted status ${reply.status}` } };
      if (typeof body !== 'string') return sendJson(response, reply.status, body, reply.headers);
      response.writeHead(reply.status, { 'content-type': 'text/plain', ...reply.headers }).end(body);
      return;
    }
    case 'html':
      response.writeHead(reply.status ?? 200, { 'content-type': 'text/html' });
      response.end('<!doctype html><html><head><title>Welcome</title></head><body>It works!</body></html>');
      return;
    case 'hang':
      return new Promise((resolve) => hungUp.addEventListener('abort', () => resolve(), { once: true }));
    case 'reset':
      if (reply.when === 'middle') {
        // More is announced than comes; flushed before the connection goes, or the client would see nothing of it.
        response.writeHead(200, { 'content-type': 'application/json', 'content-length': '1000' });
        await new Promise<void>((resolve) => response.write('{"id":"scripted","choices":[', () => resolve()));
      }
      // The close that follows is no hanging up of the client.
      response.removeAllListeners('close').destroy();
      return;
    default:
      reply satisfies never;
  }
}

function sendJson(
  response: ServerResponse,
  code: number,
  body: unknown,
  headers: Readonly<Record<string, string>> = {},
): void {
  response.writeHead(code, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body));
}

function chatCompletion(reply: Extract<Reply, { kind: 'answer' }>, request: ScriptedRequest): unknown {
  const { content } = reply;
  const text = content === null || typeof content === 'string' ? content : JSON.stringify(content);
  const usage: Usage | null =
    reply.usage === undefined
      ? { promptTokens: tokensOfBytes(request.bytes), outputTokens: tokensOfBytes(Buffer.byteLength(text ?? '')) }
      : reply.usage;
  return {
    id: 'chatcmpl-scripted',
    object: 'chat.completion',
    created: 0,
    model: request.model,
    choices: [
      {
        index: 0,
        finish_reason: reply.finishReason ?? 'stop',
        message: { role: 'assistant', content: text, refusal: reply.refusal ?? null },
      },
    ],
    ...(usage && {
      usage: {
        prompt_tokens: usage.promptTokens,
        completion_tokens: usage.outputTokens,
        total_tokens: usage.promptTokens + usage.outputTokens,
        prompt_tokens_details: { cached_tokens: usage.cachedTokens ?? 0 },
      },
    }),
  };
}

function embeddings(reply: Extract<Reply, { kind: 'vectors' }>, request: ScriptedRequest): unknown {
  const usage = reply.usage === undefined ? { promptTokens: tokensOfBytes(request.bytes) } : reply.usage;
  const asBase64 = request.body.encoding_format === 'base64';
  return {
    object: 'list',
    model: request.model,
    data: reply.vectors.map((vector, index) => ({
      object: 'embedding',
      index,
      embedding: asBase64
        ? Buffer.from(vector.buffer, vector.byteOffset, vector.byteLength).toString('base64')
        : [...vector],
    })),
    ...(usage && { usage: { prompt_tokens: usage.promptTokens, total_tokens: usage.promptTokens } }),
  };
}
