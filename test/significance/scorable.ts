import { v7 as uuid } from 'uuid';
import type { ScorableMemory } from '../../src/significance/scorer.ts';

/** A memory as a scorer is shown it. */
export function scorable(text: string, more: Partial<ScorableMemory> = {}): ScorableMemory {
  return {
    id: uuid(),
    version: 1,
    text,
    context: null,
    kind: 'world',
    tags: [],
    occurredStart: null,
    mentionedAt: null,
    dialogue: null,
    ...more,
  };
}
