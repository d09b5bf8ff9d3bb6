import type { ChatRequest } from './chat-model.ts';
import { inWords } from './request-body.ts';

/** Beside the texts a prompt holds roles and separators. */
const overheadTokens = 64;

/** The same with a limit four times, at least twice as large; null where the context window has no room for that. */
export function enlarged(
  request: ChatRequest,
  contextTokens: number,
  tokensOf: (text: string) => number,
): ChatRequest | null {
  const promptTokens = request.messages.reduce(
    (sum, { content }) => sum + tokensOf(content),
    tokensOf(JSON.stringify(request.answer.schema)) + overheadTokens,
  );
  const room = contextTokens - promptTokens;
  // Steps, not all the room there is: estimates move, and another limit is another request, which is paid again.
  const limit = [4, 2].map((times) => times * request.maxOutputTokens).find((tokens) => tokens <= room);
  return limit === undefined ? null : { ...request, maxOutputTokens: limit };
}

const longestQuote = 8000;
const longestProblem = 2000;

/** The request once more, with what came of it and what is wrong with that. */
export function repairOf(request: ChatRequest, content: string, problem: string): ChatRequest {
  return {
    ...request,
    messages: [
      ...request.messages,
      // Some servers refuse an empty turn.
      { role: 'assistant', content: cut(content.trim(), longestQuote) || '(nothing)' },
      {
        role: 'user',
        content: `This answer cannot be used. ${cut(problem, longestProblem)}\n${inWords(request.answer.schema)}`,
      },
    ],
  };
}

function cut(text: string, length: number): string {
  return text.length <= length ? text : `${text.slice(0, length).toWellFormed()} […]`;
}
