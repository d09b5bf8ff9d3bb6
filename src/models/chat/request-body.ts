import type { ChatCompletionCreateParamsNonStreaming } from 'openai/resources/chat/completions';
import type { Abilities } from './abilities.ts';
import type { ChatMessage, ChatRequest } from './chat-model.ts';

/** What is sent, by what the server understands. The same request gives the same bytes, so that prompts stay cached. */
export function requestBody(
  model: string,
  request: ChatRequest,
  abilities: Abilities,
): ChatCompletionCreateParamsNonStreaming {
  const { answer, maxOutputTokens, messages } = request;
  const isEnforced = abilities.format === 'json_schema';
  return {
    model,
    messages: [...(isEnforced ? messages : withSchema(messages, request))],
    [abilities.limit]: maxOutputTokens,
    ...(abilities.temperature && { temperature: 0 }),
    ...(isEnforced && {
      response_format: { type: 'json_schema', json_schema: { name: answer.name, strict: true, schema: answer.schema } },
    }),
    ...(abilities.format === 'json_object' && { response_format: { type: 'json_object' } }),
  };
}

/** UTF-8 bytes of the body, or of the largest that it may yet become while parts of it may be refused. */
export function mostBytes(model: string, request: ChatRequest, abilities: Abilities, areProven: boolean): number {
  const bytes = (of: Abilities) => Buffer.byteLength(JSON.stringify(requestBody(model, request, of)));
  if (areProven) return bytes(abilities);
  const worded: Abilities = { ...abilities, format: 'json_object', limit: 'max_completion_tokens' };
  return Math.max(bytes({ ...abilities, limit: 'max_completion_tokens' }), bytes(worded));
}

/** The schema in words, at the end of what stays the same from call to call. */
function withSchema(messages: readonly ChatMessage[], { answer }: ChatRequest): readonly ChatMessage[] {
  const [first, ...others] = messages;
  if (!first) return messages;
  return [{ ...first, content: `${first.content}\n\n${inWords(answer.schema)}` }, ...others];
}

export function inWords(schema: unknown): string {
  return `Answer with one JSON value and nothing else: no explanation, no code fence. It has to fit this JSON schema:\n${JSON.stringify(schema)}`;
}
