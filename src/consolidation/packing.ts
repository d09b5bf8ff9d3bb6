import type { DueMemory } from '../store/due-memories.ts';
import type { BatchLimits } from './decider.ts';
import { type AttemptEnd, type Suspicion, suspicionOf } from './suspects.ts';

/** Four characters a token, the usual rule of thumb for English; a model brings its own figure. */
export function estimateTokens(text: string): number {
  return Math.ceil(text.length / 4);
}

/**
 * Of a decider that has no window of its own. A batch is one call: few enough memories to be read closely, small enough
 * for a modest context window.
 */
export const batchLimits = {
  memories: 12,
  memoryTokens: 3_000,
  observationTokens: 3_000,
  tokensOf: estimateTokens,
} as const satisfies BatchLimits;

/** As of now: a model's own figures get better as it answers. */
export function limitsOf(deps: {
  readonly decider: { readonly limits: BatchLimits };
  readonly batchMemories?: number;
}): BatchLimits {
  const { limits } = deps.decider;
  return deps.batchMemories === undefined ? limits : { ...limits, memories: deps.batchMemories };
}

export interface PackedBatch {
  readonly memories: readonly DueMemory[];
  /** To be decided with nothing else in flight: its memories were in two crashes in a row. */
  readonly alone: boolean;
}

export interface Packing {
  readonly batches: readonly PackedBatch[];
  /** Memories that crashed the process twice on their own. */
  readonly guilty: readonly DueMemory[];
}

/** What a memory takes of a batch's room. */
export function memoryTokens(
  memory: Pick<DueMemory, 'text' | 'context'>,
  limits: Pick<BatchLimits, 'tokensOf'>,
): number {
  return limits.tokensOf(memory.text) + (memory.context === null ? 0 : limits.tokensOf(memory.context));
}

/**
 * Cuts due memories, given oldest first, into batches of one scope (law L7) within the limits. A memory over the token
 * limit gets a batch to itself: it is never left out. Suspects are kept from everybody else.
 */
export function packBatches(
  memories: readonly DueMemory[],
  endsOf: (memoryId: string) => readonly AttemptEnd[],
  limits: BatchLimits,
): Packing {
  const maxMemories = Math.max(1, limits.memories);
  const judged = memories.map((memory) => ({ memory, suspicion: suspicionOf(endsOf(memory.id)) }));
  const guilty = judged.filter((entry) => entry.suspicion.kind === 'guilty').map((entry) => entry.memory);
  const open = new Map<string, { memories: DueMemory[]; tokens: number }>();
  const batches: PackedBatch[] = [];

  for (const { memory, suspicion } of judged) {
    if (suspicion.kind === 'guilty') continue;
    const limit = suspicion.kind === 'suspect' ? Math.min(suspicion.batchLimit, maxMemories) : maxMemories;
    const key = JSON.stringify([memory.tags, suspicion.kind === 'suspect' ? suspicion.batchLimit : 0]);
    const tokens = memoryTokens(memory, limits);
    let batch = open.get(key);
    if (!batch || batch.memories.length >= limit || batch.tokens + tokens > limits.memoryTokens) {
      batch = { memories: [], tokens: 0 };
      open.set(key, batch);
      batches.push({ memories: batch.memories, alone: isSuspect(suspicion) });
    }
    batch.memories.push(memory);
    batch.tokens += tokens;
  }
  return { batches, guilty };
}

function isSuspect(suspicion: Suspicion): boolean {
  return suspicion.kind === 'suspect';
}
