import type { BatchLimits } from '../decider.ts';
import { consolidateSchema, consolidateSystem } from './prompts/consolidate-prompt.ts';

/** What there is to know of a model to fit a prompt to it. */
export interface ModelWindow {
  /** Prompt and answer together. */
  readonly contextTokens: number;
  tokensOf(text: string): number;
}

export interface WindowShares {
  /** What a batch is packed to. */
  readonly promptTokens: number;
  /** What one memory too long to share a prompt may take. */
  readonly longestPromptTokens: number;
  /** Reasoning included. */
  readonly answerTokens: number;
}

/** Read closely up to here: longer prompts are answered with fewer of the memories named. */
const mostPromptTokens = 6_000;
/** Reasoning counts as output; a small window gives a third of itself. */
const mostAnswerTokens = 8_192;
const mostMemories = 12;
const mostMemoryTokens = 3_000;
const mostObservationTokens = 3_000;
/** Roles and separators of a chat template. */
const templateTokens = 64;
/** Of what a prompt has for its batch. */
const shareOfMemories = 0.43;
const shareOfObservations = 0.43;
/** What an operation takes beside its text. */
const tokensAnOp = 60;

export function sharesOf(contextTokens: number): WindowShares {
  const promptTokens = Math.min(mostPromptTokens, Math.floor((contextTokens * 2) / 3));
  const answerTokens = Math.min(mostAnswerTokens, contextTokens - promptTokens);
  return { promptTokens, longestPromptTokens: contextTokens - answerTokens, answerTokens };
}

/** Tokens that every prompt of a purpose has: servers without a grammar of their own put the schema into the prompt. */
export function fixedTokens(window: ModelWindow, system: string, schema: unknown): number {
  return window.tokensOf(system) + window.tokensOf(JSON.stringify(schema)) + templateTokens;
}

/** A short memory with its frame, and the frame of the document. Whatever leaves less than that decides nothing. */
const leastDocumentTokens = 100;

/** Whether a prompt with this fixed part has room for anything at all. */
export function hasRoom(window: ModelWindow, fixed: number): boolean {
  return fixed + leastDocumentTokens <= sharesOf(window.contextTokens).longestPromptTokens;
}

/** What the largest packed prompt of a batch has for the batch itself. */
export function roomOf(window: ModelWindow): number {
  const { promptTokens } = sharesOf(window.contextTokens);
  return Math.max(0, promptTokens - fixedTokens(window, consolidateSystem, consolidateSchema));
}

/** Keys, quotes and dates around a text of the document, in bytes: an observation and one source of it have two of these. */
const frame = '.'.repeat(100);
/** What a memory without a context has beyond that. */
const frameOfMemory = '.'.repeat(60);

/** What a text takes up inside the document. */
function framedTokens(window: ModelWindow, text: string): number {
  return window.tokensOf(JSON.stringify(text) + frame);
}

/**
 * How much a batch may hold so that system prompt, notes, memories, observations and the answer fit the model's window
 * together. Pure.
 */
export function limitsFor(window: ModelWindow): BatchLimits {
  const { answerTokens } = sharesOf(window.contextTokens);
  const room = roomOf(window);
  const memories = Math.min(mostMemories, Math.max(1, Math.floor(answerTokens / (2 * tokensAnOp))));
  // What the memories say may come back as texts of the answer. The rest of the room is for mission and notes.
  const answerable = answerTokens - memories * tokensAnOp;
  const forMemories = Math.floor(room * shareOfMemories) - memories * window.tokensOf(frameOfMemory);
  return {
    memories,
    memoryTokens: Math.max(1, Math.min(mostMemoryTokens, forMemories, answerable)),
    observationTokens: Math.max(1, Math.min(mostObservationTokens, Math.floor(room * shareOfObservations))),
    tokensOf: (text) => framedTokens(window, text),
  };
}

/** The size of a call for a full batch: what the gate reserves for it is what a day has to have room for. */
export function fullCallOf(window: ModelWindow): { readonly promptBytes: number; readonly maxOutputTokens: number } {
  const { promptTokens, answerTokens } = sharesOf(window.contextTokens);
  const sample = 1000;
  const tokensPerByte = window.tokensOf('.'.repeat(sample)) / sample;
  return { promptBytes: Math.ceil(promptTokens / tokensPerByte), maxOutputTokens: answerTokens };
}

/** Whether an answer has room for this text word for word. */
export function fitsAnswer(window: ModelWindow, text: string): boolean {
  return window.tokensOf(JSON.stringify(text)) + 2 * tokensAnOp <= sharesOf(window.contextTokens).answerTokens;
}
