import { embeddingText } from '../models/embedding-text.ts';
import { recordRequest, type ShownRows } from '../store/attempts.ts';
import type { DueMemory } from '../store/due-memories.ts';
import type { RelatedObservation } from '../store/related-observations.ts';
import { readScopeEpoch } from '../store/scopes.ts';
import type { Alias, ProposedOp } from './decider.ts';
import type { ConsolidationDeps } from './dependencies.ts';
import type { RejectedOp } from './history.ts';
import type { Refusal } from './notes.ts';
import { inPhase } from './phase.ts';
import type { EmbeddedMemory, Presentation } from './present.ts';
import { observationsShown } from './resume.ts';
import { type BatchToShow, showBatch, showBeside } from './show-batch.ts';
import { targetsNamed } from './validators/alias-in-range.ts';
import { validateProposal } from './validators/validate-proposal.ts';

/** A judged answer on its way to the store. */
export interface Decision {
  readonly presentation: Presentation;
  /** Observations that the decider has seen, by id, with the text it saw. */
  readonly shown: ReadonlyMap<string, string>;
  readonly vectors: ReadonlyMap<string, Float32Array>;
  /** Texts that recall searched for, and nothing was written since. */
  readonly searched: ReadonlySet<string>;
  readonly ops: readonly ProposedOp[];
  readonly rejected: readonly RejectedOp[];
  /** The same by memory, for the decider to read. */
  readonly refusals: ReadonlyMap<string, readonly Refusal[]>;
  /** Of the scope before its texts were compared with it (law L3). */
  readonly scopeEpoch: number;
  /** Of the scope before any of what was shown was read. */
  readonly shownEpoch: number;
}

export interface ProposeRequest extends Omit<BatchToShow, 'memories'> {
  readonly attemptId: string;
  readonly memories: readonly DueMemory[];
  /** Memories that the batch has asked about before. */
  readonly askedAgain: readonly string[];
  /** Of a batch that goes on from its stored answer. */
  readonly answered: { readonly requestHash: Buffer; readonly shown: ShownRows } | null;
  readonly signal: AbortSignal;
}

/** Recall → propose → validate → embed. No connection is held but inside the single statements (law L1). */
export async function proposeBatch(deps: ConsolidationDeps, request: ProposeRequest): Promise<Decision> {
  const { bankId, tags, signal } = request;
  const memories = await withVectors(deps, request.memories, { signal, bankId });
  const memoryIds = memories.map((memory) => memory.id);
  // Before recall, so that whatever recall could not see yet carries a higher epoch (law L3).
  const epoch = await readScopeEpoch(deps.db, bankId, tags);
  const batch: BatchToShow = { ...request, memories };
  const { presentation, observations, incomplete, isRecalled } = await inPhase(deps, 'recall', () =>
    prepare(deps, request, batch),
  );
  await deps.racepoints.reach('batch:recalled', { memoryIds });

  const shown: ShownRows = {
    memories: memories.map(({ id, version }) => ({ id, version })),
    observations: observations.map(({ id, version }) => ({ id, version })),
    askedAgain: request.askedAgain,
  };
  const proposal = await inPhase(deps, 'propose', () =>
    deps.decider.propose(presentation.batch, {
      signal,
      bankId,
      subjectIds: [...memories, ...observations].map((row) => row.id),
      onRequest: deps.decider.asksModel
        ? (requestHash) => recordRequest(deps.db, { bankId, id: request.attemptId, requestHash, shown })
        : undefined,
      answeredBefore: isRecalled ? undefined : request.answered?.requestHash,
    }),
  );
  await deps.racepoints.reach('batch:proposed', { memoryIds });

  const judged = validateProposal(presentation.batch, proposal);
  const refused = [
    ...(proposal.malformed ?? []).map((entry) => ({
      op: 'skip' as const,
      memories: entry.memories,
      targets: [],
      refusal: { op: 'element', text: null, validator: 'malformed-op' as const, reason: entry.reason },
    })),
    ...judged.rejected.map(({ op, validator, reason }) => ({
      op: op.op,
      memories: 'memories' in op ? op.memories : [],
      targets: targetsNamed(op),
      refusal: { op: op.op, text: 'text' in op ? op.text : null, validator, reason },
    })),
  ].map((entry) => ({
    ...entry,
    memoryIds: idsOf(presentation, entry.memories),
    observationIds: [...new Set(entry.targets.flatMap((alias) => presentation.observationIdOf(alias) ?? []))],
  }));
  for (const { refusal } of refused) deps.metrics.opsRejected.inc({ validator: refusal.validator });
  await deps.racepoints.reach('batch:validated', { memoryIds });

  const vectors = await vectorsOf(deps, judged.accepted, memories, { signal, bankId });
  await deps.racepoints.reach('batch:embedded', { memoryIds });

  // While a model thinks, the scope moves on. Searched again now, with no lock held, the apply has next to nothing left to
  // compare under its own: with 64 batches of one scope it read some 300 vectors there.
  const epochNow = deps.decider.asksModel && isRecalled ? await readScopeEpoch(deps.db, bankId, tags) : epoch;
  const isFresh = isRecalled && epochNow === epoch;
  return {
    presentation,
    shown: new Map(observations.map((observation) => [observation.id, observation.text])),
    vectors,
    searched: isFresh
      ? new Set(memories.filter((_, index) => !incomplete.has(index)).map(embeddingText))
      : new Set<string>(),
    ops: judged.accepted,
    rejected: refused.map(({ op, refusal: { validator, reason }, memoryIds: named, observationIds }) => ({
      op,
      validator,
      reason,
      memoryIds: named,
      observationIds,
    })),
    refusals: byMemory(refused),
    scopeEpoch: epochNow,
    shownEpoch: epoch,
  };
}

