import type { z } from 'zod';
import type { QueueCounts, QueueJob } from '../queue/job-rows.ts';
import type { RecallItem, RecallResult } from '../recall/recall.ts';
import type { Bank } from '../store/banks.ts';
import type { ChangeSetSummary, ConflictRow, Excerpt, RecordedOp, RunSummary } from '../store/change-history.ts';
import type { ObservationImage } from '../store/change-ops.ts';
import type { BankCounts } from '../store/counts.ts';
import type { MemoryRow } from '../store/memory-rows.ts';
import type { RecalledObservation } from '../store/recall-rows.ts';
import type {
  bankSchema,
  changeSetSchema,
  conflictSchema,
  jobSchema,
  memorySchema,
  observationSchema,
  opSchema,
  recallResultSchema,
  runSchema,
} from './schemas.ts';

/** Rows of the store as they go over the wire. */

export const iso = (date: Date | null): string | null => date?.toISOString() ?? null;

/** Times inside JSON come as PostgreSQL writes them. */
const isoText = (text: string | null): string | null => (text === null ? null : new Date(text).toISOString());

export function presentBank(bank: Bank, counts: BankCounts): z.output<typeof bankSchema> {
  return {
    id: bank.id,
    mission: bank.mission,
    created_at: bank.createdAt.toISOString(),
    memories: counts.memories,
    due: counts.due,
    unembedded: counts.unembedded,
    observations: counts.observations,
    open_conflicts: counts.openConflicts,
    proposed_changes: counts.proposed,
  };
}

export function presentMemory(memory: MemoryRow): z.output<typeof memorySchema> {
  return {
    id: memory.id,
    text: memory.text,
    context: memory.context,
    kind: memory.kind,
    tags: [...memory.tags],
    metadata: memory.metadata,
    dialogue: memory.dialogue === null ? null : [...memory.dialogue],
    entities: [...memory.entities],
    occurred_start: iso(memory.occurredStart),
    occurred_end: iso(memory.occurredEnd),
    mentioned_at: iso(memory.mentionedAt),
    source_ref: memory.sourceRef,
    version: memory.version,
    state: memory.state,
    state_reason: memory.stateReason,
    attempts: memory.attempts,
    next_attempt_at: memory.nextAttemptAt.toISOString(),
    embedded: memory.isEmbedded,
    created_at: memory.createdAt.toISOString(),
    edited_at: iso(memory.editedAt),
    invalidated_at: iso(memory.invalidatedAt),
    significance: memory.significance,
    pin: memory.pin,
    pinned_at: iso(memory.pinnedAt),
    cited_by: memory.citations.map((citation) => ({
      observation_id: citation.observationId,
      memory_version: citation.memoryVersion,
      root_id: citation.rootId,
      root_state: citation.rootState,
      superseded_by: citation.rootSupersededBy,
    })),
  };
}

export function presentObservation(observation: RecalledObservation): z.output<typeof observationSchema> {
  return {
    id: observation.id,
    text: observation.text,
    tags: [...observation.tags],
    state: observation.state,
    version: observation.version,
    valid_from: iso(observation.validFrom),
    valid_to: iso(observation.validTo),
    occurred_start: iso(observation.occurredStart),
    occurred_end: iso(observation.occurredEnd),
    superseded_by: observation.supersededBy,
    canonical_id: observation.canonicalId,
    evidence: observation.evidence,
    sources: observation.sources.map((source) => ({
      id: source.id,
      text: source.text,
      source_ref: source.sourceRef,
      mentioned_at: iso(source.mentionedAt),
      occurred_start: iso(source.occurredStart),
    })),
    conflicts: observation.conflicts.map((conflict) => ({
      id: conflict.id,
      with: conflict.otherId,
      text: conflict.otherText,
      reason: conflict.reason,
    })),
  };
}

export function presentRecall(result: RecallResult): z.output<typeof recallResultSchema> {
  const { items, tokens, degraded, asOf } = result;
  return {
    items: items.map(presentItem),
    tokens,
    degraded,
    as_of: asOf && { at: asOf.at.toISOString(), edited_since: asOf.editedSince },
  };
}

