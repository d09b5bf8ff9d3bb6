import type { TimelineEvent } from '../store/apply-writes.ts';
import {
  type AfterImage,
  type BeforeImage,
  type ChangeOpRow,
  type ConflictImage,
  emptyOp,
  type ObservationImage,
} from '../store/change-ops.ts';
import type { Link } from '../store/observations.ts';
import { memoriesOf, observationIdsOf, type PlannedOp } from './plan.ts';

/** The group that an op belongs to. */
export interface Group {
  readonly no: number;
  readonly members: ReadonlySet<string>;
}

/** What an op met and moved while it was played. */
export interface Seen {
  readonly before?: ObservationImage;
  readonly created?: ObservationImage;
  readonly repointed?: readonly ObservationImage[];
  readonly links?: readonly Link[];
  /** Links that went, or stood there in another version. */
  readonly moved?: readonly Link[];
  readonly conflict?: ConflictImage;
  readonly replaced?: { readonly bytes: Buffer; readonly model: string } | null;
}

/** An op as history and timeline keep it: complete, so that it can be taken back exactly. `imageOf`: as it left the rows. */
export function recordOf(
  op: PlannedOp,
  options: {
    readonly group: Group;
    readonly seen: Seen;
    readonly changeSetId: string;
    readonly imageOf: (id: string) => ObservationImage;
  },
): { readonly row: ChangeOpRow; readonly event: TimelineEvent } {
  const { group, seen } = options;
  const { repointed = [], links = [], moved = [], conflict, replaced } = seen;
  const targetId = seen.before?.id ?? null;
  const memoryIds = memoriesOf(op).map((memory) => memory.id);
  const before: BeforeImage = { target: seen.before ?? null, repointed, links: moved };
  const after: AfterImage = {
    target: targetId === null ? null : options.imageOf(targetId),
    created: seen.created ?? null,
    repointed: repointed.map((image) => options.imageOf(image.id)),
    links,
    conflictId: conflict?.id ?? null,
    ...(conflict ? { conflicts: [conflict] } : {}),
  };
  const touched = [...observationIdsOf(op), ...repointed.map(({ id }) => id)];
  const row: ChangeOpRow = {
    ...emptyOp,
    op: op.op,
    status: 'applied',
    groupNo: group.no,
    targetId,
    baseVersion: seen.before?.version ?? null,
    resultId: seen.created?.id ?? (op.op === 'fold' ? op.into.id : null),
    observationIds: [...new Set([...touched, ...[...links, ...moved].map((link) => link.observationId)])],
    memoryIds,
    memoryVersions: memoriesOf(op).map((memory) => memory.version),
    sourceIds: memoryIds.filter((id) => !group.members.has(id)),
    before: op.op === 'skip' ? null : before,
    after: op.op === 'skip' ? null : after,
    beforeEmbedding: replaced?.bytes ?? null,
    beforeEmbeddingModel: replaced?.model ?? null,
    reason: op.reason,
  };
  const event: TimelineEvent = {
    kind: op.op === 'skip' ? 'memory.skipped' : `observation.${eventNames[op.op]}`,
    memoryId: memoryIds.length === 1 ? (memoryIds[0] ?? null) : null,
    observationId: targetId ?? seen.created?.id ?? null,
    changeSetId: options.changeSetId,
    detail: seen.created && targetId !== null ? { by: seen.created.id } : {},
  };
  return { row, event };
}

const eventNames = {
  create: 'created',
  reinforce: 'reinforced',
  revise: 'revised',
  supersede: 'superseded',
  conflict: 'conflicted',
  fold: 'folded',
  retire: 'retired',
} as const;
