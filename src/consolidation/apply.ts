import type { Database, Tx } from '../db/database.ts';
import { insertEvents, settleMemories } from '../store/apply-writes.ts';
import { finishAttempt } from '../store/attempts.ts';
import { lossFigures } from '../store/observations.ts';
import type { Clock } from '../telemetry/clock.ts';
import type { Racepoints } from '../telemetry/racepoints.ts';
import { carryOut, type Writes } from './carry-out.ts';
import type { MissReason } from './guards.ts';
import { insertHistory, proposedRows, type RejectedOp } from './history.ts';
import { holdModel } from './hold-model.ts';
import { type Judged, lockAndJudge, type ShownTexts } from './judge-groups.ts';
import { type KeptGroup, keepPinned } from './keep-pinned.ts';
import { allowedRetirements } from './loss-budget.ts';
import type { OpGroup } from './plan.ts';
import type { RecentText, RecentTexts } from './recent-texts.ts';
import type { InOrder } from './turns.ts';
import { writeGroups } from './write-groups.ts';

export interface ApplyRequest {
  readonly bankId: string;
  readonly runId: string;
  readonly changeSetId: string;
  /** Ended, as applied, in the same transaction where `endsAttempt`. */
  readonly attemptId: string | null;
  readonly decider: string;
  /** What the memories were decided by, so that it is not decided again alike (consolidation/decision-key.ts). */
  readonly decidedBy: string;
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
  /** All that the decider had read. */
  readonly shown?: ShownTexts;
  /** Of the change sets; default `consolidation`. */
  readonly kind?: 'sweep';
}

export interface ApplyResult {
  readonly applied: readonly OpGroup[];
  /** In review mode: what waits for a person now. */
  readonly proposed: readonly OpGroup[];
  readonly missed: readonly { readonly group: OpGroup; readonly reason: MissReason }[];
  /** Retirements over the loss budget: listed as proposed, not done. */
  readonly heldBack: readonly OpGroup[];
  /** Would have retired what is pinned: refused, and on the change set as that. */
  readonly kept: readonly KeptGroup[];
  readonly bankGone: boolean;
}

export interface ApplyDeps {
  readonly db: Database;
  readonly clock: Clock;
  readonly racepoints: Racepoints;
  readonly newId: () => string;
  /** `review`: whatever holds waits for a person, and nothing but the proposal is written. */
  readonly apply: 'auto' | 'review';
  /**
   * Applies to one scope come one after the other anyway, by the lock of its row: whoever waits for that here holds no
   * connection. With 64 batches of one scope and a pool of two, a quarter of all connection time was waiting for it.
   */
  readonly inApplyOrder?: InOrder;
  /** What the same slice has written. All of it by one embedding model. */
  readonly recentTexts?: RecentTexts;
}

const overBudget = 'more retirements than the loss budget allows without review';

/**
 * Applies every group whose guards hold, all in one transaction (law L2): texts, vectors, links, states, history,
 * timeline and the end of the attempt. Groups that miss are left exactly as they were and returned. In review mode the
 * same groups, under the same guards, become a change set that waits.
 */
export async function applyGroups(deps: ApplyDeps, request: ApplyRequest): Promise<ApplyResult> {
  const memoryIds = request.groups.flatMap((group) => group.memberIds);
  await deps.racepoints.reach('apply:before-begin', { memoryIds });
  const scope = scopeKey(request);
  const apply = async () => {
    const { result, shows } = await deps.db.tx({ label: 'apply' }, (tx) => applyLocked(tx, deps, request));
    if (shows !== null) deps.recentTexts?.wrote(scope, shows.epoch, shows.texts);
    return result;
  };
  const result = await (deps.inApplyOrder === undefined ? apply() : deps.inApplyOrder(scope, apply));
  await deps.racepoints.reach('apply:after-commit', { memoryIds });
  return result;
}

