import fc from 'fast-check';
import { APIConnectionError, APIConnectionTimeoutError, APIError, OpenAIError } from 'openai';
import { describe, expect, it } from 'vitest';
import { classifyOpenAiError, type ErrorContext } from '../../../src/models/openai/classify-error.ts';
import { ConnectTimeoutError } from '../../../src/models/openai/http-fetch.ts';
import { ModelContentError, ProviderError } from '../../../src/models/provider-errors.ts';

const context: ErrorContext = {
  endpoint: 'http://127.0.0.1:11434/v1',
  model: 'gpt-6',
  settings: {
    baseUrl: 'OPENAI_BASE_URL',
    apiKey: 'OPENAI_API_KEY',
    model: 'ENGRAMD_LLM_MODEL',
    timeout: 'ENGRAMD_LLM_TIMEOUT',
    size: 'ENGRAMD_LLM_CONTEXT_TOKENS',
  },
  secrets: ['sk-test-0123456789abcdefghij', 'shaped_like_no_key'],
  now: new Date('2026-03-01T12:00:00Z'),
  sentAtMs: 17,
  hasAnswered: false,
};

const http = (status: number, error: unknown, headers: Record<string, string> = {}) =>
  APIError.generate(status, { error }, undefined, new Headers(headers));
const network = (code: string) =>
  new APIConnectionError({
    message: 'Connection error.',
    cause: Object.assign(new Error(`connect ${code}`), { code }),
  });

function classOf(thrown: unknown): string {
  const error = classifyOpenAiError(thrown, context);
  return error instanceof ProviderError ? error.errorClass : error.kind;
}

