import { z } from 'zod';
import { refusedParameter } from '../openai/refused-parameter.ts';

/** What an endpoint and model understand of a request. Kept in `engram.model_abilities`. */
const abilitiesSchema = z.object({
  /** How an answer's shape is asked for: enforced by the schema, as any JSON object, or only in words. */
  format: z.enum(['json_schema', 'json_object', 'text']),
  /** What the limit of an answer is called. */
  limit: z.enum(['max_completion_tokens', 'max_tokens']),
  /** Whether 0 may be asked for; reasoning models refuse it. */
  temperature: z.boolean(),
});

export type Abilities = Readonly<z.output<typeof abilitiesSchema>>;

/**
 * The best, to begin with. OpenAI's newer models refuse `max_tokens`; elsewhere it is the name that all know, and some
 * servers ignore the other one without a word, which leaves an answer without a limit.
 */
export function initialAbilities(endpoint: string): Abilities {
  const isOpenAi = /(?:^|\.)(?:openai\.com|openai\.azure\.com)$/.test(new URL(endpoint).hostname);
  return { format: 'json_schema', limit: isOpenAi ? 'max_completion_tokens' : 'max_tokens', temperature: true };
}

/** As kept; null where that is nothing or of another version. */
export function abilitiesOf(kept: unknown): Abilities | null {
  const parsed = abilitiesSchema.safeParse(kept);
  return parsed.success ? parsed.data : null;
}

/**
 * With what to ask again after an error that refuses a part of the request; null: it is about something else, or all has
 * been tried. Each is given up once in a call, so a call is repeated four times at most.
 */
export function afterRefusal(error: unknown, used: Abilities, first: Abilities): Abilities | null {
  const refusal = refusedParameter(error);
  if (!refusal) return null;
  switch (refusal.parameter) {
    case 'response_format':
      if (used.format === 'text') return null;
      return { ...used, format: used.format === 'json_schema' ? 'json_object' : 'text' };
    case 'temperature':
      return used.temperature ? { ...used, temperature: false } : null;
    case 'max_tokens':
    case 'max_completion_tokens': {
      // A limit that is too high is known, and would be too high under its other name.
      if (!refusal.isUnknown || used.limit !== first.limit) return null;
      return { ...used, limit: used.limit === 'max_tokens' ? 'max_completion_tokens' : 'max_tokens' };
    }
    case 'model':
    case 'dimensions':
    case 'encoding_format':
      return null;
    default:
      return refusal.parameter satisfies never;
  }
}
