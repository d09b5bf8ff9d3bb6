import { lossyJson } from '../ingest/lossy-json.ts';
import { ApiError } from './api-error.ts';

/**
 * The value of a JSON body; undefined where the body is empty.
 *
 * @throws ApiError 400 for bad UTF-8 and bad JSON, 422 for a hidden prototype and a number that no double holds
 */
export function parseJsonBody(body: Buffer): unknown {
  if (body.length === 0) return undefined;
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(body);
  } catch {
    throw new ApiError(400, 'BAD_JSON', 'the body is not valid UTF-8');
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // Not what the parser says: it quotes the text.
    throw new ApiError(400, 'BAD_JSON', 'the body is not valid JSON');
  }
  const lossy = lossyJson(value);
  if (lossy)
    throw new ApiError(422, 'INVALID', `${lossy.path === '' ? 'the body' : lossy.path}: ${lossy.message}`, [lossy]);
  return value;
}
