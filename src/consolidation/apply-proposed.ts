import type { Tx } from '../db/database.ts';
import { insertEvents } from '../store/apply-writes.ts';
import { writeAppliedProposals } from '../store/change-ops.ts';
import type { Clock } from '../telemetry/clock.ts';
import type { MissReason } from './guards.ts';
import { holdModel } from './hold-model.ts';
import { lockAndJudge } from './judge-groups.ts';
import type { OpGroup } from './plan.ts';
import { writeGroups } from './write-groups.ts';

/** A group that waited, and the numbers of its ops in the change set. */
export interface ProposedGroup extends OpGroup {
  readonly seqs: readonly number[];
}

export interface ApprovalRequest {
  readonly bankId: string;
  readonly changeSetId: string;
  readonly tags: readonly string[];
  readonly scopeEpoch: number;
  readonly decidedBy: string;
  readonly embeddingModel: string;
  readonly repeatSimilarity: number;
  readonly groups: readonly ProposedGroup[];
}

export interface ApprovalResult {
  readonly applied: readonly ProposedGroup[];
  readonly missed: readonly { readonly group: ProposedGroup; readonly reason: MissReason }[];
}

/**
 * Applies what a person has approved, with the guards and the code of any other apply: what it was decided on may have
 * changed while it waited. The loss budget is not asked again; that is what the person was asked for.
 *
 * @param onLocked runs under the locks of all rows, before anything is judged.
 * @returns null where the bank is gone
 */
export async function applyProposed(
  tx: Tx,
  deps: { readonly clock: Clock; readonly newId: () => string },
  request: ApprovalRequest,
  onLocked: () => Promise<void>,
): Promise<ApprovalResult | null> {
  const { bankId, changeSetId, groups } = request;
  await holdModel(tx, deps.clock, request.embeddingModel);
  const judged = await lockAndJudge(tx, { ...request, memberState: 'proposed' }, { weighsLosses: false, onLocked });
  if (judged === null) return null;
  const holding = new Set(judged.holding);
  const applied = groups.filter((group) => holding.has(group));
  const writes = await writeGroups(tx, { ...request, now: deps.clock.now(), newId: deps.newId }, judged, applied);
  const seqs = applied.flatMap((group) => group.seqs);
  await writeAppliedProposals(
    tx,
    bankId,
    changeSetId,
    writes.changeOps.flatMap((row, index) => {
      const seq = seqs[index];
      return seq === undefined ? [] : [{ seq, row }];
    }),
  );
  await insertEvents(tx, bankId, writes.events);
  const missed = groups.flatMap((group) => {
    const miss = judged.missed.find((one) => one.group === group);
    return miss ? [{ group, reason: miss.reason }] : [];
  });
  return { applied, missed };
}
