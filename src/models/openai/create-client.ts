import OpenAI from 'openai';
import { createHttpFetch } from './http-fetch.ts';

export const defaultBaseUrl = 'https://api.openai.com/v1';

/** Servers without keys want a header all the same, and the client refuses to start without one. */
const placeholderKey = 'none';

/** The base URL as it may be shown and stored: without user, password, query and trailing slash. */
export function endpointOf(baseUrl: string | undefined): string {
  const url = new URL(baseUrl ?? defaultBaseUrl);
  return `${url.protocol}//${url.host}${url.pathname}`.replace(/\/+$/, '');
}

/**
 * The `openai` client for any compatible server. It never retries (when and how often is the gate's to say), reads no
 * variable of the environment beside what it is given, logs nothing and tells nothing about this machine.
 */
export function createOpenAiClient(options: {
  readonly apiKey: string | undefined;
  /** Unset: OpenAI. A user and password in it are sent as basic authentication where there is no key. */
  readonly baseUrl: string | undefined;
}): OpenAI {
  const { username, password } = new URL(options.baseUrl ?? defaultBaseUrl);
  const basic = [username, password].map(decodeURIComponent).join(':');
  const usesBasic = options.apiKey === undefined && username !== '';
  return new OpenAI({
    apiKey: options.apiKey ?? placeholderKey,
    baseURL: endpointOf(options.baseUrl),
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