describe('class', () => {
  const rows: readonly (readonly [string, unknown, string])[] = [
    ['connection refused', network('ECONNREFUSED'), 'transient'],
    ['connection reset', network('ECONNRESET'), 'transient'],
    ['broken pipe', network('EPIPE'), 'transient'],
    ['unknown host', network('ENOTFOUND'), 'transient'],
    ['resolver out of order', network('EAI_AGAIN'), 'transient'],
    ['no route', network('EHOSTUNREACH'), 'transient'],
    [
      'no connection in time',
      new APIConnectionError({ message: 'x', cause: new ConnectTimeoutError('x') }),
      'transient',
    ],
    [
      'no connection in time, by the system',
      Object.assign(new APIConnectionTimeoutError(), { cause: Object.assign(new Error('x'), { code: 'ETIMEDOUT' }) }),
      'transient',
    ],
    [
      'every address of the host refuses',
      new APIConnectionError({
        message: 'x',
        cause: new AggregateError([Object.assign(new Error(), { code: 'ECONNREFUSED' })]),
      }),
      'transient',
    ],
    ['a connection error that says nothing', new APIConnectionError({ message: 'x' }), 'transient'],
    ['self-signed certificate', network('DEPTH_ZERO_SELF_SIGNED_CERT'), 'configuration'],
    ['expired certificate', network('CERT_HAS_EXPIRED'), 'configuration'],
    ['certificate of another host', network('ERR_TLS_CERT_ALTNAME_INVALID'), 'configuration'],
    ['TLS to a plain port', network('EPROTO'), 'configuration'],
    ['TLS to a plain port, newer code', network('ERR_SSL_WRONG_VERSION_NUMBER'), 'configuration'],
    ['a body that is no JSON', new SyntaxError('Unexpected token <'), 'configuration'],
    ['the client itself refuses', new OpenAIError('missing credentials'), 'configuration'],
    ['408', http(408, {}), 'transient'],
    ['409', http(409, {}), 'transient'],
    ['425', http(425, {}), 'transient'],
    ['500', http(500, { message: 'oops' }), 'transient'],
    ['502 with HTML', APIError.generate(502, undefined, '<html>', new Headers()), 'transient'],
    ['503', http(503, {}), 'transient'],
    ['529', http(529, { type: 'overloaded_error' }), 'transient'],
    ['429', http(429, { code: 'rate_limit_exceeded' }), 'rate_limit'],
    ['429 without a word', http(429, undefined), 'rate_limit'],
    ['429 without money', http(429, { code: 'insufficient_quota', type: 'insufficient_quota' }), 'quota'],
    ['429 billing', http(429, { code: 'billing_hard_limit_reached' }), 'quota'],
    [
      '429 in words',
      http(429, { message: 'You exceeded your current quota, check your plan and billing details.' }),
      'quota',
    ],
    [
      '429 in the same words, which passes in seconds',
      http(429, { message: 'You exceeded your current quota, check your billing. Please retry in 23.4s.' }),
      'rate_limit',
    ],
    ['400 billing', http(400, { code: 'billing_hard_limit_reached' }), 'quota'],
    ['402', http(402, { message: 'Insufficient Balance' }), 'quota'],
    ['401', http(401, { code: 'invalid_api_key' }), 'auth'],
    ['403', http(403, { message: 'not allowed' }), 'auth'],
    ['400 with a bad key', http(400, { message: 'API key not valid. Please pass a valid API key.' }), 'auth'],
    ['403 of a moderator', http(403, { message: 'Your input was flagged', code: 403 }), 'refused'],
    ['404 model', http(404, { code: 'model_not_found', message: 'The model `gpt-6` does not exist' }), 'configuration'],
    ['404 path', http(404, { message: 'Not Found' }), 'configuration'],
    ['405', http(405, {}), 'configuration'],
    ['301', http(301, {}), 'configuration'],
    ['413', http(413, {}), 'too_long'],
    ['400 context code', http(400, { code: 'context_length_exceeded', param: 'messages' }), 'too_long'],
    ['400 context type of llama.cpp', http(400, { code: 400, type: 'exceed_context_size_error' }), 'too_long'],
    [
      '400 context in the words of vLLM',
      http(400, {
        message:
          "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens (4500 in the messages, 500 in the completion). Please reduce the length of the messages or completion.",
      }),
      'too_long',
    ],
    ['400 filter code', http(400, { code: 'content_filter', param: 'prompt' }), 'refused'],
    ['400 policy code', http(400, { code: 'content_policy_violation' }), 'refused'],
    ['400 policy in words', http(400, { message: "triggered Azure OpenAI's content management policy" }), 'refused'],
    ['400 parameter', http(400, { code: 'unsupported_parameter', param: 'max_tokens' }), 'configuration'],
    [
      '400 parameter in words',
      http(400, { message: "Unsupported value: 'temperature' does not support 0" }),
      'configuration',
    ],
    [
      '400 prompt and answer longer than the context',
      http(400, {
        message: "'max_tokens' is too large: 900. This model's maximum context length is 4096 tokens",
        param: 'max_tokens',
      }),
      'too_long',
    ],
    [
      '400 answer longer than the model gives',
      http(400, { message: 'max_tokens is too large: 90000' }),
      'configuration',
    ],
    ['422 parameter', http(422, { detail: [{ loc: ['body', 'response_format'], msg: 'extra' }] }), 'configuration'],
    ['400 of whatever', http(400, { message: 'no' }), 'configuration'],
    ['451', http(451, {}), 'configuration'],
  ];
  it.each(rows)('%s', (_name, thrown, expected) => {
    expect(classOf(thrown)).toBe(expected);
  });

  it.each([
    [400, { message: 'Bad request: could not process message', type: 'invalid_request_error' }],
    [422, { message: 'no', param: 'messages[1].content' }],
  ])('takes a %s without a word of why for the text, once others have been answered', (code, error) => {
    expect(classifyOpenAiError(http(code, error), context)).toMatchObject({ errorClass: 'configuration' });
    expect(classifyOpenAiError(http(code, error), { ...context, hasAnswered: true })).toMatchObject({
      kind: 'refused',
    });
  });

  it('takes a parameter that is refused for the configuration, whatever was answered', () => {
    const refused = http(400, { message: 'no', param: 'temperature' });
    expect(classifyOpenAiError(refused, { ...context, hasAnswered: true })).toMatchObject({
      errorClass: 'configuration',
    });
  });

  it('takes what nobody knows for the configuration: it fails every request alike', () => {
    const bug = new TypeError('x is not a function');
    expect(classifyOpenAiError(bug, context)).toMatchObject({
      errorClass: 'configuration',
      message: expect.stringContaining('could not be asked by the client (TypeError)'),
      cause: bug,
    });
    const content = new ModelContentError('truncated', 'cut off', { sentAtMs: 1 });
    expect(classifyOpenAiError(content, context)).toBe(content);
  });

  it('keeps what a content error needs to find whom to blame', () => {
    const error = classifyOpenAiError(http(413, {}), context);
    expect(error).toBeInstanceOf(ModelContentError);
    expect(error).toMatchObject({ sentAtMs: 17, retryable: false });
  });
});

