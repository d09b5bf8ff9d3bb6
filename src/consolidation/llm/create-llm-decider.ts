import type { ChatContext, ChatModel } from '../../models/chat/chat-model.ts';
import { ModelContentError } from '../../models/provider-errors.ts';
import { EngramdError } from '../../telemetry/engramd-error.ts';
import type { Batch, DecideOptions, Decider, PairToJudge, Proposal, RewriteRequest, Verdict } from '../decider.ts';
import { consolidateDocument } from './consolidate-document.ts';
import { fixedTokens, hasRoom, limitsFor, sharesOf } from './limits.ts';
import { normaliseOperations } from './normalise-operations.ts';
import { cleanText, shownTime } from './prompt-text.ts';
import { adjudicateSchema, adjudicateSystem, adjudicateVersion } from './prompts/adjudicate-prompt.ts';
import { consolidateSchema, consolidateSystem, consolidateVersion } from './prompts/consolidate-prompt.ts';
import { rewriteSchema, rewriteSystem, rewriteVersion } from './prompts/rewrite-prompt.ts';
import { readJudgement } from './read-judgement.ts';
import { type ReadOperations, readOperations } from './read-operations.ts';
import { newestSource, objectionTo, readRewriting, rewriteDocument, rewrittenAlone } from './rewriting.ts';
import { needsNoVerdict } from './same-words.ts';

/** Of all prompts together: a change of any of them may change a decision. */
const promptVersion = `${consolidateVersion}.${adjudicateVersion}.${rewriteVersion}`;

/** The decider that asks language models: one for batches and rewriting, one, often smaller, for pairs. */
export function createLlmDecider(models: { readonly consolidate: ChatModel; readonly adjudicate: ChatModel }): Decider {
  const { consolidate, adjudicate } = models;
  const failedAt = new WeakMap<ModelContentError, ChatModel>();
  /** Keeps which of the models an error came from: which one has answered since is asked of that one. */
  const asking = async <T>(chat: ChatModel, ask: () => Promise<T>): Promise<T> => {
    try {
      return await ask();
    } catch (thrown) {
      if (thrown instanceof ModelContentError) failedAt.set(thrown, chat);
      throw thrown;
    }
  };

  return {
    name: nameOf(consolidate, adjudicate),
    asksModel: true,
    get limits() {
      return limitsFor(consolidate);
    },
    readsSources: true,
    propose: (batch, options) => asking(consolidate, () => proposeByModel(consolidate, batch, options)),
    adjudicate: (pair, admissible, options) =>
      asking(adjudicate, () => adjudicateByModel(adjudicate, pair, admissible, options)),
    rewrite: (request, options) => asking(consolidate, () => rewriteByModel(consolidate, request, options)),
    async readyAt() {
      const [one, other] = await Promise.all([consolidate.readyAt(), adjudicate.readyAt()]);
      return one !== null && other !== null && other > one ? other : (one ?? other);
    },
    async blames(thrown, about) {
      const chat = thrown instanceof ModelContentError ? failedAt.get(thrown) : undefined;
      if (chat && thrown instanceof ModelContentError) return chat.contentFailed(thrown, about);
      // What passes by itself is no memory's fault. Anything else is: a text that the embedder makes nothing of, or a
      // mistake of ours over it, and it alone shall rest.
      return thrown instanceof EngramdError && thrown.retryable ? 'model' : 'memory';
    },
  };
}

function nameOf(consolidate: ChatModel, adjudicate: ChatModel): string {
  const second =
    adjudicate.model === consolidate.model && adjudicate.endpoint === consolidate.endpoint
      ? ''
      : ` + ${adjudicate.model}`;
  return `llm/${promptVersion} ${consolidate.model}${second}`;
}

/** A window that not even the instructions fit is no reason to decide anything without the model. @throws ModelUnavailableError */
async function assertRoom(chat: ChatModel, system: string, schema: unknown, signal: AbortSignal): Promise<void> {
  const fixed = fixedTokens(chat, system, schema);
  if (!hasRoom(chat, fixed)) throw await chat.windowTooSmall(fixed, signal);
}

