import type { LockedMemory, LockedObservation } from '../store/apply-locks.ts';
import type { Link } from '../store/observations.ts';
import { decodeRealArray } from '../store/vectors/vector-bytes.ts';
import { cosine } from './cosine.ts';
import {
  guardOf,
  memoriesOf,
  type NewText,
  type OpGroup,
  type PlannedOp,
  replanOf,
  targetsOf,
  textOf,
} from './plan.ts';

/** Why a group was not applied. Each is decided again, against what is there now. */
export type MissReason =
  /** A memory was edited, invalidated, deleted or settled by somebody else. */
  | 'memory_changed'
  /** An observation it relies on has another version or text, or is no longer live. */
  | 'target_changed'
  /** Something was written in the scope that one of its texts may repeat. */
  | 'scope_moved';

/** What stands in the store, under its locks. */
export interface Ground {
  /** The scope of everything in the request (law L7). */
  readonly tags: readonly string[];
  /** Cosine from which a text written meanwhile is worth deciding again. */
  readonly repeatSimilarity: number;
  /** In which the memories of a group have to be: `proposed` where a person has approved what waited. */
  readonly memberState: 'pending' | 'proposed';
  readonly memories: ReadonlyMap<string, LockedMemory>;
  readonly locked: ReadonlyMap<string, LockedObservation>;
  /** Observations about to be folded or retired at which something points that is not locked. */
  readonly pointedAtBeside: ReadonlySet<string>;
  /** The evidence of observations about to be written again. */
  readonly links: ReadonlyMap<string, readonly Link[]>;
  /** Texts of the scope that were written after it was searched. */
  readonly fresh: readonly { readonly id: string; readonly text: string; readonly embedding: Float32Array }[];
}

/** Whether everything still is as the group's decision saw it (laws L2, L3, L6, L7); null: it is. */
export function missOf(group: OpGroup, ground: Ground): MissReason | null {
  if (!memoriesHold(group, ground)) return 'memory_changed';
  if (!targetsHold(group, ground)) return 'target_changed';
  return repeatsSomethingFresh(group, ground) ? 'scope_moved' : null;
}

function memoriesHold(group: OpGroup, ground: Ground): boolean {
  const members = new Set(group.memberIds);
  return group.ops.flatMap(memoriesOf).every((memory) => {
    const row = ground.memories.get(memory.id);
    if (!row?.isValid || row.version !== memory.version) return false;
    return !members.has(memory.id) || row.state === ground.memberState;
  });
}

function targetsHold(group: OpGroup, ground: Ground): boolean {
  const replanned = new Set(group.ops.flatMap((op) => (replanOf(op) ? targetsOf(op).map(({ id }) => id) : [])));
  return group.ops.every((op) => {
    const movesTarget = op.op === 'fold' || op.op === 'retire';
    if (movesTarget && ground.pointedAtBeside.has(op.target.id)) return false;
    return targetsOf(op).every((target) => {
      if (target.seen === null) return true;
      const row = ground.locked.get(target.id);
      if (!row || !sameScope(row.tags, ground.tags) || row.image.text !== target.seen.text) return false;
      if (guardOf(op, target) === 'version' && row.image.version !== target.seen.version) return false;
      const replan = replanOf(op);
      if (replan && !sameLinks(replan.seen, ground.links.get(target.id) ?? [])) return false;
      // A text whose source went is about to be written again; nothing new may lean on it meanwhile (law L6).
      return replanned.has(target.id) || (row.isLive && row.image.needsReplanAt === null);
    });
  });
}

function repeatsSomethingFresh(group: OpGroup, ground: Ground): boolean {
  const touched = new Set(group.ops.flatMap((op) => targetsOf(op).map((target) => target.id)));
  const others = ground.fresh.filter((other) => !touched.has(other.id));
  if (others.length === 0) return false;
  return group.ops.some((op) => {
    const shown = textOf(op) ?? keptText(op, ground);
    return others.some(
      (other) =>
        shown !== null &&
        (other.text === shown.text || cosine(other.embedding, shown.embedding) >= ground.repeatSimilarity),
    );
  });
}

/** A text that stays as it is and comes back into sight: while it was to be written again, nobody compared with it. */
function keptText(op: PlannedOp, ground: Ground): NewText | null {
  if (op.op !== 'reinforce' || op.replan === null) return null;
  const row = ground.locked.get(op.target.id);
  return row?.isLive ? { text: row.image.text, embedding: decodeRealArray(row.embedding) } : null;
}

/** Tags are kept sorted, each once, so that equal scopes are equal arrays. */
export function sameScope(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((tag, index) => tag === b[index]);
}

function sameLinks(a: readonly Link[], b: readonly Link[]): boolean {
  const key = (link: Link) => `${link.observationId}/${link.memoryId}/${link.memoryVersion}`;
  const known = new Set(a.map(key));
  return a.length === b.length && b.every((link) => known.has(key(link)));
}