describe('message', () => {
  const says = (thrown: unknown) => classifyOpenAiError(thrown, context).message;

  it('names the setting to change', () => {
    expect(says(network('ECONNREFUSED'))).toBe(
      'http://127.0.0.1:11434/v1 (gpt-6) refused the connection (ECONNREFUSED): start the server, or correct OPENAI_BASE_URL',
    );
    expect(says(http(401, { code: 'invalid_api_key', type: 'invalid_request_error' }))).toBe(
      'http://127.0.0.1:11434/v1 (gpt-6) answered 401 (invalid_api_key, invalid_request_error): correct OPENAI_API_KEY, and see that its account may use this model',
    );
    expect(says(http(404, { code: 'model_not_found' }))).toMatch(/correct ENGRAMD_LLM_MODEL, or OPENAI_BASE_URL/);
    expect(says(http(404, undefined))).toMatch(/correct OPENAI_BASE_URL, which usually ends in \/v1/);
    expect(says(http(400, { message: "'temperature' does not support 0" }))).toMatch(
      /`temperature`.*ENGRAMD_LLM_MODEL/,
    );
    expect(says(http(400, { message: 'max_tokens is too large', param: 'max_tokens' }))).toMatch(
      /ENGRAMD_LLM_CONTEXT_TOKENS/,
    );
  });

  it('repeats nothing that a server wrote: not the prompt, not the key', () => {
    const memory = 'Ann’s diary: the safe opens with 4711';
    const errors = [
      http(400, { message: `Invalid: ${memory}`, code: memory, type: memory, param: memory }),
      http(422, { detail: [{ loc: ['body', 'messages'], msg: 'too odd', input: memory }] }),
      http(401, {
        message: 'Incorrect API key provided: sk-test-0123456789abcdefghij',
        code: 'sk-test-0123456789abcdefghij',
      }),
      http(401, { code: 'shaped_like_no_key' }),
      http(500, memory),
      APIError.generate(404, undefined, `<html>${memory}</html>`, new Headers()),
    ];
    for (const error of errors) {
      const { message, cause } = classifyOpenAiError(error, context);
      expect(message).not.toMatch(/diary|4711|0123456789|shaped/);
      expect(cause).toBeUndefined();
    }
  });

  it('is one line of bounded length with the advice at its end, whatever a server says', () => {
    const anything = fc.record({
      status: fc.integer({ min: 300, max: 599 }),
      message: fc.oneof(fc.string(), fc.constant('x'.repeat(100_000))),
      code: fc.oneof(fc.string(), fc.integer(), fc.constant(null)),
      type: fc.oneof(fc.string(), fc.constant(undefined)),
      param: fc.oneof(fc.string(), fc.constant('model'), fc.constant(null)),
    });
    fc.assert(
      fc.property(anything, ({ status, ...error }) => {
        const { message } = classifyOpenAiError(http(status, error), context);
        expect(message.length).toBeLessThanOrEqual(400);
        expect(message).not.toMatch(/[\r\n]/);
        expect(message).toMatch(/^http:\/\/127\.0\.0\.1:11434\/v1 \(gpt-6\) answered \d+.*: .+/);
      }),
    );
  });

  it('cuts names that are longer than a line', () => {
    const long = { ...context, endpoint: `http://${'a'.repeat(3000)}/v1`, model: 'm'.repeat(200) };
    const { message } = classifyOpenAiError(http(404, undefined), long);
    expect(message.length).toBeLessThanOrEqual(400);
    expect(message).toMatch(/OPENAI_BASE_URL/);
  });
});

