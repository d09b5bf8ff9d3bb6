import { carryOut } from '../consolidation/carry-out.ts';
import type { Database, Tx } from '../db/database.ts';
import { type LockedObservation, lockBank, lockObservations, pointedAtBeside } from '../store/apply-locks.ts';
import { insertEvents } from '../store/apply-writes.ts';
import {
  type ChangeOpRow,
  type ConflictImage,
  type ConflictResolution,
  emptyOp,
  insertChangeSet,
  type ObservationImage,
} from '../store/change-ops.ts';
import { findConflict, lockConflicts, writeConflicts } from '../store/conflicts.ts';
import { markWriter } from '../store/memories.ts';
import { type ChangedObservation, updateObservations } from '../store/observations.ts';
import { finishRun, insertRun } from '../store/runs.ts';
import type { Clock } from '../telemetry/clock.ts';
import type { Racepoints } from '../telemetry/racepoints.ts';
import { CurationContendedError, NothingNamedError, RefusedError } from './refusals.ts';

export interface ResolveDeps {
  readonly db: Database;
  readonly instanceId: string;
  readonly clock: Clock;
  readonly racepoints: Racepoints;
  readonly newId: () => string;
  /** Told after the commit: what comes back into question is due. */
  readonly hint: (bankId: string) => Promise<void>;
}

export interface ResolveReport {
  readonly conflictId: string;
  readonly resolution: ConflictResolution;
  /** Undo this to have both sides back. */
  readonly changeSetId: string;
  /** What became of the side that was not kept; null: nothing, both stay or it was no longer current. */
  readonly outcome: { readonly observationId: string; readonly fate: 'superseded' | 'retired' } | null;
}

const rounds = 5;
const reason = 'resolved by a person';

/**
 * Closes a conflict. The side that is not kept is superseded by the other where it held earlier, else retired.
 *
 * @throws NothingNamedError, RefusedError, CurationContendedError
 */
export async function resolveConflict(
  deps: ResolveDeps,
  request: { readonly bankId: string; readonly conflictId: string; readonly keep: ConflictResolution },
): Promise<ResolveReport> {
  const { bankId, conflictId, keep } = request;
  for (let round = 0; round < rounds; round += 1) {
    const conflict = await findConflict(deps.db, bankId, conflictId);
    if (!conflict) throw new NothingNamedError(`there is no conflict ${conflictId} in this bank`);
    const report = await deps.db.tx({ label: 'resolve' }, (tx) => resolveLocked(tx, deps, bankId, conflict, keep));
    if (report === 'moved') continue;
    if (report.outcome !== null) await deps.hint(bankId);
    return report;
  }
  throw new CurationContendedError('something keeps being folded into what is to be retired; try again');
}