function presentItem(item: RecallItem): z.output<typeof recallResultSchema>['items'][number] {
  if (item.type === 'observation') {
    return { type: 'observation', tokens: item.tokens, ...presentObservation(item.observation) };
  }
  const { memory } = item;
  return {
    type: 'memory',
    tokens: item.tokens,
    id: memory.id,
    text: memory.text,
    context: memory.context,
    kind: memory.kind,
    tags: [...memory.tags],
    state: memory.state,
    source_ref: memory.sourceRef,
    occurred_start: iso(memory.occurredStart),
    occurred_end: iso(memory.occurredEnd),
    mentioned_at: iso(memory.mentionedAt),
    pinned: memory.pin !== null,
    superseded_by: item.supersededBy,
  };
}

export function presentChangeSet(set: ChangeSetSummary): z.output<typeof changeSetSchema> {
  return {
    id: set.id,
    run_id: set.runId,
    decider: set.decider,
    kind: set.kind,
    status: set.status,
    undoes: set.undoes,
    reason: set.reason,
    created_at: set.createdAt.toISOString(),
    ops: set.ops,
    rejected: set.rejected,
  };
}

function presentImage(image: ObservationImage | null | undefined) {
  if (!image) return null;
  return {
    id: image.id,
    text: image.text,
    version: image.version,
    valid_from: isoText(image.validFrom),
    valid_to: isoText(image.validTo),
    occurred_start: isoText(image.occurredStart),
    occurred_end: isoText(image.occurredEnd),
    superseded_by: image.supersededBy,
    canonical_id: image.canonicalId,
    retired_at: isoText(image.retiredAt),
  };
}

/** An op with the texts of the memories that it names; a memory that is gone has none. */
export function presentOp(op: RecordedOp, excerpts: ReadonlyMap<string, Excerpt>): z.output<typeof opSchema> {
  const { before, after } = op;
  const created = presentImage(after?.created);
  const target = presentImage(after?.target);
  const found = presentImage(before?.target);
  return {
    change_set_id: op.changeSetId,
    seq: op.seq,
    group: op.groupNo,
    at: op.at.toISOString(),
    decider: op.decider,
    op: op.op,
    status: op.status,
    target_id: op.targetId,
    result_id: op.resultId,
    base_version: op.baseVersion,
    before: found,
    after: target,
    created,
    before_text: found?.text ?? null,
    after_text: (created ?? target)?.text ?? null,
    sources: [...new Set([...op.memoryIds, ...op.sourceIds])].map((id) => ({
      id,
      text: excerpts.get(id)?.text ?? null,
      mentioned_at: iso(excerpts.get(id)?.mentionedAt ?? null),
    })),
    reason: op.reason,
    verdicts: [...op.verdicts],
  };
}

export function presentRun(run: RunSummary): z.output<typeof runSchema> {
  return {
    id: run.id,
    trigger: run.trigger,
    started_at: run.startedAt.toISOString(),
    finished_at: iso(run.finishedAt),
    outcome: run.outcome,
    counts: run.counts,
  };
}

export function presentConflict(conflict: ConflictRow): z.output<typeof conflictSchema> {
  const side = (row: ConflictRow['left']) => ({ id: row.id, text: row.text, valid_from: isoText(row.validFrom) });
  return {
    id: conflict.id,
    status: conflict.status,
    reason: conflict.reason,
    created_at: conflict.createdAt.toISOString(),
    resolved_at: iso(conflict.resolvedAt),
    resolution: conflict.resolution,
    change_set_id: conflict.changeSetId,
    left: side(conflict.left),
    right: side(conflict.right),
  };
}

export function presentJob(job: QueueJob): z.output<typeof jobSchema> {
  return {
    id: job.id,
    queue: job.queue,
    bank: job.bankId,
    trigger: job.trigger,
    state: job.state,
    created_at: job.createdAt.toISOString(),
    start_after: iso(job.startAfter),
    started_at: iso(job.startedAt),
    finished_at: iso(job.finishedAt),
    retries: job.retries,
    outcome: job.outcome,
  };
}

export function presentQueueCounts(counts: QueueCounts) {
  return {
    ready: counts.ready,
    delayed: counts.delayed,
    active: counts.active,
    oldest_ready_at: iso(counts.oldestReadyAt),
  };
}
