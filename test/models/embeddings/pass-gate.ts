import type { CallFacts, ModelGate, TokenUsage } from '../../../src/models/model-gate.ts';
import { type ModelContentError, ModelUnavailableError, ProviderError } from '../../../src/models/provider-errors.ts';

export interface PassGate extends ModelGate {
  readonly calls: readonly CallFacts[];
  readonly usages: readonly (TokenUsage | null)[];
  readonly contentFailures: readonly ModelContentError[];
}

/** A gate without limits that remembers what went through, and shuts for whatever is not the content's fault. */
export function createPassGate(endpoint: string, model: string): PassGate {
  const calls: CallFacts[] = [];
  const usages: (TokenUsage | null)[] = [];
  const contentFailures: ModelContentError[] = [];
  return {
    endpoint,
    model,
    calls,
    usages,
    contentFailures,
    async run(facts, perform, signal) {
      calls.push(facts);
      try {
        const { value, usage } = await perform(signal);
        usages.push(usage);
        return value;
      } catch (thrown) {
        if (!(thrown instanceof ProviderError)) throw thrown;
        const { errorClass } = thrown;
        throw new ModelUnavailableError(thrown.message, { errorClass, retryAt: new Date(0), cause: thrown });
      }
    },
    hasAnswered: () => usages.length > 0,
    storedAnswer: async () => undefined,
    misconfigured: async (message) =>
      new ModelUnavailableError(message, { errorClass: 'configuration', retryAt: new Date(0) }),
    readyAt: async () => null,
    tokensOf: (text) => Buffer.byteLength(text),
    async contentFailed(error) {
      contentFailures.push(error);
      return 'model';
    },
  };
}