/** The batch as it was shown when its answer came, or else as recall finds it now. */
async function prepare(
  deps: ConsolidationDeps,
  request: ProposeRequest,
  batch: BatchToShow,
): Promise<{
  presentation: Presentation;
  observations: readonly RelatedObservation[];
  incomplete: ReadonlySet<number>;
  isRecalled: boolean;
}> {
  if (request.answered !== null) {
    const { bankId, tags } = request;
    const observations = await observationsShown(deps, bankId, { tags, shown: request.answered.shown });
    if (observations !== null) {
      const presentation = showBeside(deps, batch, observations);
      return { presentation, observations, incomplete: new Set(), isRecalled: false };
    }
  }
  return { ...(await showBatch(deps, batch)), isRecalled: true };
}

/** Vectors of memories that the background embedder has not reached yet; they are stored by it, not here. */
async function withVectors(
  deps: ConsolidationDeps,
  memories: readonly DueMemory[],
  asked: { readonly signal: AbortSignal; readonly bankId: string },
): Promise<EmbeddedMemory[]> {
  const { id: model, dimensions } = deps.embedder.model;
  const missing = memories.filter(
    (memory) => memory.embeddingModel !== model || !isUsable(memory.embedding, dimensions),
  );
  const vectors =
    missing.length === 0
      ? []
      : await inPhase(deps, 'embed', () =>
          deps.embedder.embed(missing.map(embeddingText), { purpose: 'memory', ...asked }),
        );
  const made = new Map(missing.map((memory, index) => [memory.id, vectors[index]]));
  return memories.flatMap((memory) => {
    const embedding = made.get(memory.id) ?? memory.embedding;
    return embedding === null ? [] : [{ ...memory, embedding }];
  });
}

/** A text that is a memory's own, word for word, has that memory's vector; the others are embedded now. */
async function vectorsOf(
  deps: ConsolidationDeps,
  ops: readonly ProposedOp[],
  memories: readonly EmbeddedMemory[],
  asked: { readonly signal: AbortSignal; readonly bankId: string },
): Promise<ReadonlyMap<string, Float32Array>> {
  const vectors = new Map(memories.map((memory) => [embeddingText(memory), memory.embedding]));
  const texts = [...new Set(ops.flatMap((op) => ('text' in op ? [op.text] : [])))].filter((text) => !vectors.has(text));
  if (texts.length === 0) return vectors;
  const made = await inPhase(deps, 'embed', () => deps.embedder.embed(texts, { purpose: 'observation', ...asked }));
  texts.forEach((text, index) => {
    const vector = made[index];
    if (vector) vectors.set(text, vector);
  });
  return vectors;
}

function byMemory(
  refused: readonly { readonly memoryIds: readonly string[]; readonly refusal: Refusal }[],
): ReadonlyMap<string, readonly Refusal[]> {
  const refusals = new Map<string, Refusal[]>();
  for (const { memoryIds, refusal } of refused) {
    for (const id of memoryIds) refusals.set(id, [...(refusals.get(id) ?? []), refusal]);
  }
  return refusals;
}

export function idsOf(presentation: Presentation, aliases: readonly Alias[]): string[] {
  return [...new Set(aliases.flatMap((alias) => presentation.memoryIdOf(alias) ?? []))];
}

/** Plain SQL may have stored anything under the model's name. */
function isUsable(embedding: Float32Array | null, dimensions: number): boolean {
  return embedding !== null && embedding.length === dimensions && embedding.every(Number.isFinite);
}
