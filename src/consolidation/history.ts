import type { Tx } from '../db/database.ts';
import { type ChangeOpRow, insertChangeSet } from '../store/change-ops.ts';
import { memoriesOf, type OpGroup, type PlannedOp, targetsOf } from './plan.ts';
import type { ValidatorName } from './validators/validator-name.ts';

export interface RejectedOp {
  readonly op: ChangeOpRow['op'];
  readonly validator: ValidatorName;
  readonly reason: string;
  readonly memoryIds: readonly string[];
}

/** One change set for what happened and what was refused, one more for what waits for a person. */
export async function insertHistory(
  tx: Tx,
  request: {
    readonly bankId: string;
    readonly runId: string;
    readonly decider: string;
    readonly changeSetId: string;
    readonly rejected: readonly RejectedOp[];
  },
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
