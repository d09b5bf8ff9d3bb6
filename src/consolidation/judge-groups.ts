import type { Tx } from '../db/database.ts';
import {
  type LockedObservation,
  lockBank,
  lockMemories,
  lockObservations,
  pointedAtBeside,
} from '../store/apply-locks.ts';
import { holdFromErasure, wasErasedSince } from '../store/erasures.ts';
import { linksBetween, linksOf } from '../store/evidence.ts';
import { type Link, writtenSince } from '../store/observations.ts';
import { lockScope } from '../store/scopes.ts';
import { type Ground, type MissReason, missOf } from './guards.ts';
import { memoriesOf, type OpGroup, type PlannedOp, replanOf, targetsOf, textOf } from './plan.ts';

/** Groups about to happen, with what their decision saw. */
export interface GroupsToJudge {
  readonly bankId: string;
  /** The scope of everything in it (law L7). */
  readonly tags: readonly string[];
  readonly embeddingModel: string;
  /** Read before the scope was searched for what the texts may repeat. */
  readonly scopeEpoch: number;
  /** Cosine from which a text written meanwhile is worth deciding again. */
  readonly repeatSimilarity: number;
  readonly groups: readonly OpGroup[];
  /** The state in which the memories of the groups have to be. */
  readonly memberState: Ground['memberState'];
  /** All that whoever decided had read. If any of it was erased since, no word of the answer may be kept. */
  readonly shown?: ShownTexts | undefined;
}

export interface ShownTexts {
  readonly memoryIds: readonly string[];
  readonly observationIds: readonly string[];
  /** Of the scope before any of it was read. */
  readonly scopeEpoch: number;
}

export interface Judged {
  readonly holding: readonly OpGroup[];
  readonly missed: readonly { readonly group: OpGroup; readonly reason: MissReason }[];
  readonly locked: ReadonlyMap<string, LockedObservation>;
  /** Links between the observations that get evidence and that evidence, as they stand. */
  readonly links: readonly Link[];
  /** That of the scope, under its lock; null where no text of the scope comes into sight. */
  readonly epoch: number | null;
  /** Something that the decision was made from has been erased: every group has missed, and reasons may quote it. */
  readonly quotesErased: boolean;
}

/** Takes every lock that the groups need, in order (law L4), and tells which of them still hold; null: the bank is gone. */
export async function lockAndJudge(
  tx: Tx,
  request: GroupsToJudge,
  options: {
    readonly weighsLosses: boolean;
    readonly onLocked: () => Promise<void>;
    /** What came into sight between two epochs, where the caller knows. */
    readonly recentSince?: (after: number, upTo: number) => Ground['fresh'] | null;
  },
): Promise<Judged | null> {
  const { bankId, tags } = request;
  const ops = request.groups.flatMap((group) => group.ops);
  const showsText = ops.some(mayShowText);
  const retiring = ops.some((op) => op.op === 'retire' && op.wasLive);

  if (!(await lockBank(tx, bankId, options.weighsLosses && retiring ? 'exclusive' : 'shared'))) return null;
  const epoch = showsText ? await lockScope(tx, bankId, tags) : null;
  if (showsText && epoch === null) return null;
  const memories = await lockMemories(tx, bankId, {
    members: [...new Set(request.groups.flatMap((group) => group.memberIds))],
    sources: [
      ...new Set([
        ...ops.flatMap((op) => memoriesOf(op).map((memory) => memory.id)),
        ...(request.shown?.memoryIds ?? []),
      ]),
    ],
  });
  const movingIds = [...new Set(ops.flatMap((op) => (op.op === 'fold' || op.op === 'retire' ? [op.target.id] : [])))];
  const targets = ops.flatMap((op) => targetsOf(op)).filter((target) => target.seen !== null);
  const targetIds = [...new Set(targets.map((target) => target.id))];
  // An erasure takes the lock of the scope too; what goes without that lock meets it here.
  if (epoch === null && request.shown) {
    await holdFromErasure(tx, bankId, [...new Set([...request.shown.observationIds, ...targetIds, ...movingIds])]);
  }
  const locked = await lockObservations(tx, bankId, targetIds, movingIds);
  const beside = await pointedAtBeside(tx, bankId, movingIds, [...locked.keys()]);
  await options.onLocked();

  const replans = ops.flatMap((op) => ('target' in op && replanOf(op) ? [op.target.id] : []));
  const fresh =
    epoch !== null && epoch > request.scopeEpoch
      ? (options.recentSince?.(request.scopeEpoch, epoch) ??
        (await writtenSince(tx, {
          bankId,
          tags,
          epoch: request.scopeEpoch,
          embeddingModel: request.embeddingModel,
        })))
      : [];
  const ground: Ground = {
    tags,
    repeatSimilarity: request.repeatSimilarity,
    memberState: request.memberState,
    memories,
    locked,
    pointedAtBeside: beside,
    links: await linksOf(tx, bankId, replans),
    fresh,
  };
  const quotesErased = await wasShownErased(tx, request, { memories, epoch });
  const judged = request.groups.map((group) => ({
    group,
    reason: quotesErased ? ('memory_changed' as const) : missOf(group, ground),
  }));
  return {
    holding: judged.flatMap(({ group, reason }) => (reason === null ? [group] : [])),
    missed: judged.flatMap(({ group, reason }) => (reason === null ? [] : [{ group, reason }])),
    locked,
    links: await linksBetween(tx, bankId, ops.flatMap(linksAdded)),
    epoch,
    quotesErased,
  };
}

/** An erasure moves the epoch of each scope that it concerns: where that is known and has not moved, it is not asked for. */
async function wasShownErased(
  tx: Tx,
  { bankId, shown }: GroupsToJudge,
  found: { readonly memories: Ground['memories']; readonly epoch: number | null },
): Promise<boolean> {
  if (!shown) return false;
  const missingMemoryIds = shown.memoryIds.filter((id) => !found.memories.has(id));
  const mayHaveMoved = found.epoch === null ? shown.observationIds.length > 0 : found.epoch > shown.scopeEpoch;
  if (missingMemoryIds.length === 0 && !mayHaveMoved) return false;
  return wasErasedSince(tx, bankId, { ...shown, missingMemoryIds });
}

/** Evidence added to observations that are there already: it may be linked in an older version. */
function linksAdded(op: PlannedOp): { observationId: string; memoryId: string }[] {
  if (op.op !== 'reinforce' && op.op !== 'revise') return [];
  return op.memories.map((memory) => ({ observationId: op.target.id, memoryId: memory.id }));
}

/** Whether a text of the scope may be one that nobody could be compared with before. */
function mayShowText(op: PlannedOp): boolean {
  return textOf(op) !== null || op.op === 'retire' || replanOf(op) !== null;
}
