import type { AnswerReader, ChatContext, ChatModel, ChatRequest } from '../../../src/models/chat/chat-model.ts';
import { type ChatModelOptions, createChatModel } from '../../../src/models/chat/create-chat-model.ts';
import { createOpenAiClient } from '../../../src/models/openai/create-client.ts';
import { systemClock } from '../../../src/telemetry/clock.ts';
import { silentLog } from '../../../src/telemetry/log.ts';
import type { ScriptedModel } from '../../support/scripted-model.ts';
import type { TestDatabase } from '../../support/test-database.ts';
import { createFakeGate, type FakeGate } from './fake-gate.ts';

export interface ChatBench {
  readonly chat: ChatModel;
  readonly gate: FakeGate;
}

/** A chat model against the scripted server, through the real client. */
export function createChatBench(
  database: TestDatabase,
  scripted: ScriptedModel,
  options: Partial<ChatModelOptions> & { readonly name?: string } = {},
): ChatBench {
  const { name = 'scripted', ...given } = options;
  const gate = createFakeGate(scripted.baseUrl, name);
  const chat = createChatModel({
    gate,
    client: createOpenAiClient({ apiKey: 'sk-test-0123456789abcdefghij', baseUrl: scripted.baseUrl }),
    db: database.db,
    clock: systemClock,
    log: silentLog,
    metrics: database.metrics,
    settings: {
      baseUrl: 'OPENAI_BASE_URL',
      apiKey: 'OPENAI_API_KEY',
      model: 'ENGRAMD_LLM_MODEL',
      timeout: 'ENGRAMD_LLM_TIMEOUT',
      size: 'ENGRAMD_LLM_CONTEXT_TOKENS',
    },
    timeoutMs: 30_000,
    ...given,
  });
  return { chat, gate };
}

export const schema = {
  type: 'object',
  properties: { verdict: { type: 'string' }, reason: { type: 'string' } },
  required: ['verdict', 'reason'],
  additionalProperties: false,
} as const;

export function pairRequest(text = 'tea', changes: Partial<ChatRequest> = {}): ChatRequest {
  const side = { text, valid_from: null };
  return {
    purpose: 'adjudicate',
    messages: [
      { role: 'system', content: 'Judge the pair.' },
      { role: 'user', content: JSON.stringify({ held: side, offered: side, admissible: [] }) },
    ],
    answer: { name: 'adjudication', schema },
    promptVersion: 'test/1',
    maxOutputTokens: 100,
    ...changes,
  };
}

export const readVerdict: AnswerReader<string> = (json) =>
  typeof json === 'object' && json !== null && 'verdict' in json && typeof json.verdict === 'string'
    ? { value: json.verdict }
    : { problem: 'The field "verdict" is missing.' };

export function context(changes: Partial<ChatContext> = {}): ChatContext {
  return { bankId: 'bank', subjectIds: [], memories: 1, signal: new AbortController().signal, ...changes };
}
