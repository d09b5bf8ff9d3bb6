/**
 * Of models that answer with 4,096 tokens at most and refuse a request for more: less than the window they have, so that
 * what is left for the answer beside a prompt of the usual 6,000 is no more than that.
 */
const shortAnswers = 10_096;

/** Prompt and answer together, in tokens, of models that somebody else runs. A server of one's own decides that itself. */
const contextWindows: Readonly<Record<string, number>> = {
  'gpt-5': 400_000,
  'gpt-5-chat': 128_000,
  'gpt-4.1': 1_047_576,
  'gpt-4o': 128_000,
  'gpt-4o-2024-05-13': shortAnswers,
  'gpt-4-turbo': shortAnswers,
  'gpt-4': 8192,
  'gpt-3.5-turbo': shortAnswers,
  o1: 200_000,
  'o1-mini': 128_000,
  o3: 200_000,
  'o4-mini': 200_000,
  'chatgpt-4o': 128_000,
  'claude-3': shortAnswers,
  'claude-3-5': 200_000,
  'claude-3-7': 200_000,
  'claude-haiku-4': 200_000,
  'claude-opus-4': 200_000,
  'claude-sonnet-4': 200_000,
  'gemini-2': 1_048_576,
  'gemini-3': 1_048_576,
  'deepseek-chat': 64_000,
  'deepseek-reasoner': 64_000,
  'mistral-large': 128_000,
  'mistral-medium': 128_000,
  'mistral-small': 32_000,
};

/** Of a model that is not known: little enough for most servers, enough for a batch. */
const unknownContextTokens = 8192;

/**
 * The context window by the longest name that the model's begins with; a maker before it (`openai/gpt-4o`) does not count.
 * Names with a tag (`llama3.2:3b`) belong to local servers, whose window is a setting of theirs.
 */
export function contextWindowOf(model: string): number {
  const name = model.toLowerCase().split('/').at(-1) ?? '';
  if (name.includes(':')) return unknownContextTokens;
  const known = Object.keys(contextWindows)
    .filter((prefix) => name.startsWith(prefix) && /^(?:$|[-.@])/.test(name.slice(prefix.length)))
    .sort((a, b) => b.length - a.length)[0];
  return known === undefined ? unknownContextTokens : (contextWindows[known] ?? unknownContextTokens);
}
