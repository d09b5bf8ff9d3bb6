import { linkKey, sameContent } from '../consolidation/observation-rows.ts';
import type { LinkImage, ObservationImage } from '../store/change-ops.ts';
import type { MemoryState } from '../store/memory-states.ts';

/**
 * The mark `needs_replan_at` while things are taken back. It is not a change that stands on anything: an edit of a memory
 * sets it, and as long as it counted, a run could never be taken back once one of its memories had been edited.
 */

/** Alike in all but the version and the mark. */
export function standsAsLeft(left: ObservationImage, stands: ObservationImage): boolean {
  return sameContent(left, { ...stands, needsReplanAt: left.needsReplanAt });
}

/** The mark of a row that stays: one that was set since stands, else the one that the op found is back. */
export function markBack(
  left: ObservationImage,
  stands: ObservationImage,
  earlier: ObservationImage | undefined,
): string | null {
  if (stands.needsReplanAt === left.needsReplanAt) return (earlier ?? stands).needsReplanAt;
  return stands.needsReplanAt ?? earlier?.needsReplanAt ?? null;
}

/** Of links that an op left alone, those that the row it marked rested on: as long as it is marked nothing tells what goes. */
export function restingUnmoved(
  links: Iterable<LinkImage>,
  marked: ReadonlySet<string>,
  moved: readonly LinkImage[],
): LinkImage[] {
  if (marked.size === 0) return [];
  const known = new Set(moved.map(linkKey));
  return [...links].filter((link) => marked.has(link.observationId) && !known.has(linkKey(link)));
}

/** Observations that rest on a memory which is gone, or is no longer the text that they were made from (law L6). */
export function restingOnGone(links: Iterable<LinkImage>, memories: ReadonlyMap<string, MemoryState>): Set<string> {
  const gone = [...links].filter((link) => {
    const memory = memories.get(link.memoryId);
    // The version moves with the text, the scope and the dates.
    return !memory?.isValid || memory.version !== link.memoryVersion;
  });
  return new Set(gone.map((link) => link.observationId));
}
