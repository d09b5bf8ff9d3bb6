import { isShown } from '../consolidation/observation-rows.ts';
import { replanOfPlan } from '../consolidation/stored-plan.ts';
import type { Tx } from '../db/database.ts';
import { type LockedObservation, lockBank, lockMemories, lockObservations } from '../store/apply-locks.ts';
import { insertEvents } from '../store/apply-writes.ts';
import { type ChangeOpRow, type ChangeSetStatus, emptyOp, insertChangeSet } from '../store/change-ops.ts';
import { refreshSetStatuses, setOpStatuses } from '../store/change-review.ts';
import { lockScopes } from '../store/erasure.ts';
import { linksOf } from '../store/evidence.ts';
import { markWriter } from '../store/memories.ts';
import { moveMemories, readMemoryStates } from '../store/memory-states.ts';
import { deleteLinks, type Link, scopesOf, updateObservations } from '../store/observations.ts';
import { finishRun, insertRun } from '../store/runs.ts';
import { advanceScope } from '../store/scopes.ts';
import { type Chosen, choose, type Named } from './named.ts';
import { NothingNamedError } from './refusals.ts';
import { movesOf, onlyOne, type ReviewDeps, requireProposed } from './review.ts';
import { settledIds } from './touched.ts';

export interface RejectReport {
  readonly changeSets: readonly {
    readonly id: string;
    readonly status: ChangeSetStatus;
    /** Numbers of the ops that will not happen. */
    readonly rejected: readonly number[];
  }[];
  /** Memories put aside; `consolidate --held` brings them back. */
  readonly held: readonly string[];
  /** Observations that stay as they are although evidence of theirs changed or went. */
  readonly kept: readonly string[];
}

/**
 * Puts away what waited. Where a replan is rejected, its observation stays as it is without the evidence that is gone, or
 * the same would be proposed again at once; that is a change of its own, and can be undone.
 *
 * @throws NothingNamedError, RefusedError where nothing waits any more
 */
export async function rejectChanges(deps: ReviewDeps, request: Named): Promise<RejectReport> {
  const chosen = await choose(deps.db, request, 'proposed');
  const changeSets: RejectReport['changeSets'][number][] = [];
  const held: string[] = [];
  const kept: string[] = [];
  for (const one of chosen) {
    const done = await onlyOne(chosen, changeSets, () =>
      deps.db.tx({ label: 'reject' }, (tx) => rejectLocked(tx, deps, request.bankId, one)),
    );
    if (!done) continue;
    changeSets.push(done.changeSet);
    held.push(...done.held);
    kept.push(...done.kept);
  }
  return { changeSets, held, kept };
}

async function rejectLocked(tx: Tx, deps: ReviewDeps, bankId: string, { set, ops }: Chosen) {
  const replans = ops.flatMap((op) => replanOfPlan(op.plan) ?? []);
  const targetIds = [...new Set(replans.map((replan) => replan.targetId))];
  await markWriter(tx, deps.instanceId);
  if (!(await lockBank(tx, bankId, 'shared'))) throw new NothingNamedError(`there is no bank ${bankId}`);
  const epochs = await lockScopes(tx, bankId, await scopesOf(tx, bankId, targetIds));
  await lockMemories(tx, bankId, { members: ops.flatMap((op) => [...settledIds(op).keys()]), sources: [] });
  const locked = await lockObservations(tx, bankId, targetIds, []);
  await requireProposed(tx, bankId, set.id, ops);

  await setOpStatuses(tx, bankId, ops, 'rejected');
  const moves = await movesOf(tx, bankId, ops, { state: 'held', reason: 'rejected' });
  await moveMemories(tx, bankId, moves);
  const status = (await refreshSetStatuses(tx, bankId, [set.id])).get(set.id) ?? set.status;
  await insertEvents(tx, bankId, [
    {
      kind: 'changes.rejected',
      memoryId: null,
      observationId: null,
      changeSetId: set.id,
      detail: { ops: ops.length },
    },
  ]);
  const kept: KeptObservation[] = [];
  for (const { targetId, replan } of replans) {
    const row = locked.get(targetId);
    const one = row && (await keptWithout(tx, bankId, row, replan.dropped));
    if (one) kept.push(one);
  }
  await writeKept(tx, deps, bankId, kept, epochs);
  await deps.racepoints.reach('review:before-commit', { changeSetId: set.id });
  return {
    changeSet: { id: set.id, status, rejected: ops.map((op) => op.seq) },
    held: moves.map((move) => move.id),
    kept: kept.map(({ row }) => row.image.id),
  };
}

