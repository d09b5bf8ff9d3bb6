import { holdModel } from '../consolidation/hold-model.ts';
import type { Database, Queryable, Tx } from '../db/database.ts';
import { lockBank } from '../store/apply-locks.ts';
import { insertEvents } from '../store/apply-writes.ts';
import { emptyOp, insertChangeSet, type ObservationImage } from '../store/change-ops.ts';
import { activeEmbeddingModel } from '../store/embedding-models.ts';
import {
  deleteLinksTo,
  deleteMemory,
  deleteObservations,
  lockForErasure,
  lockObservationsForErasure,
  lockScopes,
  reopenMemories,
} from '../store/erasure.ts';
import { lockSetsBeside, scrubByproducts, scrubHistory } from '../store/erasure-scrub.ts';
import { insertErasure } from '../store/erasures.ts';
import { historyHolds, leavesTraces, lineageOf, loadLineage, memoriesBeside, pointersAt } from '../store/lineage.ts';
import { markWriter } from '../store/memories.ts';
import { loadMemories, type MemoryRow } from '../store/memory-rows.ts';
import { updateObservations } from '../store/observations.ts';
import { finishRun, insertRun } from '../store/runs.ts';
import { advanceScope } from '../store/scopes.ts';
import type { Clock } from '../telemetry/clock.ts';
import type { Racepoints } from '../telemetry/racepoints.ts';
import { boundsWithout, type Fate, fateOf, fingerprintOf, type Lineage, repointed } from './erasure-plan.ts';
import { CurationContendedError } from './refusals.ts';

export interface ForgetDeps {
  readonly db: Database;
  readonly instanceId: string;
  readonly clock: Clock;
  readonly racepoints: Racepoints;
  readonly newId: () => string;
  /** Told after the commit: what was written again is looked at once more. */
  readonly hint: (bankId: string) => Promise<void>;
  /** Told after the commit, for a note beside the backups. Never throws. */
  readonly onForgotten?: (erased: { readonly bankId: string; readonly memoryId: string }) => Promise<void>;
}

export interface ForgetReport {
  readonly memoryId: string;
  /** Observations that live on other memories, and say what those say. */
  readonly rewritten: readonly string[];
  /** Observations that had nothing else to stand on. */
  readonly deleted: readonly string[];
  /** Entries of the history that lost their texts and can no longer be undone. */
  readonly scrubbedOps: number;
  /** Change sets that waited for a person and can no longer be approved. */
  readonly conflicted: readonly string[];
}

const rounds = 10;

/**
 * Erases a memory and every text made from it, at once and without any model. What is computed is computed with no
 * transaction open, from a reading that is compared with another one under the locks; if anything moved, it starts over.
 *
 * What went without it, by a DELETE, has left words in the history: they are erased as if it were there still.
 *
 * @returns null where there is no such memory and never was, or it was erased; nor a word of it in the history that is
 *   asked for
 * @throws CurationContendedError; EmbeddingModelMovedError for the seconds in which the vectors of another model are being
 *   put in place. Nothing is erased then.
 */
export async function forget(
  deps: ForgetDeps,
  request: {
    readonly bankId: string;
    readonly memoryId: string;
    readonly signal: AbortSignal;
    /** Its words may stand in a history that came without it. Default: what the timeline does not know is not there. */
    readonly evenIfGone?: boolean;
  },
): Promise<ForgetReport | null> {
  const { bankId, memoryId } = request;
  for (let round = 0; round < rounds; round += 1) {
    request.signal.throwIfAborted();
    const [memory] = await loadMemories(deps.db, bankId, [memoryId]);
    const isLeftOver = !memory && (await leavesTraces(deps.db, bankId, memoryId));
    if (!memory && !isLeftOver && request.evenIfGone !== true) return null;
    const plan = await makePlan(deps, bankId, memory ?? { ...gone, id: memoryId }, isLeftOver);
    await deps.racepoints.reach('forget:planned', { memoryId });
    const report = await deps.db.tx({ label: 'forget' }, (tx) => carryOut(tx, deps, bankId, plan));
    if (report === 'moved') continue;
    if (report) await deps.onForgotten?.({ bankId, memoryId });
    await deps.hint(bankId);
    return report;
  }
  throw new CurationContendedError(`what stands on memory ${memoryId} keeps changing; try again`);
}

