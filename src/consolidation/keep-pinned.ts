import type { Tx } from '../db/database.ts';
import { restingOnPins } from '../store/evidence.ts';
import type { RejectedOp } from './history.ts';
import { type OpGroup, observationIdsOf, type PlannedOp } from './plan.ts';

/** A group that would retire what a person, or its own significance, holds in mind. */
export interface KeptGroup {
  readonly group: OpGroup;
  readonly rejected: readonly RejectedOp[];
}

/**
 * Takes out the groups that retire an observation which rests on a live pinned memory. Judged under the locks of the
 * apply: that of the bank, which a retirement takes whole, is also a pin's, so that one which was set while the batch was
 * at the model counts. A replan retires only what nothing speaks for any more, and what a person retires is theirs to.
 */
export async function keepPinned(
  tx: Tx,
  bankId: string,
  groups: readonly OpGroup[],
): Promise<{ readonly holding: readonly OpGroup[]; readonly kept: readonly KeptGroup[] }> {
  const retiring = groups.flatMap(({ ops }) => ops.filter(retiresByChoice)).map((op) => op.target.id);
  const pinned = await restingOnPins(tx, bankId, retiring);
  const isKept = (group: OpGroup) => group.ops.some((op) => retiresByChoice(op) && pinned.has(op.target.id));
  return {
    holding: groups.filter((group) => !isKept(group)),
    kept: groups.filter(isKept).map((group) => ({ group, rejected: group.ops.map((op) => refusalOf(op, group)) })),
  };
}

function retiresByChoice(op: PlannedOp): op is Extract<PlannedOp, { op: 'retire' }> {
  return op.op === 'retire' && op.replan === null;
}

function refusalOf(op: PlannedOp, { memberIds }: OpGroup): RejectedOp {
  const isRetirement = retiresByChoice(op);
  return {
    op: op.op,
    validator: isRetirement ? 'pinned' : 'depends-on-rejected',
    reason: isRetirement ? 'it rests on a pinned memory' : 'what it goes with would retire what is pinned',
    memoryIds: memberIds,
    observationIds: observationIdsOf(op),
  };
}
