import { APIError } from 'openai/core/error';
import type { Clock } from '../../telemetry/clock.ts';
import type { TokenUsage } from '../model-gate.ts';
import { callWithin } from '../openai/call-within.ts';
import { unreadableAnswer } from '../openai/classify-error.ts';
import type { OpenAiClient } from '../openai/create-client.ts';
import { type EndpointFacts, errorLine } from '../openai/error-message.ts';
import { ModelContentError } from '../provider-errors.ts';
import { usageTold } from '../token-usage.ts';

export interface EmbeddingBody {
  readonly model: string;
  readonly input: readonly string[];
  readonly dimensions?: number;
}

export interface EmbeddingAnswer {
  /** In the order of the input, as the endpoint made them: neither checked nor of unit length. */
  readonly vectors: readonly Float32Array[];
  /** Null where the server does not say. */
  readonly usage: TokenUsage | null;
}

/** One request. @throws ProviderError, ModelContentError, or the signal's reason */
export type EmbeddingTransport = (
  body: EmbeddingBody,
  options: { readonly signal: AbortSignal; readonly timeoutMs: number; readonly hasAnswered: () => boolean },
) => Promise<EmbeddingAnswer>;

/** What the settings of embeddings are called in advice. */
const settings = {
  baseUrl: 'ENGRAMD_EMBEDDING_BASE_URL (or OPENAI_BASE_URL)',
  apiKey: 'ENGRAMD_EMBEDDING_API_KEY (or OPENAI_API_KEY)',
  model: 'ENGRAMD_EMBEDDING_MODEL',
};

export function createEmbeddingTransport(deps: {
  readonly client: OpenAiClient;
  readonly clock: Clock;
  /** Without credentials. */
  readonly endpoint: string;
  readonly secrets: readonly string[];
}): EmbeddingTransport {
  const { client, clock, endpoint, secrets } = deps;
  return async (body, { signal, timeoutMs, hasAnswered }) => {
    const facts: EndpointFacts = { endpoint, model: body.model, settings, secrets };
    const sentAtMs = clock.monotonicMs();
    const answer: unknown = await callWithin(facts, { timeoutMs, signal, clock, hasAnswered }, async (signalOfCall) => {
      try {
        return await client.embed({ ...body, input: [...body.input], encoding_format: 'float' }, signalOfCall);
      } catch (thrown) {
        if (!refusesInput(thrown)) throw thrown;
        const message = errorLine(facts, `answered ${thrown.status} to the text itself`, 'nothing, it is set apart');
        throw new ModelContentError('refused', message, { sentAtMs });
      }
    });
    return readAnswer(answer, facts);
  };
}

/** A 400 that is about the input and says nothing of its length: some text in it, found by halving. */
function refusesInput(thrown: unknown): thrown is APIError {
  if (!(thrown instanceof APIError) || (thrown.status !== 400 && thrown.status !== 422)) return false;
  if (/\b(?:tokens?|length|too (?:long|large)|context)\b/i.test(thrown.message)) return false;
  return /^\$?\.?input\b/.test(thrown.param ?? '') || /['"`$.]input['"`.[]/.test(thrown.message);
}

function readAnswer(answer: unknown, facts: EndpointFacts): EmbeddingAnswer {
  if (!isRecord(answer) || !Array.isArray(answer.data)) throw unreadableAnswer('no list of embeddings', facts);
  const rows = answer.data.map((row, at) => {
    if (!isRecord(row) || !Array.isArray(row.embedding)) throw unreadableAnswer('an embedding that is no list', facts);
    // Servers that answer out of order say where each belongs.
    return { index: typeof row.index === 'number' ? row.index : at, numbers: row.embedding as unknown[] };
  });
  const vectors = rows
    .toSorted((a, b) => a.index - b.index)
    // null is how JSON writes NaN: a fault of this one vector, found where vectors are judged.
    .map(({ numbers }) => Float32Array.from(numbers, (value) => (typeof value === 'number' ? value : Number.NaN)));
  const usage = isRecord(answer.usage) ? answer.usage : {};
  return { vectors, usage: usageTold({ prompt: usage.prompt_tokens ?? usage.total_tokens, output: 0 }) };
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}
