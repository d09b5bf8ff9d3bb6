import { APIConnectionError, APIError, OpenAIError } from 'openai/core/error';
import { ModelContentError, ProviderError } from '../provider-errors.ts';
import { type EndpointFacts, errorLine, identifier } from './error-message.ts';
import { bodyTooLargeCode } from './http-fetch.ts';
import { refusedParameter } from './refused-parameter.ts';
import { retryAfterMs, retryHintMs } from './retry-after.ts';

export interface ErrorContext extends EndpointFacts {
  readonly now: Date;
  /** When the request was sent, by the monotonic clock. */
  readonly sentAtMs: number;
  /** Whether the model has answered usably before: what was understood then is not wrong now. */
  readonly hasAnswered: boolean;
}

/**
 * What a failed request means (law L8). Pure. What nobody here knows (a client that cannot be made of its settings, a bug)
 * is as it is for every request, so it is the configuration and never the memory.
 */
export function classifyOpenAiError(thrown: unknown, context: ErrorContext): ProviderError | ModelContentError {
  if (thrown instanceof ProviderError || thrown instanceof ModelContentError) return thrown;
  if (thrown instanceof APIError && thrown.status !== undefined) return answered(thrown, thrown.status, context);
  if (thrown instanceof APIConnectionError) return unreachable(networkCodeOf(thrown), context, thrown);
  if (thrown instanceof SyntaxError) return unreadableAnswer('a body that is no JSON', context);
  const { baseUrl, apiKey } = context.settings;
  const kind = thrown instanceof Error && !(thrown instanceof OpenAIError) ? ` (${identifier(thrown.name)})` : '';
  const message = errorLine(context, `could not be asked by the client${kind}`, `check ${baseUrl} and ${apiKey}`);
  return new ProviderError('configuration', message, { cause: thrown });
}

/** No answer in time. */
export function timedOut(timeoutMs: number, context: EndpointFacts): ProviderError {
  const { timeout, model } = context.settings;
  const advice = timeout
    ? `raise ${timeout}, or choose a faster model with ${model}`
    : `look at the server, or choose a faster model with ${model}`;
  return new ProviderError('timeout', errorLine(context, `gave no answer within ${timeoutMs / 1000} s`, advice));
}

/** Status 200 with something else than was asked for: a web server, a proxy, another API. */
export function unreadableAnswer(what: string, context: EndpointFacts): ProviderError {
  const advice = `correct ${context.settings.baseUrl}, which usually ends in /v1`;
  return new ProviderError('configuration', errorLine(context, `answered 200 with ${what}`, advice), { status: 200 });
}

const tlsCode = /^(?:ERR_TLS_|ERR_SSL_|CERT_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_|EPROTO$|HOSTNAME_MISMATCH)/;

function unreachable(code: string | null, context: ErrorContext, thrown: unknown): ProviderError {
  const { baseUrl } = context.settings;
  const suffix = code === null ? '' : ` (${code})`;
  const failed = (what: string, advice: string) => errorLine(context, `${what}${suffix}`, advice);
  if (code === bodyTooLargeCode) {
    return new ProviderError('configuration', failed('answered with no end', `correct ${baseUrl}`), { cause: thrown });
  }
  // A certificate does not get better by waiting, and http spoken to a TLS port neither.
  if (code !== null && tlsCode.test(code)) {
    const advice = `check http or https in ${baseUrl}, and that this machine trusts the certificate`;
    return new ProviderError('configuration', failed('could not be spoken to securely', advice), { cause: thrown });
  }
  if (code?.startsWith('HPE_')) {
    return new ProviderError('configuration', failed('does not speak HTTP', `correct ${baseUrl}`));
  }
  const message =
    code === 'ECONNREFUSED'
      ? failed('refused the connection', `start the server, or correct ${baseUrl}`)
      : code === 'ENOTFOUND' || code === 'EAI_AGAIN'
        ? failed('is a name that cannot be resolved', `check the network, or correct ${baseUrl}`)
        : code === 'ECONNRESET' || code === 'EPIPE'
          ? failed('broke the connection', 'look at the server if it stays so')
          : failed('could not be reached', `check the network, or correct ${baseUrl}`);
  // Its code tells the ledger whether anything was sent at all.
  return new ProviderError('transient', message, { cause: thrown });
}

/** Looks through wrappers. Codes of the network are words in capitals; those of an API are not. */
function networkCodeOf(thrown: unknown): string | null {
  for (let error = thrown, depth = 0; error instanceof Error && depth < 5; error = error.cause, depth += 1) {
    const code = 'code' in error ? identifier(error.code) : null;
    if (code !== null && /^[A-Z][A-Z0-9_]+$/.test(code)) return code;
    // One attempt an address: the first says why.
    if (error instanceof AggregateError) return networkCodeOf(error.errors[0]);
  }
  return null;
}

