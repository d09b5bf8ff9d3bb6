import type { ChatRequest } from './chat-model.ts';
import { inWords } from './request-body.ts';

/** Beside the texts a prompt holds roles and separators. */
const overheadTokens = 64;

/** The context window of a model, and how it counts. */
interface Window {
  readonly contextTokens: number;
  tokensOf(text: string): number;
}

/** Of the window, what a request leaves free for its answer. */
function roomFor({ messages, answer }: ChatRequest, { contextTokens, tokensOf }: Window): number {
  const promptTokens = messages.reduce(
    (sum, { content }) => sum + tokensOf(content),
    tokensOf(JSON.stringify(answer.schema)) + overheadTokens,
  );
  return contextTokens - promptTokens;
}

/** The same with a limit four times, at least twice as large; null where the context window has no room for that. */
export function enlarged(request: ChatRequest, window: Window): ChatRequest | null {
  const room = roomFor(request, window);
  // Steps, not all the room there is: estimates move, and another limit is another request, which is paid again.
  const limit = [4, 2].map((times) => times * request.maxOutputTokens).find((tokens) => tokens <= room);
  return limit === undefined ? null : { ...request, maxOutputTokens: limit };
}

const longestQuote = 8000;
const longestProblem = 2000;
/** With less of the answer than that in front of it, a model can repair nothing. */
const shortestQuote = 200;

/**
 * The request once more, with what came of it and what is wrong with that. As much of the answer is quoted as the window
 * leaves beside the prompt and a new answer; null where that is next to nothing.
 */
export function repairOf(request: ChatRequest, content: string, problem: string, window: Window): ChatRequest | null {
  const repaired = (quote: string): ChatRequest => ({
    ...request,
    messages: [
      ...request.messages,
      // Some servers refuse an empty turn.
      { role: 'assistant', content: quote || '(nothing)' },
      {
        role: 'user',
        content: `This answer cannot be used. ${cut(problem, longestProblem)}\n${inWords(request.answer.schema)}`,
      },
    ],
  });
  const given = content.trim();
  // In steps: estimates move, and another quote is another request, which is paid again.
  for (let length = longestQuote; ; length = Math.floor((length * 2) / 3)) {
    const candidate = repaired(cut(given, length));
    if (roomFor(candidate, window) >= request.maxOutputTokens) return candidate;
    if (length < shortestQuote || given.length < shortestQuote) return null;
  }
}

function cut(text: string, length: number): string {
  return text.length <= length ? text : `${text.slice(0, length).toWellFormed()} […]`;
}
