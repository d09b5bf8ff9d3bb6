import { type ApprovalRequest, applyProposed, type ProposedGroup } from '../consolidation/apply-proposed.ts';
import type { MissReason } from '../consolidation/guards.ts';
import { repeatSimilarityOf } from '../consolidation/repeat-similarity.ts';
import { decodePlan, textOfPlan } from '../consolidation/stored-plan.ts';
import type { Database, Tx } from '../db/database.ts';
import type { Embedder } from '../models/embedder.ts';
import { insertEvents } from '../store/apply-writes.ts';
import type { ChangeSetStatus } from '../store/change-ops.ts';
import { lockSets, opsOfSets, type ReviewedOp, refreshSetStatuses, setOpStatuses } from '../store/change-review.ts';
import { markWriter } from '../store/memories.ts';
import { type MemoryMove, moveMemories, readMemoryStates } from '../store/memory-states.ts';
import { decodeRealArray } from '../store/vectors/vector-bytes.ts';
import type { Clock } from '../telemetry/clock.ts';
import type { Racepoints } from '../telemetry/racepoints.ts';
import { type Chosen, choose, type Named } from './named.ts';
import { NothingNamedError, RefusedError } from './refusals.ts';
import { settledIds } from './touched.ts';

export interface ReviewDeps {
  readonly db: Database;
  readonly embedder: Embedder;
  readonly instanceId: string;
  readonly clock: Clock;
  readonly racepoints: Racepoints;
  readonly newId: () => string;
  /** Told after the commit: something is due again. */
  readonly hint: (bankId: string) => Promise<void>;
}

export interface ApproveReport {
  readonly changeSets: readonly {
    readonly id: string;
    readonly status: ChangeSetStatus;
    /** Numbers of the ops that happened. */
    readonly applied: readonly number[];
    /** Ops that no longer fit what is there; their memories are decided again. */
    readonly conflicted: readonly { readonly ops: readonly number[]; readonly reason: MissReason }[];
  }[];
  /** Memories that are due again. */
  readonly pendingAgain: readonly string[];
}

/**
 * Lets happen what waited: each change set in a transaction of its own, each group if what it was decided on still holds.
 *
 * @throws NothingNamedError, RefusedError where nothing waits any more; what the embedder throws
 */
export async function approveChanges(
  deps: ReviewDeps,
  request: Named & { readonly signal: AbortSignal },
): Promise<ApproveReport> {
  const { bankId } = request;
  const chosen = await choose(deps.db, request, 'proposed');
  const changeSets: ApproveReport['changeSets'][number][] = [];
  const pendingAgain: string[] = [];
  for (const one of chosen) {
    request.signal.throwIfAborted();
    const approval = await prepare(deps, bankId, one, request.signal);
    const done = await onlyOne(chosen, changeSets, () =>
      deps.db.tx({ label: 'approve' }, (tx) => approveLocked(tx, deps, one, approval)),
    );
    if (!done) continue;
    changeSets.push(done.changeSet);
    pendingAgain.push(...done.pendingAgain);
  }
  if (changeSets.some((set) => set.conflicted.length > 0)) await deps.hint(bankId);
  return { changeSets, pendingAgain };
}

/** Of a run, a set that somebody else has decided meanwhile does not stop the others. */
export async function onlyOne<T>(
  chosen: readonly Chosen[],
  done: readonly unknown[],
  work: () => Promise<T>,
): Promise<T | null> {
  try {
    return await work();
  } catch (thrown) {
    const isLast = chosen.length === 1 || done.length === 0;
    if (thrown instanceof RefusedError && !isLast) return null;
    throw thrown;
  }
}

