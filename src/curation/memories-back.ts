import type { MemoryImage } from '../store/change-ops.ts';
import type { LaterOp, ReviewedOp } from '../store/change-review.ts';
import type { MemoryState } from '../store/memory-states.ts';
import { settledIds } from './touched.ts';

export interface MemoriesBack {
  readonly found: readonly MemoryImage[];
  readonly left: readonly MemoryImage[];
  /** Memories that are no longer as an undo had put them aside; nothing may be undone then. */
  readonly takenUp: readonly string[];
}

/**
 * What consolidation had settled is put aside, so that the next run does not decide it alike at once; what an undo had put
 * aside goes back. One that was edited, or settled by something else since, is left alone.
 *
 * @param moved those that an op after this one has moved already
 */
export function memoriesBack(
  op: ReviewedOp,
  ground: {
    readonly memories: ReadonlyMap<string, MemoryState>;
    readonly later: readonly LaterOp[];
    readonly moved: { has(id: string): boolean };
  },
): MemoriesBack {
  return op.setKind === 'undo' ? putBack(op, ground.memories) : putAside(op, ground);
}

function putBack(op: ReviewedOp, memories: ReadonlyMap<string, MemoryState>): MemoriesBack {
  const found: MemoryImage[] = [];
  const left: MemoryImage[] = [];
  const takenUp: string[] = [];
  const earlier = new Map(op.before?.memories?.map((memory) => [memory.id, memory]));
  for (const then of op.after?.memories ?? []) {
    const stands = memories.get(then.id);
    const back = earlier.get(then.id);
    if (!back || stands?.state !== then.state || stands.version !== then.version || stands.reason !== then.reason) {
      takenUp.push(then.id);
      continue;
    }
    found.push(then);
    left.push(back);
  }
  return { found, left, takenUp };
}

function putAside(op: ReviewedOp, { memories, later, moved }: Parameters<typeof memoriesBack>[1]): MemoriesBack {
  const found: MemoryImage[] = [];
  const left: MemoryImage[] = [];
  const settledLater = new Set(
    later.filter((other) => other.appliedNo > op.appliedNo).flatMap((other) => other.settledIds),
  );
  for (const [id, version] of settledIds(op)) {
    const stands = memories.get(id);
    if (stands?.state !== 'consolidated' || stands.version !== version || settledLater.has(id)) continue;
    if (moved.has(id)) continue;
    found.push({ id, version, state: 'consolidated', reason: stands.reason });
    left.push({ id, version, state: 'held', reason: 'undone' });
  }
  return { found, left, takenUp: [] };
}
