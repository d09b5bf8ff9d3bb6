import type { Batch, RewriteRequest } from '../decider.ts';
import { validateProposal } from '../validators/validate-proposal.ts';
import { fixedTokens, type ModelWindow, sharesOf } from './limits.ts';
import { cleanText, shortened, shownTime } from './prompt-text.ts';
import { rewriteSchema, rewriteSystem } from './prompts/rewrite-prompt.ts';
import { cleanReason } from './read-operations.ts';
import { sameWords } from './same-words.ts';

export interface Rewriting {
  readonly text: string;
  readonly reason: string;
}

/**
 * A text that needs no model: the old one where a source says it word for word, the words of the only source left. Null:
 * several sources have to be put together.
 */
export function rewrittenAlone({ text, sources }: RewriteRequest): Rewriting | null {
  if (sources.some((source) => sameWords(source.text, text))) return { text, reason: 'a source still says so' };
  const [only, ...others] = sources;
  if (only && others.length === 0) return { text: only.text, reason: 'the words of the only source left' };
  return null;
}

/** What is written where the model's words may not be: nothing can have been invented on the way. */
export function newestSource({ text, sources }: RewriteRequest, why: string): Rewriting {
  const newest = sources.reduce<RewriteRequest['sources'][number] | undefined>(
    // Oldest first: of two that cannot be compared, the one that came later.
    (latest, source) => ((source.mentionedAt ?? 0) >= (latest?.mentionedAt ?? 0) ? source : latest),
    undefined,
  );
  return { text: newest?.text ?? text, reason: `the words of the newest source left: ${why}` };
}

/**
 * The user message, or null where the sources do not fit the model's window whole: what is put together from beginnings
 * would drop what stands at the ends.
 */
export function rewriteDocument(window: ModelWindow, { text, sources }: RewriteRequest): string | null {
  const room = sharesOf(window.contextTokens).longestPromptTokens - fixedTokens(window, rewriteSystem, rewriteSchema);
  if (room <= 0) return null;
  const json = JSON.stringify({
    text: shortened(window, cleanText(text), Math.floor(room / 4)).text,
    sources: sources.map((source) => ({ text: cleanText(source.text), mentioned_at: shownTime(source.mentionedAt) })),
  });
  return window.tokensOf(json) <= room ? json : null;
}

/** Reads `{"text", "reason"}`. Pure, and takes any JSON. */
export function readRewriting(json: unknown): { readonly value: Rewriting } | { readonly problem: string } {
  const text = typeof json === 'object' && json !== null && 'text' in json ? json.text : undefined;
  if (typeof text !== 'string' || text.trim() === '') {
    return { problem: 'The answer has to be one JSON object with "text" and "reason".' };
  }
  const reason = typeof json === 'object' && json !== null && 'reason' in json ? json.reason : '';
  return { value: { text: text.trim(), reason: cleanReason(typeof reason === 'string' ? reason : '') } };
}

/**
 * Why a rewritten text may not be written; null: it may. Judged as a new text of the sources that are left, and of them
 * alone: what came from the one that is gone is an invention now.
 */
export function objectionTo(rewriting: Rewriting, { sources }: RewriteRequest): string | null {
  const memories: Batch['memories'] = sources.map((source, index) => ({
    alias: `m${index + 1}`,
    text: source.text,
    context: null,
    occurredStart: null,
    occurredEnd: null,
    mentionedAt: source.mentionedAt,
    embedding: noVector,
  }));
  const batch: Batch = { mission: '', memories, observations: [], notes: [] };
  const judged = validateProposal(batch, {
    ops: [
      {
        op: 'create',
        as: 'n1',
        text: rewriting.text,
        memories: memories.map(({ alias }) => alias),
        validFrom: null,
        reason: rewriting.reason,
      },
    ],
  });
  const [refused] = judged.rejected;
  return refused ? `${refused.validator}: ${refused.reason}` : null;
}

/** No judge looks at vectors. */
const noVector = new Float32Array(0);
