import type { Database, Tx } from '../db/database.ts';
import {
  type LockedMemory,
  type LockedObservation,
  lockBank,
  lockMemories,
  lockObservations,
} from '../store/apply-locks.ts';
import { insertConflicts, insertEvents, settleMemories } from '../store/apply-writes.ts';
import { finishAttempt } from '../store/attempts.ts';
import { type ChangeOpRow, insertChangeSet } from '../store/change-ops.ts';
import { linksOf } from '../store/evidence.ts';
import {
  deleteLinks,
  insertObservations,
  type Link,
  lossFigures,
  updateObservations,
  upsertLinks,
  writtenSince,
} from '../store/observations.ts';
import { advanceScope, lockScope } from '../store/scopes.ts';
import type { Clock } from '../telemetry/clock.ts';
import type { Racepoints } from '../telemetry/racepoints.ts';
import { carryOut } from './carry-out.ts';
import { cosine } from './cosine.ts';
import { allowedRetirements } from './loss-budget.ts';
import { guardOf, memoriesOf, type OpGroup, type PlannedOp, targetsOf, textOf } from './plan.ts';
import type { ValidatorName } from './validators/validator-name.ts';

/** Why a group was not applied. Each is decided again, against what is there now. */
export type MissReason =
  /** A memory was edited, invalidated, deleted or settled by somebody else. */
  | 'memory_changed'
  /** An observation it relies on has another version or text, or is no longer live. */
  | 'target_changed'
  /** Something was written in the scope that one of its texts may repeat. */
  | 'scope_moved';

export interface RejectedOp {
  readonly op: ChangeOpRow['op'];
  readonly validator: ValidatorName;
  readonly reason: string;
  readonly memoryIds: readonly string[];
}

export interface ApplyRequest {
  readonly bankId: string;
  readonly runId: string;
  readonly changeSetId: string;
  /** Ended, as applied, in the same transaction where `endsAttempt`. */
  readonly attemptId: string | null;
  readonly decider: string;
  /** The scope of everything in it (law L7). */
  readonly tags: readonly string[];
  readonly embeddingModel: string;
  /** Read before the scope was searched for what the texts may repeat. */
  readonly scopeEpoch: number;
  /** Cosine from which a text written meanwhile is worth deciding again. */
  readonly repeatSimilarity: number;
  readonly groups: readonly OpGroup[];
  /** Refused by the judges; kept on the change set. */
  readonly rejected: readonly RejectedOp[];
}

export interface ApplyResult {
  readonly applied: readonly OpGroup[];
  readonly missed: readonly { readonly group: OpGroup; readonly reason: MissReason }[];
  /** Retirements over the loss budget: listed as proposed, not done. */
  readonly heldBack: readonly OpGroup[];
  readonly bankGone: boolean;
}

export interface ApplyDeps {
  readonly db: Database;
  readonly clock: Clock;
  readonly racepoints: Racepoints;
  readonly newId: () => string;
}

/**
 * Applies every group whose guards hold, all in one transaction (law L2): texts, vectors, links, states, history,
 * timeline and the end of the attempt. Groups that miss are left exactly as they were and returned.
 */
export async function applyGroups(deps: ApplyDeps, request: ApplyRequest): Promise<ApplyResult> {
  const memoryIds = request.groups.flatMap((group) => group.memberIds);
  await deps.racepoints.reach('apply:before-begin', { memoryIds });
  const result = await deps.db.tx({ label: 'apply' }, (tx) => applyLocked(tx, deps, request));
  await deps.racepoints.reach('apply:after-commit', { memoryIds });
  return result;
}

