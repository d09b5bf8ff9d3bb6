import { z } from 'zod';
import type { TokenUsage } from '../model-gate.ts';
import { usageTold } from '../token-usage.ts';
import type { AnswerReader } from './chat-model.ts';
import { lenientJson, storable } from './lenient-json.ts';

/** What a model said, as it is kept under the request's hash. */
const chatAnswerSchema = z.object({
  content: z.string(),
  finishReason: z.string(),
  refusal: z.string().nullable(),
});

export type ChatAnswer = Readonly<z.output<typeof chatAnswerSchema>>;

/** As kept; null where that is something else. */
export function chatAnswerOf(kept: unknown): ChatAnswer | null {
  const parsed = chatAnswerSchema.safeParse(kept);
  return parsed.success ? parsed.data : null;
}

const part = z.object({ text: z.string() }).transform(({ text }) => text);

const completionSchema = z.object({
  choices: z.array(
    z.object({
      finish_reason: z.string().nullish(),
      message: z.object({
        content: z
          .union([z.string(), z.array(part.catch('')).transform((parts) => parts.join(''))])
          .nullish()
          .catch(null),
        refusal: z.string().nullish().catch(null),
      }),
    }),
  ),
});

/** What is in it is judged where all servers' counts are. */
const usageSchema = z.object({
  usage: z.object({
    prompt_tokens: z.unknown().optional(),
    completion_tokens: z.unknown().optional(),
    total_tokens: z.unknown().optional(),
    prompt_tokens_details: z.object({ cached_tokens: z.unknown().optional() }).nullish().catch(null),
    prompt_cache_hit_tokens: z.unknown().optional(),
  }),
});

/** The first choice of a chat completion; null where the body is none. */
export function readCompletion(body: unknown): { answer: ChatAnswer; usage: TokenUsage | null } | null {
  const parsed = completionSchema.safeParse(body);
  if (!parsed.success) return null;
  const [choice] = parsed.data.choices;
  const { content, refusal } = choice?.message ?? {};
  return {
    answer: {
      content: storable(content ?? ''),
      finishReason: choice?.finish_reason ?? 'stop',
      refusal: refusal ? storable(refusal) : null,
    },
    usage: readUsage(body),
  };
}

/** Null where the server does not say. */
function readUsage(body: unknown): TokenUsage | null {
  const parsed = usageSchema.safeParse(body);
  if (!parsed.success) return null;
  const { usage } = parsed.data;
  return usageTold({
    prompt: usage.prompt_tokens,
    output: usage.completion_tokens,
    total: usage.total_tokens,
    cached: usage.prompt_tokens_details?.cached_tokens ?? usage.prompt_cache_hit_tokens,
  });
}

/** What came instead of a chat completion, in a few words of ours. */
export function describeBody(body: unknown): string {
  if (body === undefined || body === null || body === '') return 'an empty body';
  if (typeof body === 'string') return /^\s*</.test(body) ? 'HTML' : 'text';
  return 'JSON that is no chat completion';
}

/** What an answer is worth. */
export type Judged<T> =
  | { readonly kind: 'value'; readonly value: T }
  /** Cut off at the limit of the answer. */
  | { readonly kind: 'truncated' }
  | { readonly kind: 'refused' }
  /** `problem` is for the model to read. */
  | { readonly kind: 'malformed'; readonly problem: string };

export function judge<T>(answer: ChatAnswer, read: AnswerReader<T>): Judged<T> {
  if (answer.refusal !== null || answer.finishReason === 'content_filter') return { kind: 'refused' };
  const isCutOff = answer.finishReason === 'length';
  const found = lenientJson(answer.content);
  if (!found) return isCutOff ? { kind: 'truncated' } : { kind: 'malformed', problem: 'It is no JSON.' };
  const result = read(found.json);
  if ('value' in result) return { kind: 'value', value: result.value };
  return isCutOff ? { kind: 'truncated' } : { kind: 'malformed', problem: result.problem };
}
