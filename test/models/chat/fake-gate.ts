import type { CallFacts, ModelGate, Performed } from '../../../src/models/model-gate.ts';
import { endpointOf } from '../../../src/models/openai/create-client.ts';
import { ModelUnavailableError } from '../../../src/models/provider-errors.ts';

export interface FakeGate extends ModelGate {
  /** What `run` was told, oldest first, and what came of it. */
  readonly runs: readonly { readonly facts: CallFacts; readonly performed?: Performed<unknown> }[];
  /** Answers by bank and hash, kept as the real one does: through JSON. */
  readonly answers: ReadonlyMap<string, string>;
  /** Forgets what was asked, not what was answered: a process that starts again. */
  restart(): void;
}

/** Lets everything through, counts it and keeps the answers. */
export function createFakeGate(baseUrl: string, model = 'scripted'): FakeGate {
  const runs: { facts: CallFacts; performed?: Performed<unknown> }[] = [];
  const answers = new Map<string, string>();
  let hasAnswered = false;
  const key = (bankId: string, hash: Buffer) => `${bankId} ${hash.toString('hex')}`;
  return {
    endpoint: endpointOf(baseUrl),
    model,
    runs,
    answers,
    hasAnswered: () => hasAnswered,
    async run(facts, perform, signal) {
      signal.throwIfAborted();
      const run: { facts: CallFacts; performed?: Performed<unknown> } = { facts };
      runs.push(run);
      const performed = await perform(signal);
      run.performed = performed;
      hasAnswered ||= performed.isUsable !== false;
      if (facts.bankId !== null && performed.answer !== undefined) {
        answers.set(key(facts.bankId, facts.requestHash), JSON.stringify(performed.answer));
      }
      return performed.value;
    },
    async storedAnswer(bankId, requestHash) {
      const kept = answers.get(key(bankId, requestHash));
      return kept === undefined ? undefined : JSON.parse(kept);
    },
    misconfigured: async (message) =>
      new ModelUnavailableError(message, { errorClass: 'configuration', retryAt: new Date(0) }),
    readyAt: async () => new Date(0),
    tokensOf: (text) => Math.ceil(Buffer.byteLength(text) / 4),
    contentFailed: async () => 'memory',
    restart() {
      runs.length = 0;
    },
  };
}