async function applyLocked(tx: Tx, deps: ApplyDeps, request: ApplyRequest): Promise<ApplyResult> {
  const { bankId } = request;
  const ops = request.groups.flatMap((group) => group.ops);
  const memberIds = [...new Set(request.groups.flatMap((group) => group.memberIds))];
  const retiring = ops.some((op) => op.op === 'retire' && op.wasLive);
  const writesText = ops.some((op) => textOf(op) !== null);

  if (!(await lockBank(tx, bankId, retiring ? 'exclusive' : 'shared'))) {
    return { applied: [], missed: [], heldBack: [], bankGone: true };
  }
  const epoch = writesText ? await lockScope(tx, bankId, request.tags) : null;
  if (writesText && epoch === null) return { applied: [], missed: [], heldBack: [], bankGone: true };
  const memories = await lockMemories(tx, bankId, {
    members: memberIds,
    sources: [...new Set(ops.flatMap((op) => memoriesOf(op).map((memory) => memory.id)))],
  });
  const moving = ops.filter((op) => op.op === 'fold' || op.op === 'retire');
  const targets = ops.flatMap((op) => targetsOf(op)).filter((target) => target.seen !== null);
  const locked = await lockObservations(
    tx,
    bankId,
    [...new Set(targets.map((target) => target.id))],
    [...new Set(moving.map((op) => op.target.id))],
  );
  await deps.racepoints.reach('apply:locked', { memoryIds: memberIds });

  const replans = ops.flatMap((op) => ('replan' in op && op.replan !== null ? [op.target.id] : []));
  const links = await linksOf(tx, bankId, replans);
  const fresh =
    epoch !== null && epoch > request.scopeEpoch
      ? await writtenSince(tx, {
          bankId,
          tags: request.tags,
          epoch: request.scopeEpoch,
          embeddingModel: request.embeddingModel,
        })
      : [];

  const missed: { group: OpGroup; reason: MissReason }[] = [];
  const holding: OpGroup[] = [];
  for (const group of request.groups) {
    const reason = missOf(group, { memories, locked, links, fresh, request });
    if (reason === null) holding.push(group);
    else missed.push({ group, reason });
  }
  const { applied, heldBack } = await weighLosses(tx, request, holding);

  const writes = carryOut({
    groups: applied,
    locked,
    changeSetId: request.changeSetId,
    now: deps.clock.now(),
    newId: deps.newId,
  });
  if (writes.changeOps.length + request.rejected.length + heldBack.length > 0) {
    const scopeEpoch = (epoch ?? request.scopeEpoch) + 1;
    await insertObservations(tx, {
      bankId,
      tags: request.tags,
      scopeEpoch,
      embeddingModel: request.embeddingModel,
      observations: writes.inserted,
    });
    await updateObservations(tx, {
      bankId,
      scopeEpoch,
      embeddingModel: request.embeddingModel,
      observations: writes.updated,
    });
    await deleteLinks(tx, bankId, writes.droppedLinks);
    await upsertLinks(tx, bankId, writes.links);
    await insertConflicts(tx, bankId, writes.conflicts);
    await deps.racepoints.reach('apply:ops-written', { memoryIds: memberIds });
    await settleMemories(tx, bankId, [
      ...writes.memories,
      ...heldBack.flatMap((group) =>
        group.memberIds.map((id) => ({ id, state: 'proposed' as const, reason: 'loss-budget' })),
      ),
    ]);
    if (applied.some((group) => group.ops.some((op) => textOf(op) !== null))) {
      await advanceScope(tx, bankId, request.tags, scopeEpoch);
    }
    await insertHistory(tx, request, { id: deps.newId(), done: writes.changeOps, heldBack });
    await insertEvents(tx, bankId, writes.events);
  }
  if (request.attemptId !== null && missed.length === 0) {
    await finishAttempt(tx, { bankId, id: request.attemptId, outcome: 'applied' });
  }
  await deps.racepoints.reach('apply:before-commit', { memoryIds: memberIds });
  return { applied, missed, heldBack, bankGone: false };
}

interface Ground {
  readonly memories: ReadonlyMap<string, LockedMemory>;
  readonly locked: ReadonlyMap<string, LockedObservation>;
  readonly links: ReadonlyMap<string, readonly Link[]>;
  readonly fresh: readonly { readonly id: string; readonly text: string; readonly embedding: Float32Array }[];
  readonly request: ApplyRequest;
}

