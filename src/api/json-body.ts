import { ApiError } from './api-error.ts';

/** The value of a JSON body; undefined where the body is empty. Neither bad UTF-8 nor a hidden prototype passes. */
export function parseJsonBody(body: Buffer): unknown {
  if (body.length === 0) return undefined;
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(body);
  } catch {
    throw new ApiError(400, 'BAD_JSON', 'the body is not valid UTF-8');
  }
  try {
    return JSON.parse(text);
  } catch {
    // Not what the parser says: it quotes the text.
    throw new ApiError(400, 'BAD_JSON', 'the body is not valid JSON');
  }
}