async function proposeByModel(chat: ChatModel, batch: Batch, options: DecideOptions): Promise<Proposal> {
  options.signal.throwIfAborted();
  await assertRoom(chat, consolidateSystem, consolidateSchema, options.signal);
  const document = consolidateDocument(chat, batch);
  const read: ReadOperations =
    document.memories.length === 0
      ? { ops: [], malformed: [] }
      : await chat.ask(
          {
            purpose: 'consolidate',
            messages: [
              { role: 'system', content: consolidateSystem },
              { role: 'user', content: document.json },
            ],
            answer: { name: 'consolidation', schema: consolidateSchema },
            promptVersion: `consolidate/${consolidateVersion}`,
            maxOutputTokens: sharesOf(chat.contextTokens).answerTokens,
          },
          (json) => readOperations(json, mostOpsFor(batch)),
          contextOf(options, document.memories.length),
        );
  // An answer from before a crash may be about a memory that is too long by now.
  const named = new Set(read.ops.flatMap((op) => op.memories));
  const verbatim = batch.memories
    .filter((memory) => document.tooLong.includes(memory.alias) && !named.has(memory.alias))
    .map((memory) => ({
      op: 'create' as const,
      target: null,
      into: null,
      as: null,
      text: memory.text,
      memories: [memory.alias],
      validFrom: null,
      reason: `too long for the window of ${chat.model} (${chat.contextTokens} tokens): kept word for word`,
    }));
  return normaliseOperations(batch, document.cut, { ...read, ops: [...read.ops, ...verbatim] });
}

/** Two facts a memory are usual, five are many; each observation may be folded or ended. */
function mostOpsFor(batch: Batch): number {
  return 16 + 5 * batch.memories.length + 2 * batch.observations.length;
}

async function adjudicateByModel(
  chat: ChatModel,
  pair: PairToJudge,
  admissible: readonly Verdict[],
  options: DecideOptions,
) {
  options.signal.throwIfAborted();
  if (needsNoVerdict(pair, admissible)) return { verdict: 'same' as const, reason: 'the same words' };
  const schema = adjudicateSchema(admissible);
  await assertRoom(chat, adjudicateSystem, schema, options.signal);
  const { longestPromptTokens, answerTokens } = sharesOf(chat.contextTokens);
  const room = longestPromptTokens - fixedTokens(chat, adjudicateSystem, schema);
  const json = JSON.stringify({
    held: { text: cleanText(pair.held.text), valid_from: shownTime(pair.held.validFrom) },
    offered: { text: cleanText(pair.offered.text), valid_from: shownTime(pair.offered.validFrom) },
    admissible,
  });
  // Half a text says nothing of the other half.
  if (chat.tokensOf(json) > room) {
    const reason = `too long for the window of ${chat.model} (${chat.contextTokens} tokens): both stay`;
    return { verdict: 'different' as const, reason };
  }
  return chat.ask(
    {
      purpose: 'adjudicate',
      messages: [
        { role: 'system', content: adjudicateSystem },
        { role: 'user', content: json },
      ],
      answer: { name: 'adjudication', schema },
      promptVersion: `adjudicate/${adjudicateVersion}`,
      maxOutputTokens: Math.min(answerTokens, shortAnswerTokens),
    },
    (answer) => readJudgement(answer, admissible),
    contextOf(options, 0),
  );
}

/** A verdict is a line; the rest is for models that think first. */
const shortAnswerTokens = 4_096;

async function rewriteByModel(chat: ChatModel, request: RewriteRequest, options: DecideOptions) {
  options.signal.throwIfAborted();
  const alone = rewrittenAlone(request);
  if (alone) return alone;
  await assertRoom(chat, rewriteSystem, rewriteSchema, options.signal);
  const json = rewriteDocument(chat, request);
  if (json === null) return newestSource(request, `all of them are too long for the window of ${chat.model}`);
  try {
    const rewriting = await chat.ask(
      {
        purpose: 'rewrite',
        messages: [
          { role: 'system', content: rewriteSystem },
          { role: 'user', content: json },
        ],
        answer: { name: 'rewriting', schema: rewriteSchema },
        promptVersion: `rewrite/${rewriteVersion}`,
        maxOutputTokens: sharesOf(chat.contextTokens).answerTokens,
      },
      readRewriting,
      contextOf(options, 0),
    );
    const objection = objectionTo(rewriting, request);
    return objection === null ? rewriting : newestSource(request, `the model's were refused by ${objection}`);
  } catch (thrown) {
    // It was about these texts and will be again. A malformed answer may be the model's fault, which others have to judge.
    if (thrown instanceof ModelContentError && thrown.kind !== 'malformed') {
      return newestSource(request, `the model's answer was ${thrown.kind}`);
    }
    throw thrown;
  }
}

function contextOf(options: DecideOptions, memories: number): ChatContext {
  const { bankId, subjectIds, signal, onRequest, answeredBefore } = options;
  return { bankId, subjectIds, memories, signal, onRequest, answeredBefore };
}