function missOf(group: OpGroup, ground: Ground): MissReason | null {
  const members = new Set(group.memberIds);
  for (const op of group.ops) {
    for (const memory of memoriesOf(op)) {
      const row = ground.memories.get(memory.id);
      if (!row?.isValid || row.version !== memory.version) return 'memory_changed';
      if (members.has(memory.id) && row.state !== 'pending') return 'memory_changed';
    }
  }
  for (const op of group.ops) {
    for (const target of targetsOf(op)) {
      if (target.seen === null) continue;
      const row = ground.locked.get(target.id);
      if (!row || !sameScope(row.tags, ground.request.tags)) return 'target_changed';
      const replanned = 'replan' in op && op.replan !== null;
      if (!row.isLive && !replanned) return 'target_changed';
      if (row.image.text !== target.seen.text) return 'target_changed';
      if (guardOf(op, target) === 'version' && row.image.version !== target.seen.version) return 'target_changed';
      // A text whose source went is about to be written again; nothing new may lean on it meanwhile (law L6).
      if (row.image.needsReplanAt !== null && !replanned) return 'target_changed';
      if ('replan' in op && op.replan !== null && !sameLinks(op.replan.seen, ground.links.get(target.id) ?? [])) {
        return 'target_changed';
      }
    }
  }
  const touched = new Set(group.ops.flatMap((op) => targetsOf(op).map((target) => target.id)));
  for (const op of group.ops) {
    const content = textOf(op);
    if (content === null) continue;
    for (const other of ground.fresh) {
      if (touched.has(other.id)) continue;
      if (
        other.text === content.text ||
        cosine(other.embedding, content.embedding) >= ground.request.repeatSimilarity
      ) {
        return 'scope_moved';
      }
    }
  }
  return null;
}

/** Takes out the retirements that the loss budget does not cover; the oldest marks go first (law L18). */
async function weighLosses(
  tx: Tx,
  request: ApplyRequest,
  groups: readonly OpGroup[],
): Promise<{ applied: OpGroup[]; heldBack: OpGroup[] }> {
  const counts = (group: OpGroup) => group.ops.filter((op) => op.op === 'retire' && op.wasLive).length;
  const wanted = groups.reduce((sum, group) => sum + counts(group), 0);
  if (wanted === 0) return { applied: [...groups], heldBack: [] };
  let left = allowedRetirements(await lossFigures(tx, request.bankId, request.runId), wanted);
  const applied: OpGroup[] = [];
  const heldBack: OpGroup[] = [];
  for (const group of groups) {
    const cost = counts(group);
    if (cost > left) heldBack.push(group);
    else {
      left -= cost;
      applied.push(group);
    }
  }
  return { applied, heldBack };
}

/** One change set for what happened and what was refused, one more for what waits for a person. */
async function insertHistory(
  tx: Tx,
  request: ApplyRequest,
  history: { readonly id: string; readonly done: readonly ChangeOpRow[]; readonly heldBack: readonly OpGroup[] },
): Promise<void> {
  const { done, heldBack } = history;
  const set = { bankId: request.bankId, runId: request.runId, decider: request.decider };
  const refused = request.rejected.map(
    (rejection): ChangeOpRow => ({
      ...emptyRow,
      op: rejection.op,
      status: 'rejected',
      memoryIds: rejection.memoryIds,
      reason: rejection.reason,
      verdicts: [{ validator: rejection.validator, reason: rejection.reason }],
    }),
  );
  if (done.length + refused.length > 0) {
    await insertChangeSet(
      tx,
      { ...set, id: request.changeSetId, status: done.length > 0 ? 'applied' : 'rejected', reason: null },
      [...done, ...refused],
    );
  }
  if (heldBack.length > 0) {
    const reason = 'more retirements than the loss budget allows without review';
    await insertChangeSet(
      tx,
      { ...set, id: history.id, status: 'proposed', reason },
      heldBack.flatMap((group) => group.ops.map((op) => heldBackRow(op, reason))),
    );
  }
}

const emptyRow: ChangeOpRow = {
  op: 'skip',
  status: 'rejected',
  targetId: null,
  baseVersion: null,
  resultId: null,
  memoryIds: [],
  sourceIds: [],
  before: null,
  after: null,
  beforeEmbedding: null,
  beforeEmbeddingModel: null,
  wroteVector: false,
  reason: '',
  verdicts: [],
};

function heldBackRow(op: PlannedOp, reason: string): ChangeOpRow {
  const target = targetsOf(op)[0];
  return {
    ...emptyRow,
    op: op.op,
    status: 'proposed',
    targetId: target?.id ?? null,
    baseVersion: target?.seen?.version ?? null,
    memoryIds: memoriesOf(op).map((memory) => memory.id),
    reason: op.reason,
    verdicts: [{ validator: 'loss-budget' satisfies ValidatorName, reason }],
  };
}

function sameScope(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((tag, index) => tag === b[index]);
}

function sameLinks(a: readonly Link[], b: readonly Link[]): boolean {
  const key = (link: Link) => `${link.observationId}/${link.memoryId}/${link.memoryVersion}`;
  const known = new Set(a.map(key));
  return a.length === b.length && b.every((link) => known.has(key(link)));
}
