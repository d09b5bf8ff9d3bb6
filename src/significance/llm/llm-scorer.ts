import { fixedTokens, hasRoom } from '../../consolidation/llm/limits.ts';
import type { ChatModel } from '../../models/chat/chat-model.ts';
import { localDay } from '../../models/local-day.ts';
import { ModelContentError, ScoreTooLargeError } from '../../models/provider-errors.ts';
import type { Clock } from '../../telemetry/clock.ts';
import type { Log } from '../../telemetry/log.ts';
import type { ScorableMemory, ScoreAnswer, Scorer } from '../scorer.ts';
import { readScores } from './read-scores.ts';
import { answerTokensOf, mostMemories, type ScoreDocument, scoreDocuments } from './score-documents.ts';
import { scoreSchema, scoreSystem, scoreVersion } from './score-prompt.ts';

interface ScoreRun {
  readonly chat: ChatModel;
  readonly bankId: string;
  readonly signal: AbortSignal;
  readonly tellTooLarge: (error: ScoreTooLargeError, memoryId: string) => void;
}

/**
 * The scorer that asks a language model, once for a batch. What gets no usable answer is halved until it is known which
 * memory it is (law L8); answers that were paid for on the way are kept under their requests, and found again. What is more
 * than half of any day is halved, too; one memory that is more than that waits for a larger budget, and is in nobody's way.
 */
export function createLlmScorer(chat: ChatModel, deps: { readonly clock: Clock; readonly log: Log }): Scorer {
  const { clock, log } = deps;
  let toldOn: string | undefined;
  /** Once a day: it is looked at each hour, and may be true of many. */
  function tellTooLarge({ message }: ScoreTooLargeError, memoryId: string): void {
    const day = localDay(clock.now());
    if (toldOn === day) return;
    toldOn = day;
    log.warn({ model: chat.model, memory: memoryId }, `a memory waits for its score: ${message}`);
  }
  return {
    name: 'llm',
    scoredBy: `llm/${chat.model}/${scoreVersion}`,
    batchSize: mostMemories,
    readyAt: () => chat.readyAt('significance'),
    async score(bankId, memories, { signal }) {
      signal.throwIfAborted();
      const fixed = fixedTokens(chat, scoreSystem, scoreSchema);
      if (!hasRoom(chat, fixed)) throw await chat.windowTooSmall(fixed, signal);
      return scoreEach({ chat, bankId, signal, tellTooLarge }, memories);
    },
  };
}

async function scoreEach(run: ScoreRun, memories: readonly ScorableMemory[]): Promise<ScoreAnswer[]> {
  const answers: ScoreAnswer[] = [];
  for (const document of scoreDocuments(run.chat, memories)) answers.push(...(await scoreDocument(run, document)));
  return answers;
}

async function scoreDocument(run: ScoreRun, document: ScoreDocument): Promise<readonly ScoreAnswer[]> {
  const { memories } = document;
  try {
    return await ask(run, document);
  } catch (thrown) {
    if (!(thrown instanceof ModelContentError || thrown instanceof ScoreTooLargeError)) throw thrown;
    const [only, ...others] = memories;
    if (only === undefined) return [];
    if (others.length > 0) {
      const half = Math.ceil(memories.length / 2);
      const first = await scoreEach(run, memories.slice(0, half));
      return [...first, ...(await scoreEach(run, memories.slice(half)))];
    }
    if (thrown instanceof ScoreTooLargeError) {
      run.tellTooLarge(thrown, only.id);
      return [{ kind: 'postponed', why: thrown.message }];
    }
    const why = `the model's answer was ${thrown.kind}`;
    const blamed = await run.chat.contentFailed(thrown, only.id, 'significance');
    return [{ kind: blamed === 'memory' ? 'refused' : 'postponed', why }];
  }
}

function ask({ chat, bankId, signal }: ScoreRun, document: ScoreDocument): Promise<readonly ScoreAnswer[]> {
  return chat.ask(
    {
      purpose: 'significance',
      messages: [
        { role: 'system', content: scoreSystem },
        { role: 'user', content: document.json },
      ],
      answer: { name: 'significance', schema: scoreSchema },
      promptVersion: `significance/${scoreVersion}`,
      maxOutputTokens: answerTokensOf(chat),
    },
    (json) => readScores(json, document.shown),
    {
      bankId,
      subjectIds: document.memories.map(({ id }) => id),
      memories: document.memories.length,
      signal,
    },
  );
}