interface KeptObservation {
  readonly row: LockedObservation;
  readonly dropped: readonly Link[];
}

/**
 * What the observation loses so that it need not be looked at again; null: it has been, or there is more to look at than
 * what was rejected.
 */
async function keptWithout(
  tx: Tx,
  bankId: string,
  row: LockedObservation,
  rejected: readonly Link[],
): Promise<KeptObservation | null> {
  if (row.image.needsReplanAt === null) return null;
  const { id } = row.image;
  const links = (await linksOf(tx, bankId, [id])).get(id) ?? [];
  // Whoever edits one of these waits for the lock of the observation, to mark it again.
  const states = await readMemoryStates(tx, bankId, [...new Set(links.map((link) => link.memoryId))]);
  const dropped = links.filter((link) => {
    const memory = states.get(link.memoryId);
    return !memory?.isValid || memory.version !== link.memoryVersion;
  });
  const key = (link: Link) => `${link.observationId}/${link.memoryId}/${link.memoryVersion}`;
  const known = new Set(rejected.map(key));
  return dropped.every((link) => known.has(key(link))) ? { row, dropped } : null;
}

async function writeKept(
  tx: Tx,
  deps: ReviewDeps,
  bankId: string,
  kept: readonly KeptObservation[],
  epochs: ReadonlyMap<string, number>,
): Promise<void> {
  if (kept.length === 0) return;
  const [runId, changeSetId] = [deps.newId(), deps.newId()];
  const ops: ChangeOpRow[] = [];
  for (const { row, dropped } of kept) {
    const image = { ...row.image, needsReplanAt: null, version: row.image.version + 1 };
    const scopeEpoch = (epochs.get(JSON.stringify(row.tags)) ?? 0) + 1;
    const surfaced = isShown(image);
    const observations = [{ image, embedding: null, surfaced }];
    await updateObservations(tx, { bankId, scopeEpoch, embeddingModel: row.embeddingModel, observations });
    if (surfaced) await advanceScope(tx, bankId, row.tags, scopeEpoch);
    await deleteLinks(tx, bankId, dropped);
    ops.push({
      ...emptyOp,
      op: 'reinforce',
      status: 'applied',
      groupNo: ops.length + 1,
      targetId: image.id,
      baseVersion: row.image.version,
      observationIds: [...new Set([image.id, ...dropped.map((link) => link.observationId)])],
      before: { target: row.image, repointed: [], links: dropped },
      after: { target: image, created: null, repointed: [], links: [], conflictId: null },
      reason: 'kept by a person, without the evidence that is gone',
    });
  }
  await insertRun(tx, { bankId, id: runId, trigger: 'reject', instanceId: deps.instanceId });
  await insertChangeSet(
    tx,
    { bankId, id: changeSetId, runId, decider: 'person', status: 'applied', reason: null, kind: 'curation' },
    ops,
  );
  await finishRun(tx, { bankId, id: runId, outcome: 'done', counts: { kept: kept.length } });
  await insertEvents(
    tx,
    bankId,
    kept.map(({ row }) => ({
      kind: 'observation.kept',
      memoryId: null,
      observationId: row.image.id,
      changeSetId,
      detail: {},
    })),
  );
}
