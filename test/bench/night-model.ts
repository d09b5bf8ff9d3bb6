import type { Batch, PairToJudge, ProposedOp, Verdict } from '../../src/consolidation/decider.ts';
import { createRulesDecider } from '../../src/consolidation/rules/rules-decider.ts';
import { wordVector } from '../support/fake-embedder.ts';
import { answer, type ScriptedRequest, tokensOfBytes } from '../support/scripted-model/reply.ts';
import {
  batchOf,
  honestScore,
  op,
  pairOf,
  purposeOf,
  rewriteOf,
  type ScriptedBatch,
  type ScriptedOp,
  scoresOf,
} from '../support/scripted-model/understand.ts';
import type { Handler } from '../support/scripted-model.ts';

const { signal } = new AbortController();
const options = { signal, bankId: 'night', subjectIds: [] };

/**
 * A model with the wits of the rules, so that its answers are as long as answers are: creates, reinforcements, successions
 * and conflicts where they belong.
 *
 * @param reasoningTokens that it thinks over a batch before it answers; a pair takes it a quarter of that
 */
export function modelOfRules(reasoningTokens: number): Handler {
  const rules = createRulesDecider();
  return async (request) => {
    const purpose = purposeOf(request);
    switch (purpose) {
      case 'consolidate': {
        const { ops } = await rules.propose(batchFrom(batchOf(request)), options);
        return charged(request, { ops: ops.map(written) }, reasoningTokens);
      }
      case 'adjudicate': {
        const { held, offered, admissible } = pairOf(request);
        const pair: PairToJudge = {
          held: { text: held.text, validFrom: date(held.valid_from) },
          offered: { text: offered.text, validFrom: date(offered.valid_from) },
          similarity: 1,
        };
        const judgement = await rules.adjudicate(pair, admissible as readonly Verdict[], options);
        return charged(request, judgement, reasoningTokens / 4);
      }
      case 'rewrite': {
        const { text, sources } = rewriteOf(request);
        const told = sources.map((source) => ({ text: source.text, mentionedAt: date(source.mentioned_at) }));
        return charged(request, await rules.rewrite({ text, sources: told }, options), reasoningTokens / 4);
      }
      case 'significance': {
        const { memories } = scoresOf(request);
        return charged(request, { scores: memories.map(honestScore) }, reasoningTokens / 4);
      }
      case 'check':
        return charged(request, { ok: true }, 0);
      case 'embed':
        throw new Error('embeddings are not chat');
      default:
        return purpose satisfies never;
    }
  };
}

function charged(request: ScriptedRequest, content: unknown, reasoningTokens: number) {
  const outputTokens = tokensOfBytes(Buffer.byteLength(JSON.stringify(content))) + reasoningTokens;
  return answer(content, { usage: { promptTokens: tokensOfBytes(request.bytes), outputTokens } });
}

function batchFrom({ mission, notes, memories, observations }: ScriptedBatch): Batch {
  return {
    mission,
    notes,
    memories: memories.map((memory) => ({
      alias: memory.id,
      text: memory.text,
      context: memory.context,
      occurredStart: null,
      occurredEnd: null,
      mentionedAt: date(memory.mentioned_at),
      embedding: wordVector(memory.text),
    })),
    observations: observations.map((observation) => ({
      alias: observation.id,
      text: observation.text,
      validFrom: date(observation.valid_from),
      occurredStart: null,
      occurredEnd: null,
      embedding: wordVector(observation.text),
      sources: [],
    })),
  };
}

function written(proposed: ProposedOp): ScriptedOp {
  const { op: kind, reason } = proposed;
  return op(kind, {
    reason,
    ...('target' in proposed && { target: proposed.target }),
    ...('into' in proposed && { into: proposed.into }),
    ...('as' in proposed && { as: proposed.as }),
    ...('text' in proposed && { text: proposed.text }),
    ...('memories' in proposed && { memories: proposed.memories }),
    ...('validFrom' in proposed && { valid_from: proposed.validFrom?.toISOString() ?? null }),
  });
}

function date(text: string | null): Date | null {
  return text === null ? null : new Date(text);
}
