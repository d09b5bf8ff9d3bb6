import type { LockedObservation } from '../store/apply-locks.ts';
import type { ChangeOpRow, ConflictImage, LinkImage, ObservationImage } from '../store/change-ops.ts';
import type { LaterOp, ReviewedOp } from '../store/change-review.ts';
import type { MemoryMove, MemoryState } from '../store/memory-states.ts';
import type { LaterChange } from './refusals.ts';
import { Reversal } from './reversal.ts';

/** What stands in the store, under its locks. */
export interface UndoGround {
  readonly rows: ReadonlyMap<string, LockedObservation>;
  /** Links that the ops moved, as they stand, and every link of the observations that they changed or made. */
  readonly links: readonly LinkImage[];
  /** Those that the ops made or changed, and open ones of the observations that they made. */
  readonly conflicts: readonly ConflictImage[];
  readonly memories: ReadonlyMap<string, MemoryState>;
  readonly later: readonly LaterOp[];
  /** The model in use, and vectors of it for texts whose own are of another. */
  readonly model: string;
  readonly vectors: ReadonlyMap<string, Float32Array>;
  readonly now: Date;
}

export interface UndoWrites {
  readonly updated: readonly {
    readonly image: ObservationImage;
    readonly embedding: Float32Array | null;
    readonly surfaced: boolean;
    readonly tags: readonly string[];
  }[];
  readonly links: readonly LinkImage[];
  readonly droppedLinks: readonly LinkImage[];
  readonly conflicts: readonly ConflictImage[];
  readonly droppedConflictIds: readonly string[];
  readonly memories: readonly MemoryMove[];
  /** In the order in which they were undone; each names the op that it took back. */
  readonly ops: readonly ChangeOpRow[];
}

export type UndoPlan =
  | { readonly kind: 'writes'; readonly writes: UndoWrites }
  /** These have to be embedded first. */
  | { readonly kind: 'embed'; readonly texts: readonly string[] }
  | { readonly kind: 'refused'; readonly later: readonly LaterChange[] };

/**
 * What it takes so that the ops have not happened: last first, each from exactly what it left to exactly what it found.
 * Wherever the store no longer stands as an op left it, something stands on it, and all of it is refused. Edits of memories are no such thing: what rests on one that
 * went or changed comes back marked, to be written again (law L6), and that alone is not exactly as it was. Pure.
 */
export function planUndo(ops: readonly ReviewedOp[], ground: UndoGround): UndoPlan {
  return new Reversal(ground).run([...ops].sort((a, b) => b.appliedNo - a.appliedNo));
}