type Erasable = Pick<MemoryRow, 'id' | 'tags' | 'occurredStart' | 'occurredEnd' | 'mentionedAt'> & {
  /** Null: the memory itself is not there. */
  readonly version: number | null;
};

const gone = { tags: [], version: null, occurredStart: null, occurredEnd: null, mentionedAt: null } as const;

interface ErasurePlan {
  readonly memory: Erasable;
  /** It is not there, and was never erased. */
  readonly isLeftOver: boolean;
  readonly lineage: Lineage;
  readonly fates: ReadonlyMap<string, Fate>;
  /** The model of the vectors in it; none before the first text was embedded. */
  readonly modelId: string;
}

async function readLineage(db: Queryable, bankId: string, memory: Erasable): Promise<Lineage> {
  const memoryId = memory.id;
  // Of what is gone and was erased before, what was written again since is not to be written once more.
  const isThere = memory.version !== null || (await historyHolds(db, bankId, memoryId));
  const observationIds = isThere ? await lineageOf(db, bankId, memoryId) : [];
  const observations = await loadLineage(db, bankId, observationIds);
  const beside = await memoriesBeside(db, bankId, { memoryId, observationIds });
  const known = new Set(observationIds);
  return {
    observationIds,
    observations,
    pointerIds: (await pointersAt(db, bankId, observationIds)).filter((id) => !known.has(id)),
    proposedIds: beside.proposed,
    explainedIds: beside.explained,
  };
}

async function makePlan(deps: ForgetDeps, bankId: string, memory: Erasable, isLeftOver: boolean): Promise<ErasurePlan> {
  const model = await activeEmbeddingModel(deps.db);
  const lineage = await readLineage(deps.db, bankId, memory);
  const fates = new Map(lineage.observations.map((row) => [row.id, fateOf(row, memory.id, model)]));
  return { memory, isLeftOver, lineage, fates, modelId: model?.id ?? '' };
}

