import type { Tx } from '../db/database.ts';
import { insertEvents } from '../store/apply-writes.ts';
import { type ChangeOpRow, type ChangeSetKind, emptyOp, insertChangeSet } from '../store/change-ops.ts';
import { encodeRealBytes } from '../store/vectors/vector-bytes.ts';
import type { ShownTexts } from './judge-groups.ts';
import { type OpGroup, textOf } from './plan.ts';
import { encodePlan } from './stored-plan.ts';
import type { ValidatorName } from './validators/validator-name.ts';

export interface RejectedOp {
  readonly op: ChangeOpRow['op'];
  readonly validator: ValidatorName;
  readonly reason: string;
  readonly memoryIds: readonly string[];
  /** Those that it was to act on: the reason may name their values. */
  readonly observationIds: readonly string[];
}

interface HistoryRequest {
  readonly bankId: string;
  readonly runId: string;
  readonly decider: string;
  readonly changeSetId: string;
  readonly rejected: readonly RejectedOp[];
  /** All that the decider had read. */
  readonly shown?: Pick<ShownTexts, 'memoryIds' | 'observationIds'>;
  readonly kind?: ChangeSetKind;
}

interface Waiting {
  readonly id: string;
  readonly reason: string | null;
  readonly ops: readonly ChangeOpRow[];
}

/**
 * One change set for what happened, or in review mode is to happen, with what was refused; one more for retirements that
 * wait for a person while the rest has happened.
 */
export async function insertHistory(
  tx: Tx,
  request: HistoryRequest,
  history: { readonly done: readonly ChangeOpRow[]; readonly proposed: Waiting; readonly heldBack: Waiting },
): Promise<void> {
  const { done, proposed, heldBack } = history;
  const { bankId, runId, decider, shown, kind = 'consolidation' } = request;
  const shownIds = shown === undefined ? [] : [...shown.memoryIds, ...shown.observationIds];
  const made = { bankId, runId, decider, shownIds, kind };
  const refused = request.rejected.map(
    (rejection): ChangeOpRow => ({
      ...emptyOp,
      op: rejection.op,
      memoryIds: rejection.memoryIds,
      observationIds: rejection.observationIds,
      reason: rejection.reason,
      verdicts: [{ validator: rejection.validator, reason: rejection.reason }],
    }),
  );
  const ops = [...done, ...proposed.ops, ...refused];
  if (ops.length > 0) {
    const status = done.length > 0 ? 'applied' : proposed.ops.length > 0 ? 'proposed' : 'rejected';
    await insertChangeSet(tx, { ...made, id: request.changeSetId, status, reason: null }, ops);
  }
  if (heldBack.ops.length > 0) {
    const { id, reason } = heldBack;
    await insertChangeSet(tx, { ...made, id, status: 'proposed', reason }, heldBack.ops);
  }
  const waiting = [proposed, heldBack].filter((set) => set.ops.length > 0);
  await insertEvents(
    tx,
    bankId,
    waiting.map((set) => ({
      kind: 'changes.proposed',
      memoryId: null,
      observationId: null,
      changeSetId: set.id,
      detail: { ops: set.ops.length },
    })),
  );
}

/** What `carryOut` made of the groups, turned into proposals: with all that is needed to apply them later. */
export function proposedRows(
  request: {
    readonly tags: readonly string[];
    readonly scopeEpoch: number;
    readonly decidedBy: string;
    readonly embeddingModel: string;
  },
  groups: readonly OpGroup[],
  rows: readonly ChangeOpRow[],
  verdict: string | undefined,
): ChangeOpRow[] {
  const { tags, scopeEpoch, decidedBy, embeddingModel: model } = request;
  const ops = groups.flatMap((group) => group.ops);
  return rows.flatMap((row, index) => {
    const op = ops[index];
    if (!op) return [];
    const content = textOf(op);
    return {
      ...row,
      status: 'proposed',
      // What it replaces is written down when it does.
      beforeEmbedding: null,
      beforeEmbeddingModel: null,
      afterVector: content === null ? null : { bytes: encodeRealBytes(content.embedding), model },
      plan: encodePlan({ tags, scopeEpoch, decidedBy, op }),
      verdicts: verdict === undefined ? [] : [{ validator: 'loss-budget' satisfies ValidatorName, reason: verdict }],
    };
  });
}