async function applyLocked(
  tx: Tx,
  deps: ApplyDeps,
  request: ApplyRequest,
): Promise<{ result: ApplyResult; shows: ShownByApply | null }> {
  const memoryIds = [...new Set(request.groups.flatMap((group) => group.memberIds))];
  const isReview = deps.apply === 'review';
  await holdModel(tx, deps.clock, request.embeddingModel);
  const judged = await lockAndJudge(
    tx,
    { ...request, memberState: 'pending' },
    {
      weighsLosses: !isReview,
      onLocked: () => deps.racepoints.reach('apply:locked', { memoryIds }),
      recentSince: (after, upTo) => deps.recentTexts?.since(scopeKey(request), after, upTo) ?? null,
    },
  );
  if (judged === null) {
    return { result: { applied: [], proposed: [], missed: [], heldBack: [], kept: [], bankGone: true }, shows: null };
  }
  const { holding, kept } = await keepPinned(tx, request.bankId, judged.holding);
  const { applied, heldBack } = isReview ? { applied: [], heldBack: [] } : await weighLosses(tx, request, holding);
  const proposed = isReview ? holding : [];

  const now = deps.clock.now();
  const writes = await writeGroups(tx, { ...request, now, newId: deps.newId }, judged, applied);
  await deps.racepoints.reach('apply:ops-written', { memoryIds });
  await propose(tx, request, proposed, 'review');
  await propose(tx, request, heldBack, 'loss-budget');
  const rejected = [...(judged.quotesErased ? [] : request.rejected), ...kept.flatMap((group) => group.rejected)];
  await insertHistory(
    tx,
    { ...request, rejected },
    {
      done: writes.changeOps,
      proposed: rowsOf(deps, request, judged, proposed, { id: request.changeSetId, now }),
      heldBack: rowsOf(deps, request, judged, heldBack, { id: deps.newId(), now, verdict: overBudget }),
    },
  );
  await insertEvents(tx, request.bankId, writes.events);
  if (request.attemptId !== null && isWhole({ missed: judged.missed, kept })) {
    await finishAttempt(tx, { bankId: request.bankId, id: request.attemptId, outcome: 'applied' });
  }
  await deps.racepoints.reach(request.kind === 'sweep' ? 'sweep:before-commit' : 'apply:before-commit', { memoryIds });
  const result = { applied, proposed, missed: judged.missed, heldBack, kept, bankGone: false };
  return { result, shows: judged.epoch === null ? null : shownBy(writes, judged.epoch + 1) };
}

/** Whether no memory of it is left to be decided. */
export function isWhole({ missed, kept }: Pick<ApplyResult, 'missed' | 'kept'>): boolean {
  return missed.length === 0 && kept.every(({ group }) => group.memberIds.length === 0);
}

function scopeKey({ bankId, tags }: Pick<ApplyRequest, 'bankId' | 'tags'>): string {
  return JSON.stringify([bankId, tags]);
}

/** What an apply brought into sight, where all of it is known. */
interface ShownByApply {
  readonly epoch: number;
  readonly texts: readonly RecentText[];
}

function shownBy({ inserted, updated }: Pick<Writes, 'inserted' | 'updated'>, epoch: number): ShownByApply | null {
  // A text that is re-opened comes into sight with a vector that was not read.
  if (updated.some((row) => row.surfaced && row.embedding === null)) return null;
  const rows = [...inserted, ...updated].flatMap(({ image, embedding }) =>
    embedding === null ? [] : [{ image, embedding }],
  );
  if (rows.length === 0) return null;
  return { epoch, texts: rows.map(({ image: { id, text }, embedding }) => ({ id, text, embedding })) };
}

/** Their memories wait with them, so that nobody decides them again meanwhile. */
function propose(tx: Tx, request: ApplyRequest, groups: readonly OpGroup[], reason: 'review' | 'loss-budget') {
  const ids = [...new Set(groups.flatMap((group) => group.memberIds))];
  const proposed = ids.map((id) => ({ id, state: 'proposed' as const, reason }));
  return settleMemories(tx, request.bankId, proposed, request.decidedBy);
}

/** What the groups would come to, as rows of a change set that waits. */
function rowsOf(
  deps: ApplyDeps,
  request: ApplyRequest,
  judged: Judged,
  groups: readonly OpGroup[],
  set: { readonly id: string; readonly now: Date; readonly verdict?: string },
) {
  const { embeddingModel } = request;
  const { locked, links } = judged;
  const { id: changeSetId, now, verdict } = set;
  const { changeOps } = carryOut({ groups, locked, links, embeddingModel, changeSetId, now, newId: deps.newId });
  return { id: changeSetId, reason: verdict ?? null, ops: proposedRows(request, groups, changeOps, verdict) };
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
