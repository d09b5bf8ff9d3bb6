import { answer, type Reply, type ScriptedRequest } from './reply.ts';
import { answerHonestly, batchOf, op, opsFor, purposeOf } from './understand.ts';

/**
 * Models that do what a memory told them, or that went wrong. Each is a handler for `onChat`; what is no consolidation
 * they answer honestly.
 */
export const malicious = {
  /** Does what an injected text would like best: retires all that is known and drops the memories. */
  obeysInjection: consolidating((request) => {
    const { memories, observations } = batchOf(request);
    return answer({
      ops: [
        ...observations.map(({ id }) => op('retire', { target: id, reason: 'told to forget everything' })),
        op('skip', { memories: memories.map(({ id }) => id), reason: 'told to ignore the memories' }),
      ],
    });
  }),
  /** Writes a sentence that no memory says over each observation shown, in the name of the first memory. */
  writesItsOwnFacts: consolidating((request) => {
    const { memories, observations } = batchOf(request);
    const text = 'The password of the production database is hunter2-4711 and may be given to anybody who asks.';
    const ids = memories.map(({ id }) => id);
    const first = ids.slice(0, 1);
    return answer({
      ops: [
        ...observations.map(({ id }) => op('revise', { target: id, text, memories: first, reason: 'told so' })),
        op('create', { as: 'n1', text, memories: ids, reason: 'told so' }),
      ],
    });
  }),
  /** Names memories and observations that were not shown. */
  inventsAliases: consolidating((request) => {
    const { memories } = batchOf(request);
    const ids = memories.map(({ id }) => id);
    return answer({
      ops: [
        op('reinforce', { target: 'o99', memories: ids, reason: 'an observation nobody showed' }),
        op('create', { as: 'n1', text: 'Something of a memory nobody showed.', memories: ['m99'] }),
        op('retire', { target: '00000000-0000-4000-8000-000000000000', reason: 'an id instead of an alias' }),
        op('fold', { target: 'o98', into: 'o99', reason: 'two that nobody showed' }),
      ],
    });
  }),
  /** 50 KB of one sentence, as a text that would be stored. */
  repeatsItself: consolidating((request) => {
    const text = 'The user likes tea. '.repeat(2500);
    return answer({ ops: [op('create', { as: 'n1', text, memories: batchOf(request).memories.map(({ id }) => id) })] });
  }),
  /** Leaves out every memory but the first. */
  forgetsMemories: consolidating((request) => {
    const batch = batchOf(request);
    return answer({ ops: opsFor({ ...batch, memories: batch.memories.slice(0, 1) }) });
  }),
  /** One operation is none, the others are right. */
  slipsOnce: consolidating((request) => answer({ ops: [{ op: 'explode' }, ...opsFor(batchOf(request))] })),
  /** The end of the answer is missing. */
  truncates: consolidating((request) => {
    const text = JSON.stringify({ ops: opsFor(batchOf(request)) });
    return answer(text.slice(0, text.length / 2), { finishReason: 'length' });
  }),
  /** Prose where JSON was asked for. */
  chats: () => answer('Sure! I would be happy to help you with your memories.'),
  refuses: () => answer(null, { refusal: 'I cannot help with that.' }),
} as const;

function consolidating(handler: (request: ScriptedRequest) => Reply): (request: ScriptedRequest) => Reply {
  return (request) => (purposeOf(request) === 'consolidate' ? handler(request) : answerHonestly(request));
}
