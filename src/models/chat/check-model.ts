import type { ChatModel, ChatRequest } from './chat-model.ts';

/** As little as can be asked, with room for a reasoning model to think about it. */
const request: ChatRequest = {
  purpose: 'check',
  messages: [
    { role: 'system', content: 'This is a check of the connection. Answer with the JSON object {"ok": true}.' },
    { role: 'user', content: '{}' },
  ],
  answer: {
    name: 'check',
    schema: {
      type: 'object',
      properties: { ok: { type: 'boolean' } },
      required: ['ok'],
      additionalProperties: false,
    },
  },
  promptVersion: 'check/1',
  maxOutputTokens: 1024,
};

/**
 * Whether the model answers, in JSON. Costs a few tokens; never answered from what is stored.
 *
 * @throws as `ChatModel.ask`; the message says what to change
 */
export async function checkModel(chat: ChatModel, signal: AbortSignal): Promise<void> {
  const read = (json: unknown) =>
    typeof json === 'object' && json !== null && 'ok' in json && json.ok === true
      ? { value: undefined }
      : { problem: 'It is not {"ok": true}.' };
  await chat.ask(request, read, { bankId: null, subjectIds: [], memories: 0, signal });
}
