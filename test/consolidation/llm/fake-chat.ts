import type { ChatContext, ChatModel, ChatRequest } from '../../../src/models/chat/chat-model.ts';
import { ModelContentError, ModelUnavailableError } from '../../../src/models/provider-errors.ts';

export interface Asked {
  readonly request: ChatRequest;
  readonly context: ChatContext;
  /** The user message, read. */
  // biome-ignore lint/suspicious/noExplicitAny: tests look into it at will
  readonly document: any;
}

/** A chat model that answers what the test says, as JSON that has been through a wire. */
export interface FakeChat extends ChatModel {
  readonly asked: readonly Asked[];
  answer: (asked: Asked) => unknown;
  retryAt: Date | null;
  blamed: 'memory' | 'model';
}

export function createFakeChat(
  options: { model?: string; contextTokens?: number; tokensPerByte?: number; endpoint?: string } = {},
): FakeChat {
  const asked: Asked[] = [];
  const { model = 'fake', contextTokens = 128_000, tokensPerByte = 0.3, endpoint = 'http://fake/v1' } = options;
  return {
    model,
    endpoint,
    contextTokens,
    asked,
    answer: () => ({ ops: [] }),
    retryAt: null,
    blamed: 'memory',
    tokensOf: (text) => Math.ceil(Buffer.byteLength(text) * tokensPerByte),
    async ask(request, read, context) {
      const one: Asked = { request, context, document: JSON.parse(request.messages[1]?.content ?? '') };
      asked.push(one);
      const answer = this.answer(one);
      if (answer instanceof Error) throw answer;
      const result = read(JSON.parse(JSON.stringify(answer)));
      if ('value' in result) return result.value;
      throw new ModelContentError('malformed', result.problem, { sentAtMs: 0 });
    },
    async windowTooSmall(fixedTokens) {
      const retryAt = new Date(0);
      return new ModelUnavailableError(`${fixedTokens} tokens`, { errorClass: 'configuration', retryAt });
    },
    async readyAt() {
      return this.retryAt;
    },
    async contentFailed() {
      return this.blamed;
    },
  };
}
