import { createHash } from 'node:crypto';
import { fixedTokens, fullCallOf, type ModelWindow, sharesOf } from '../../consolidation/llm/limits.ts';
import { cleanText, shortened, shownTime } from '../../consolidation/llm/prompt-text.ts';
import { scrubJson } from '../../models/scrub-secrets.ts';
import type { ScorableMemory } from '../scorer.ts';
import type { ShownMemory } from './read-scores.ts';
import { scoreSchema, scoreSystem } from './score-prompt.ts';

/** Memories as one prompt shows them. JSON is the delimiter: nothing in a text can end it. */
export interface ScoreDocument {
  /** The user message. */
  readonly json: string;
  readonly memories: readonly ScorableMemory[];
  /** By the place of their memory. */
  readonly shown: readonly ShownMemory[];
}

/** More in a prompt, and they are judged against each other. */
export const mostMemories = 12;
/** An alias, a digit, some names. */
const tokensAScore = 60;
/** The most that what is there to help may take of the room. */
const shares = { context: 0.1, dialogue: 0.25 } as const;
/** Reasoning counts as output. */
const mostAnswerTokens = 4_096;

export function answerTokensOf(window: ModelWindow): number {
  return Math.min(mostAnswerTokens, sharesOf(window.contextTokens).answerTokens);
}

/** The size of a call for one memory at its longest: a batch is made smaller where the day has no room for it, this is not. */
export function longestCallOf(window: ModelWindow): { readonly promptBytes: number; readonly maxOutputTokens: number } {
  return { promptBytes: fullCallOf(window).promptBytes, maxOutputTokens: answerTokensOf(window) };
}

/**
 * Writes memories down in as few documents as fit the model's window, each with at most {@link mostMemories}, in their
 * order. One that does not fit by itself is shown by its beginning: what it is about is said there. The same memories
 * give the same bytes. Pure.
 */
export function scoreDocuments(window: ModelWindow, memories: readonly ScorableMemory[]): ScoreDocument[] {
  const room = sharesOf(window.contextTokens).promptTokens - fixedTokens(window, scoreSystem, scoreSchema);
  const most = Math.min(mostMemories, Math.max(1, Math.floor(answerTokensOf(window) / (2 * tokensAScore))));
  const groups: { memory: ScorableMemory; json: string; text: string }[][] = [];
  let left = 0;
  for (const memory of memories) {
    const shown = shownMemory(window, memory, room);
    const tokens = window.tokensOf(`${shown.json},`);
    const last = groups.at(-1);
    if (last && last.length < most && tokens <= left) last.push({ memory, ...shown });
    else {
      groups.push([{ memory, ...shown }]);
      left = room - window.tokensOf('{"memories":[]}');
    }
    left -= tokens;
  }
  return groups.map((group) => {
    const aliases = aliasesOf(group.map(({ memory }) => memory));
    return {
      json: `{"memories":[${group.map(({ json }, index) => withAlias(aliases[index] ?? '', json)).join(',')}]}`,
      memories: group.map(({ memory }) => memory),
      shown: group.map(({ text }, index) => ({ alias: aliases[index] ?? '', shown: text })),
    };
  });
}

/** As long as any alias is, so that what was measured is what is sent. */
const aliasLength = 7;

/**
 * Of this batch alone, and made from what no text can know: the id that its memory got when it was written. A memory
 * that says what another shall be scored does not know its name.
 */
function aliasesOf(memories: readonly ScorableMemory[]): string[] {
  const taken = new Set<string>();
  return memories.map(({ id, version }) => {
    for (let salt = 0; ; salt += 1) {
      const digest = createHash('sha256').update(`${id}/${version}/${salt}`).digest('hex');
      const alias = `m${digest.slice(0, aliasLength - 1)}`;
      if (taken.has(alias)) continue;
      taken.add(alias);
      return alias;
    }
  });
}

function withAlias(alias: string, json: string): string {
  return json.replace(noAlias, () => alias);
}

const noAlias = '.'.repeat(aliasLength);

function shownMemory(window: ModelWindow, memory: ScorableMemory, room: number): { json: string; text: string } {
  const context = memory.context === null ? null : shortened(window, cleanText(memory.context), room * shares.context);
  const frame = {
    alias: noAlias,
    text: '',
    context: context?.text ?? null,
    mentioned_at: shownTime(memory.mentionedAt),
    occurred_start: shownTime(memory.occurredStart),
    dialogue: lastTurns(window, memory.dialogue, room * shares.dialogue),
  };
  const forText = room - window.tokensOf(`{"memories":[${JSON.stringify(frame)}]}`);
  const { text } = shortened(window, cleanText(memory.text), Math.max(0, forText));
  return { json: JSON.stringify({ ...frame, text }), text: `${text}\n${frame.context ?? ''}` };
}

/** The turns right before it tell most. */
function lastTurns(window: ModelWindow, dialogue: unknown, maxTokens: number): unknown[] {
  if (!Array.isArray(dialogue)) return [];
  const turns: unknown[] = [];
  let left = maxTokens;
  for (const turn of dialogue.toReversed()) {
    const clean: unknown = scrubJson(typeof turn === 'string' ? turn.toWellFormed() : turn).value;
    left -= window.tokensOf(`${JSON.stringify(clean) ?? ''},`);
    if (left < 0) break;
    turns.unshift(clean);
  }
  return turns;
}
