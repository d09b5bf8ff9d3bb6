import type OpenAI from 'openai';
import type { ChatCompletionCreateParamsNonStreaming } from 'openai/resources/chat/completions';
import type { EmbeddingCreateParams } from 'openai/resources/embeddings';
import { createHttpFetch } from './http-fetch.ts';

export const defaultBaseUrl = 'https://api.openai.com/v1';

/** Servers without keys want a header all the same, and the client refuses to start without one. */
const placeholderKey = 'none';

/** The base URL as it may be shown and stored: without user, password, query and trailing slash. */
export function endpointOf(baseUrl: string | undefined): string {
  const url = new URL(baseUrl ?? defaultBaseUrl);
  return `${url.protocol}//${url.host}${url.pathname}`.replace(/\/+$/, '');
}

/** What is asked of an endpoint. Bodies of answers are unknown: any server may stand there. */
export interface OpenAiClient {
  /** For scrubbing; a placeholder where there is none. */
  readonly apiKey: string;
  chat(body: ChatCompletionCreateParamsNonStreaming, signal: AbortSignal): Promise<unknown>;
  embed(body: EmbeddingCreateParams, signal: AbortSignal): Promise<unknown>;
}

/**
 * The `openai` client for any compatible server. It never retries (when and how often is the gate's to say), reads no
 * variable of the environment beside what it is given, logs nothing and tells nothing about this machine. Loaded by the
 * first request: the package takes 34 MB, which a daemon that asks nobody does without.
 */
export function createOpenAiClient(options: ClientOptions): OpenAiClient {
  const apiKey = options.apiKey ?? placeholderKey;
  let loading: Promise<OpenAI> | undefined;
  const client = () => {
    loading ??= load({ ...options, apiKey });
    return loading;
  };
  return {
    apiKey,
    chat: async (body, signal) => (await client()).chat.completions.create(body, { signal }),
    embed: async (body, signal) => (await client()).embeddings.create(body, { signal }),
  };
}

interface ClientOptions {
  readonly apiKey: string | undefined;
  /** Unset: OpenAI. A user and password in it are sent as basic authentication where there is no key. */
  readonly baseUrl: string | undefined;
}

async function load({ apiKey, baseUrl }: ClientOptions & { readonly apiKey: string }): Promise<OpenAI> {
  const { OpenAI } = await import('openai');
  const { username, password } = new URL(baseUrl ?? defaultBaseUrl);
  const basic = [username, password].map(decodeURIComponent).join(':');
  const usesBasic = apiKey === placeholderKey && username !== '';
  return new OpenAI({
    apiKey,
    baseURL: endpointOf(baseUrl),
    adminAPIKey: null,
    organization: null,
    project: null,
    webhookSecret: null,
    maxRetries: 0,
    // Ours ends the wait, at the body as well; the client's covers only the headers.
    timeout: 2 ** 31 - 1,
    logLevel: 'off',
    fetch: createHttpFetch(),
    defaultHeaders: {
      'user-agent': 'engramd',
      'x-stainless-arch': null,
      'x-stainless-lang': null,
      'x-stainless-os': null,
      'x-stainless-package-version': null,
      'x-stainless-retry-count': null,
      'x-stainless-runtime': null,
      'x-stainless-runtime-version': null,
      'x-stainless-timeout': null,
      ...(usesBasic && { authorization: `Basic ${Buffer.from(basic).toString('base64')}` }),
    },
  });
}