describe('how long to wait', () => {
  const waits = (status: number, headers: Record<string, string>, error: unknown = {}) => {
    const classified = classifyOpenAiError(http(status, error, headers), context);
    return classified instanceof ProviderError ? classified.retryAfterMs : undefined;
  };
  const rows: readonly (readonly [string, number, Record<string, string>, number | null])[] = [
    ['seconds', 429, { 'retry-after': '20' }, 20_000],
    ['parts of a second', 429, { 'retry-after': '0.25' }, 250],
    ['an HTTP date', 503, { 'retry-after': 'Sun, 01 Mar 2026 12:01:30 GMT' }, 90_000],
    ['a date that is past', 429, { 'retry-after': 'Sun, 01 Mar 2026 11:00:00 GMT' }, 0],
    ['milliseconds before seconds', 429, { 'retry-after-ms': '1500', 'retry-after': '20' }, 1500],
    ['Retry-After before the resets', 429, { 'retry-after': '2', 'x-ratelimit-reset-requests': '9s' }, 2000],
    ['a reset', 429, { 'x-ratelimit-reset-requests': '1s' }, 1000],
    ['a reset in parts', 429, { 'x-ratelimit-reset-tokens': '6m0s' }, 360_000],
    ['a reset in hours and fractions', 429, { 'x-ratelimit-reset-tokens': '1h2m3.5s' }, 3_723_500],
    ['a reset in milliseconds', 429, { 'x-ratelimit-reset-tokens': '120ms' }, 120],
    ['the longest reset', 429, { 'x-ratelimit-reset-requests': '1s', 'x-ratelimit-reset-tokens': '7s' }, 7000],
    [
      'the reset of the limit that is used up',
      429,
      { 'x-ratelimit-reset-requests': '1s', 'x-ratelimit-remaining-requests': '0', 'x-ratelimit-reset-tokens': '7s' },
      1000,
    ],
    [
      'a reset at a time in milliseconds',
      429,
      { 'x-ratelimit-reset': String(Date.parse('2026-03-01T12:00:05Z')) },
      5000,
    ],
    [
      'a reset at a time in seconds',
      429,
      { 'x-ratelimit-reset': String(Date.parse('2026-03-01T12:00:05Z') / 1000) },
      5000,
    ],
    ['a reset at an ISO time', 429, { 'x-ratelimit-reset': '2026-03-01T12:00:05Z' }, 5000],
    ['resets only where a limit was hit', 503, { 'x-ratelimit-reset-requests': '1s' }, null],
    ['at most a day', 429, { 'retry-after': '9999999' }, 86_400_000],
    ['a date far away', 429, { 'retry-after': 'Sun, 01 Mar 2126 12:00:00 GMT' }, 86_400_000],
    ['less than nothing', 429, { 'retry-after': '-5' }, 0],
    ['nonsense', 429, { 'retry-after': 'soon 5', 'x-ratelimit-reset-requests': 'x', 'retry-after-ms': 'y' }, null],
    ['nothing said', 429, {}, null],
  ];
  it.each(rows)('%s', (_name, status, headers, expected) => {
    expect(waits(status, headers)).toBe(expected);
  });

  it('reads it from the words of a rate limit', () => {
    expect(waits(429, {}, { message: 'Limit reached. Please try again in 1.5s.' })).toBe(1500);
    expect(waits(429, {}, [{ error: { details: [{ retryDelay: '23s' }] } }])).toBe(23_000);
  });

  it('never is less than nothing or more than a day', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...'0123456789.-smhd :,SunMar') }), (value) => {
        const waitMs = waits(429, { 'retry-after': value, 'x-ratelimit-reset': value });
        expect(waitMs === null || (waitMs !== undefined && waitMs >= 0 && waitMs <= 86_400_000)).toBe(true);
      }),
    );
  });
});
