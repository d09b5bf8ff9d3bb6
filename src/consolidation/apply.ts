import type { Database, Tx } from '../db/database.ts';
import { lockBank, lockMemories, lockObservations, pointedAtBeside } from '../store/apply-locks.ts';
import { insertConflicts, insertEvents, settleMemories } from '../store/apply-writes.ts';
import { finishAttempt } from '../store/attempts.ts';
import { linksOf } from '../store/evidence.ts';
import {
  deleteLinks,
  insertObservations,
  lossFigures,
  updateObservations,
  upsertLinks,
  writtenSince,
} from '../store/observations.ts';
import { advanceScope, lockScope } from '../store/scopes.ts';
import type { Clock } from '../telemetry/clock.ts';
import type { Racepoints } from '../telemetry/racepoints.ts';
import { carryOut } from './carry-out.ts';
import { type MissReason, missOf } from './guards.ts';
import { insertHistory, type RejectedOp } from './history.ts';
import { allowedRetirements } from './loss-budget.ts';
import { memoriesOf, type OpGroup, type PlannedOp, replanOf, targetsOf, textOf } from './plan.ts';

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
  const showsText = ops.some(mayShowText);

  if (!(await lockBank(tx, bankId, retiring ? 'exclusive' : 'shared'))) {
    return { applied: [], missed: [], heldBack: [], bankGone: true };
  }
  const epoch = showsText ? await lockScope(tx, bankId, request.tags) : null;
  if (showsText && epoch === null) return { applied: [], missed: [], heldBack: [], bankGone: true };
  const memories = await lockMemories(tx, bankId, {
    members: memberIds,
    sources: [...new Set(ops.flatMap((op) => memoriesOf(op).map((memory) => memory.id)))],
  });
  const movingIds = [...new Set(ops.flatMap((op) => (op.op === 'fold' || op.op === 'retire' ? [op.target.id] : [])))];
  const targets = ops.flatMap((op) => targetsOf(op)).filter((target) => target.seen !== null);
  const locked = await lockObservations(tx, bankId, [...new Set(targets.map((target) => target.id))], movingIds);
  const pointedAt = await pointedAtBeside(tx, bankId, movingIds, [...locked.keys()]);
  await deps.racepoints.reach('apply:locked', { memoryIds: memberIds });

  const replans = ops.flatMap((op) => ('target' in op && replanOf(op) ? [op.target.id] : []));
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

  const { tags, repeatSimilarity } = request;
  const ground = { tags, repeatSimilarity, memories, locked, pointedAtBeside: pointedAt, links, fresh };
  const missed: { group: OpGroup; reason: MissReason }[] = [];
  const holding: OpGroup[] = [];
  for (const group of request.groups) {
    const reason = missOf(group, ground);
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
    if (writes.inserted.length > 0 || writes.updated.some((row) => row.embedding !== null || row.surfaced)) {
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

/** Whether a text of the scope may be one that nobody could be compared with before. */
function mayShowText(op: PlannedOp): boolean {
  return textOf(op) !== null || op.op === 'retire' || replanOf(op) !== null;
}