async function resolveLocked(
  tx: Tx,
  deps: ResolveDeps,
  bankId: string,
  { id, left, right }: ConflictImage,
  keep: ConflictResolution,
): Promise<ResolveReport | 'moved'> {
  await markWriter(tx, deps.instanceId);
  if (!(await lockBank(tx, bankId, 'shared'))) throw new NothingNamedError(`there is no bank ${bankId}`);
  const lostId = keep === 'both' ? null : keep === 'left' ? right : left;
  const locked = await lockObservations(tx, bankId, [left, right], lostId === null ? [] : [lostId]);
  const beside = await pointedAtBeside(tx, bankId, lostId === null ? [] : [lostId], [...locked.keys()]);
  if (beside.size > 0) return 'moved';
  const [conflict] = await lockConflicts(tx, bankId, { ids: [id], observationIds: [] });
  if (!conflict) throw new NothingNamedError(`there is no conflict ${id} in this bank`);
  if (conflict.status !== 'open')
    throw new RefusedError('NOT_OPEN', `conflict ${id} is resolved: ${conflict.resolution}`);

  const changeSetId = deps.newId();
  const now = deps.clock.now();
  const lost = lostId === null ? undefined : locked.get(lostId);
  const kept = lostId === null ? undefined : locked.get(lostId === left ? right : left);
  if (lostId !== null && !kept?.isLive) {
    throw new RefusedError(
      'NOT_CURRENT',
      `the ${keep} side of conflict ${id} is no longer current; keep the other, or both`,
    );
  }
  const loss = lost?.isLive && kept ? lossOf({ lost, kept, locked, changeSetId, now, newId: deps.newId }) : null;
  const resolved: ConflictImage = {
    ...conflict,
    status: 'resolved',
    resolution: keep,
    resolvedAt: now.toISOString(),
    changeSetId,
  };
  if (loss && lost) {
    // No text comes into sight: what the lost one had superseded is marked, and looked at before anybody leans on it.
    const { tags: _, embeddingModel } = lost;
    await updateObservations(tx, { bankId, scopeEpoch: 0, embeddingModel, observations: loss.updated });
  }
  await writeConflicts(tx, bankId, [resolved]);
  const op = loss?.op ?? { ...emptyOp, op: 'conflict' as const, targetId: left, resultId: right };
  const runId = deps.newId();
  await insertRun(tx, { bankId, id: runId, trigger: 'resolve', instanceId: deps.instanceId });
  await insertChangeSet(
    tx,
    { bankId, id: changeSetId, runId, decider: 'person', status: 'applied', reason: null, kind: 'curation' },
    [
      {
        ...op,
        status: 'applied',
        observationIds: [...new Set([left, right, ...op.observationIds])],
        before: { target: null, repointed: [], links: [], ...op.before, conflicts: [conflict] },
        after: {
          ...{ target: null, created: null, repointed: [], links: [], conflictId: null },
          ...op.after,
          conflicts: [resolved],
        },
        reason,
      },
    ],
  );
  await finishRun(tx, { bankId, id: runId, outcome: 'done', counts: { resolved: 1 } });
  const event = { memoryId: null, changeSetId, detail: { conflict: id, keep } };
  await insertEvents(tx, bankId, [
    { ...event, kind: 'conflict.resolved', observationId: null },
    ...(loss && lost ? [{ ...event, kind: `observation.${loss.fate}`, observationId: lost.image.id }] : []),
  ]);
  await deps.racepoints.reach('review:before-commit', { changeSetId });
  return {
    conflictId: id,
    resolution: keep,
    changeSetId,
    outcome: loss && lost ? { observationId: lost.image.id, fate: loss.fate } : null,
  };
}

interface Loss {
  readonly fate: 'superseded' | 'retired';
  readonly updated: readonly ChangedObservation[];
  readonly op: ChangeOpRow;
}

/** What becomes of the side that is not kept. Pure. */
function lossOf(options: {
  readonly lost: LockedObservation;
  readonly kept: LockedObservation;
  readonly locked: ReadonlyMap<string, LockedObservation>;
  readonly changeSetId: string;
  readonly now: Date;
  readonly newId: () => string;
}): Loss {
  const { lost, kept } = options;
  const before = lost.image;
  if (isEarlier(before, kept.image)) {
    const image: ObservationImage = {
      ...before,
      supersededBy: kept.image.id,
      validTo: kept.image.validFrom,
      version: before.version + 1,
    };
    const op: ChangeOpRow = {
      ...emptyOp,
      op: 'supersede',
      targetId: before.id,
      baseVersion: before.version,
      resultId: kept.image.id,
      observationIds: [before.id, kept.image.id],
      before: { target: before, repointed: [], links: [] },
      after: { target: image, created: null, repointed: [], links: [], conflictId: null },
    };
    return { fate: 'superseded', updated: [{ image, embedding: null, surfaced: false }], op };
  }
  const target = { id: before.id, seen: { text: before.text, version: before.version } };
  const retire = { op: 'retire' as const, target, replan: null, wasLive: true, reason };
  const { embeddingModel } = lost;
  const writes = carryOut({ ...options, groups: [{ ops: [retire], memberIds: [] }], links: [], embeddingModel });
  const [op] = writes.changeOps;
  if (!op) throw new Error('a retirement left no record');
  return { fate: 'retired', updated: writes.updated, op };
}

function isEarlier(a: ObservationImage, b: ObservationImage): boolean {
  return a.validFrom !== null && b.validFrom !== null && new Date(a.validFrom) < new Date(b.validFrom);
}
