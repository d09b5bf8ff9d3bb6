import { createHash } from 'node:crypto';
import { canonicalJson } from '../canonical-json.ts';
import type { ChatRequest } from './chat-model.ts';

/**
 * SHA-256 over everything that an answer depends on. How the request is worded for a server that understands less is no
 * part of it: the answer found under it is one to the same question.
 */
export function requestHash(
  target: { readonly endpoint: string; readonly model: string },
  request: ChatRequest,
): Buffer {
  const { answer, maxOutputTokens, messages, promptVersion } = request;
  return createHash('sha256')
    .update(
      canonicalJson({
        endpoint: target.endpoint,
        model: target.model,
        messages: messages.map(({ role, content }) => ({ role, content })),
        name: answer.name,
        schema: answer.schema,
        promptVersion,
        maxOutputTokens,
      }),
    )
    .digest();
}
