import type { Batch, BatchMemory, BatchObservation } from '../../../src/consolidation/decider.ts';

const noVector = new Float32Array(1);

export const day = (iso: string) => new Date(`${iso}T09:00:00.000Z`);

export function memory(alias: string, text: string, more: Partial<BatchMemory> = {}): BatchMemory {
  return {
    alias,
    text,
    context: null,
    occurredStart: null,
    occurredEnd: null,
    mentionedAt: day('2026-03-05'),
    embedding: noVector,
    ...more,
  };
}

export function observation(alias: string, text: string, more: Partial<BatchObservation> = {}): BatchObservation {
  return {
    alias,
    text,
    validFrom: day('2026-03-01'),
    occurredStart: null,
    occurredEnd: null,
    embedding: noVector,
    sources: [],
    ...more,
  };
}

export function batchOf(
  memories: readonly BatchMemory[],
  observations: readonly BatchObservation[] = [],
  more: Partial<Batch> = {},
): Batch {
  return { mission: '', notes: [], memories, observations, ...more };
}

/** An operation as a model writes it: null where a field does not apply. */
export function written(op: string, fields: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    op,
    target: null,
    into: null,
    as: null,
    text: null,
    memories: [],
    valid_from: null,
    reason: 'so',
    ...fields,
  };
}