async function carryOut(
  tx: Tx,
  deps: ForgetDeps,
  bankId: string,
  plan: ErasurePlan,
): Promise<ForgetReport | 'moved' | null> {
  const { memory, isLeftOver, lineage, fates, modelId } = plan;
  if ((await activeEmbeddingModel(tx))?.id !== (modelId === '' ? undefined : modelId)) return 'moved';
  await holdModel(tx, deps.clock, modelId);
  await markWriter(tx, deps.instanceId);
  if (!(await lockBank(tx, bankId, 'shared'))) return null;
  const scopes = new Map(
    [memory.tags, ...lineage.observations.map((row) => row.tags)].map((t) => [JSON.stringify(t), t]),
  );
  const epochs = await lockScopes(tx, bankId, [...scopes.values()]);
  const orphanIds = [...new Set([...fates.values()].flatMap((fate) => (fate.kind === 'delete' ? fate.orphanIds : [])))];
  const members = [...new Set([...lineage.proposedIds, ...lineage.explainedIds, ...orphanIds])];
  const sources = lineage.observations.flatMap((row) => row.sources.map((source) => source.memoryId));
  const locked = await lockForErasure(tx, bankId, {
    memoryId: memory.id,
    members,
    sources: [...new Set(sources)].filter((id) => id !== memory.id && !members.includes(id)),
  });
  const rows = await lockObservationsForErasure(tx, bankId, [
    ...lineage.observations.map((row) => row.id),
    ...lineage.pointerIds,
  ]);
  const now = await readLineage(tx, bankId, memory);
  if ((locked?.version ?? null) !== memory.version || fingerprintOf(now) !== fingerprintOf(lineage)) return 'moved';
  if (memory.version === null && (await leavesTraces(tx, bankId, memory.id)) !== isLeftOver) return 'moved';

  const erased = { memoryId: memory.id, observationIds: lineage.observationIds, explainedIds: lineage.explainedIds };
  const setIds = await lockSetsBeside(tx, bankId, erased);
  const at = deps.clock.now().toISOString();
  const deleted = new Map(
    [...rows].flatMap(([id, row]) => (fates.get(id)?.kind === 'delete' ? [[id, row.image] as const] : [])),
  );
  const rewritten: string[] = [];
  const changed: { tags: readonly string[]; image: ObservationImage; embedding: Float32Array | null }[] = [];
  for (const [id, row] of rows) {
    if (deleted.has(id)) continue;
    const fate = fates.get(id);
    const moved = repointed(row.image, deleted, at);
    if (fate?.kind !== 'write') {
      if (moved !== row.image) changed.push({ tags: row.tags, image: moved, embedding: null });
      continue;
    }
    const image: ObservationImage = {
      ...moved,
      ...boundsWithout(moved, memory.version === null ? null : memory, fate.sources),
      text: fate.text,
      version: row.image.version + 1,
      // Whoever decides may say it better; until then nobody is shown it.
      needsReplanAt: row.isLive ? (moved.needsReplanAt ?? at) : moved.needsReplanAt,
    };
    rewritten.push(id);
    changed.push({ tags: row.tags, image, embedding: fate.embedding });
  }

  const changeSetId = await recordForgetting(tx, deps, bankId, { rewritten, deleted: [...deleted.keys()] });
  for (const [key, tags] of scopes) {
    const epoch = epochs.get(key);
    if (epoch === undefined) continue;
    await updateObservations(tx, {
      bankId,
      scopeEpoch: epoch + 1,
      embeddingModel: modelId,
      observations: changed
        .filter((row) => JSON.stringify(row.tags) === key)
        .map(({ image, embedding }) => ({ image, embedding, surfaced: false })),
    });
    await advanceScope(tx, bankId, tags, epoch + 1);
  }
  await deleteObservations(tx, bankId, [...deleted.keys()]);
  await deleteLinksTo(tx, bankId, memory.id);
  await reopenMemories(tx, bankId, [...lineage.proposedIds, ...orphanIds]);
  const { ops, conflicted } = await scrubHistory(tx, bankId, erased, [
    ...setIds,
    ...(changeSetId === null ? [] : [changeSetId]),
  ]);
  await scrubByproducts(tx, bankId, erased);
  if (memory.version === null && !isLeftOver && lineage.observationIds.length === 0) return null;
  await deleteMemory(tx, bankId, memory.id);
  await insertErasure(tx, bankId, erased);
  const none = { memoryId: null, observationId: null, changeSetId, detail: {} };
  await insertEvents(tx, bankId, [
    { ...none, kind: 'memory.forgotten', memoryId: memory.id },
    ...rewritten.map((id) => ({ ...none, kind: 'observation.revised', observationId: id })),
    ...[...deleted.keys()].map((id) => ({ ...none, kind: 'observation.erased', observationId: id })),
  ]);
  await deps.racepoints.reach('forget:before-commit', { memoryId: memory.id });
  return { memoryId: memory.id, rewritten, deleted: [...deleted.keys()], scrubbedOps: ops, conflicted };
}

/**
 * That something happened stays in the history, what it was about does not: these ops are scrubbed like the others, and
 * stand above them. Null where no observation had to do with the memory.
 */
async function recordForgetting(
  tx: Tx,
  deps: ForgetDeps,
  bankId: string,
  done: { readonly rewritten: readonly string[]; readonly deleted: readonly string[] },
): Promise<string | null> {
  if (done.rewritten.length + done.deleted.length === 0) return null;
  const [runId, changeSetId] = [deps.newId(), deps.newId()];
  await insertRun(tx, { bankId, id: runId, trigger: 'forget', instanceId: deps.instanceId });
  const op = (kind: 'revise' | 'retire', id: string) => ({
    ...emptyOp,
    op: kind,
    status: 'applied' as const,
    targetId: id,
    observationIds: [id],
  });
  await insertChangeSet(
    tx,
    { bankId, id: changeSetId, runId, decider: 'forget', status: 'applied', reason: null, kind: 'curation' },
    [...done.rewritten.map((id) => op('revise', id)), ...done.deleted.map((id) => op('retire', id))],
  );
  await finishRun(tx, { bankId, id: runId, outcome: 'drained', counts: {} });
  return changeSetId;
}