const quotaCode = /quota|billing|insufficient_(?:balance|funds|credits?)|credit_balance|payment_required/i;
const quotaText = /\b(?:insufficient (?:quota|balance|funds|credits?)|billing|credit balance|out of credits?)\b/i;
const keyText =
  /\bAPI[ _-]?key\b.{0,40}\b(?:not valid|invalid|missing|incorrect)\b|\b(?:invalid|incorrect)\b.{0,20}\bAPI[ _-]?key\b/i;
const tooLongCode =
  /context_(?:length|size|window)|string_above_max_length|prompt_too_long|request_too_large|too_many_tokens/i;
const tooLongText =
  /\bcontext (?:length|window|size)\b|\bmaximum context\b|\btoo many (?:input )?tokens\b|\b(?:prompt|input|request) is too (?:long|large)\b|\bexceeds? the (?:maximum|limit|max)\b.{0,40}\btokens?\b|\breduce the length\b|\btoken count\b.{0,40}\bexceeds\b/i;
const refusedCode = /content_?(?:filter|policy|management)|responsible_?ai|invalid_prompt|moderation|safety/i;
const refusedText = /\bcontent (?:management |usage )?polic(?:y|ies)\b|\bcontent filter|\bsafety system\b|\bflagged\b/i;
const modelCode = /model_not_found|invalid_model|unknown_model|model_not_available/i;

function answered(error: APIError, status: number, context: ErrorContext): ProviderError | ModelContentError {
  const { settings } = context;
  const text = error.message.slice(0, 4000);
  const words = [error.code, error.type].map(identifier).filter((word) => word !== null);
  const code = words.join(' ');
  const parameter = refusedParameter(error)?.parameter ?? null;
  const details = [...words, ...(parameter === null ? [] : [`\`${parameter}\``])].join(', ');
  const line = (advice: string) =>
    errorLine(context, `answered ${status}${details === '' ? '' : ` (${details})`}`, advice);
  const failure = (errorClass: ProviderError['errorClass'], advice: string) =>
    new ProviderError(errorClass, line(advice), {
      status,
      retryAfterMs:
        retryAfterMs(error.headers, context.now, status === 429) ?? (status === 429 ? retryHintMs(text) : null),
    });
  const content = (kind: 'too_long' | 'refused', advice: string) =>
    new ModelContentError(kind, line(advice), { sentAtMs: context.sentAtMs });
  const quota = () => failure('quota', 'add credit to the account, or raise its limit');
  const tooLong = () =>
    content('too_long', settings.size ? `set ${settings.size} to what the model takes` : 'nothing, it is split');
  const badKey = () => failure('auth', `correct ${settings.apiKey}, and see that its account may use this model`);
  const refused = () => content('refused', `nothing, or choose another model with ${settings.model}`);
  const noModel = () =>
    failure('configuration', `correct ${settings.model}, or ${settings.baseUrl} if the model is another server's`);

  // Some say it with 400 or 403.
  if (status >= 400 && status < 500 && quotaCode.test(code)) return quota();
  switch (status) {
    case 401:
      return badKey();
    case 402:
      return quota();
    case 403:
      return refusedCode.test(code) || refusedText.test(text) ? refused() : badKey();
    case 404:
      if (modelCode.test(code) || /\bmodel\b/i.test(text)) return noModel();
      return failure('configuration', `correct ${settings.baseUrl}, which usually ends in /v1, or ${settings.model}`);
    case 408:
    case 409:
    case 425:
      return failure('transient', 'look at the server if it stays so');
    case 413:
      return tooLong();
    case 429:
      // Gemini speaks of billing in every 429; what passes within minutes is a rate limit all the same.
      if (quotaText.test(text) && retryHintMs(text) === null) return quota();
      return failure('rate_limit', 'nothing, it waits; if it comes often, raise the limits of the account');
    case 400:
    case 422: {
      if (tooLongCode.test(code)) return tooLong();
      if (refusedCode.test(code)) return refused();
      if (modelCode.test(code) || parameter === 'model') return noModel();
      if (keyText.test(text)) return badKey();
      const isLimit = parameter === 'max_tokens' || parameter === 'max_completion_tokens';
      // Prompt and answer together are more than the context: a shorter prompt helps.
      if ((parameter === null || isLimit) && tooLongText.test(text)) return tooLong();
      if (isLimit) {
        const size = settings.size ?? settings.model;
        return failure('configuration', `correct ${size}: the model gives no answers of the length asked for`);
      }
      if (parameter !== null) {
        return failure('configuration', `choose a model or server that takes it, with ${settings.model}`);
      }
      // It names nothing that is the same in every request, and others are answered. Taken for the configuration, one poison
      // had everybody wait for it, for ever; a model that refuses them all is found out by those that it is asked after.
      if (refusedText.test(text) || context.hasAnswered) return refused();
      return failure('configuration', `check ${settings.model} and ${settings.baseUrl}`);
    }
    default:
      if (status >= 500) return failure('transient', 'look at the server if it stays so');
      return failure('configuration', `correct ${settings.baseUrl}, which usually ends in /v1`);
  }
}