/** The groups as they were decided, with vectors of the model in use; no connection is held. */
async function prepare(
  deps: ReviewDeps,
  bankId: string,
  { set, ops }: Chosen,
  signal: AbortSignal,
): Promise<ApprovalRequest> {
  const model = deps.embedder.model;
  const stale = ops.flatMap((op) => {
    const text = textOfPlan(op.plan);
    return text !== null && op.afterEmbeddingModel !== model.id ? [text] : [];
  });
  const made = stale.length === 0 ? [] : await deps.embedder.embed(stale, { purpose: 'observation', signal, bankId });
  const fresh = new Map(stale.map((text, index) => [text, made[index]]));
  const plans = ops.map((op) => {
    const text = textOfPlan(op.plan);
    const own = op.afterEmbedding === null ? null : decodeRealArray(op.afterEmbedding);
    return decodePlan(op.plan, (text === null ? null : fresh.get(text)) ?? own);
  });
  const [first] = plans;
  if (!first) throw new RefusedError('NOT_PROPOSED', `nothing of change set ${set.id} waits for a decision`);
  const byGroup = Map.groupBy(
    ops.flatMap((op, index) => (plans[index] ? [{ op, plan: plans[index] }] : [])),
    ({ op }) => op.groupNo,
  );
  const groups = [...byGroup.values()].map(
    (entries): ProposedGroup => ({
      ops: entries.map(({ plan }) => plan.op),
      memberIds: [...new Set(entries.flatMap(({ op }) => [...settledIds(op).keys()]))],
      seqs: entries.map(({ op }) => op.seq),
    }),
  );
  const { tags, scopeEpoch, decidedBy } = first;
  const repeatSimilarity = repeatSimilarityOf(model);
  return {
    bankId,
    changeSetId: set.id,
    tags,
    scopeEpoch,
    decidedBy,
    embeddingModel: model.id,
    repeatSimilarity,
    groups,
  };
}

async function approveLocked(tx: Tx, deps: ReviewDeps, { set, ops }: Chosen, approval: ApprovalRequest) {
  const { bankId, changeSetId } = approval;
  await markWriter(tx, deps.instanceId);
  const result = await applyProposed(tx, deps, approval, () => requireProposed(tx, bankId, set.id, ops));
  if (result === null) throw new NothingNamedError(`there is no bank ${bankId}`);
  const missedSeqs = new Set(result.missed.flatMap(({ group }) => group.seqs));
  const missed = ops.filter((op) => missedSeqs.has(op.seq));
  await setOpStatuses(tx, bankId, missed, 'conflicted');
  const moves = await movesOf(tx, bankId, missed, { state: 'pending', reason: null });
  await moveMemories(tx, bankId, moves);
  const applied = result.applied.flatMap((group) => group.seqs);
  const status = (await refreshSetStatuses(tx, bankId, [changeSetId])).get(changeSetId) ?? set.status;
  const event = { memoryId: null, observationId: null, changeSetId };
  await insertEvents(tx, bankId, [
    ...(applied.length > 0 ? [{ ...event, kind: 'changes.approved', detail: { ops: applied.length } }] : []),
    ...(missed.length > 0 ? [{ ...event, kind: 'changes.conflicted', detail: { ops: missed.length } }] : []),
  ]);
  await deps.racepoints.reach('review:before-commit', { changeSetId });
  const conflicted = result.missed.map(({ group, reason }) => ({ ops: group.seqs, reason }));
  return { changeSet: { id: changeSetId, status, applied, conflicted }, pendingAgain: moves.map((move) => move.id) };
}

/**
 * Under the set's lock, which nobody else then decides beside us.
 *
 * @throws RefusedError where somebody has decided one of the ops meanwhile
 */
export async function requireProposed(
  tx: Tx,
  bankId: string,
  setId: string,
  ops: readonly ReviewedOp[],
): Promise<void> {
  await lockSets(tx, bankId, [setId]);
  const seqs = new Set(ops.map((op) => op.seq));
  const open = (await opsOfSets(tx, bankId, [setId])).filter((op) => seqs.has(op.seq) && op.status === 'proposed');
  if (open.length === seqs.size) return;
  throw new RefusedError('NOT_PROPOSED', `somebody else has decided on change set ${setId} meanwhile`);
}

/** The memories that wait with these ops, but for those edited since, which are due already. */
export async function movesOf(
  tx: Tx,
  bankId: string,
  ops: readonly ReviewedOp[],
  to: Pick<MemoryMove, 'state' | 'reason'>,
): Promise<MemoryMove[]> {
  const versions = new Map(ops.flatMap((op) => [...settledIds(op)]));
  const states = await readMemoryStates(tx, bankId, [...versions.keys()]);
  return [...states.values()]
    .filter((memory) => memory.state === 'proposed' && (memory.version === versions.get(memory.id) || !memory.isValid))
    .map((memory) => ({ id: memory.id, ...to }));
}
