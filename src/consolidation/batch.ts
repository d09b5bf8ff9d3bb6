import { embeddingText } from '../models/embedding-text.ts';
import { finishAttempt, startAttempt } from '../store/attempts.ts';
import { type DueMemory, reloadPending } from '../store/due-memories.ts';
import { readScopeEpoch } from '../store/scopes.ts';
import { type ApplyResult, applyGroups } from './apply.ts';
import type { Alias, ProposedOp } from './decider.ts';
import { decisionKey } from './decision-key.ts';
import { dedup } from './dedup.ts';
import type { ConsolidationDeps } from './dependencies.ts';
import { type MissReason, sameScope } from './guards.ts';
import type { RejectedOp } from './history.ts';
import { groupOps, type PlannedOp, resolveOps } from './plan.ts';
import { type EmbeddedMemory, type Presentation, present } from './present.ts';
import { recallRelated } from './recall-related.ts';
import { repeatSimilarityOf } from './repeat-similarity.ts';
import { validateProposal } from './validators/validate-proposal.ts';

/** How often a batch may lose to somebody else before its memories go back to the end of the queue. */
export const decisionRounds = 6;

export interface BatchRequest {
  readonly bankId: string;
  readonly runId: string;
  readonly mission: string;
  /** All of one scope, oldest first. */
  readonly memories: readonly DueMemory[];
  readonly signal: AbortSignal;
}

export interface BatchReport {
  readonly bankGone: boolean;
  /** What was applied, in order. */
  readonly applied: readonly PlannedOp[];
  readonly rejected: readonly RejectedOp[];
  readonly replans: number;
  /** Memories that no accepted op named, though asked for twice. */
  readonly noProgress: readonly DueMemory[];
  /** Memories that were still to be decided when the rounds were used up. */
  readonly contended: readonly DueMemory[];
}

/**
 * Decides one batch and applies what holds, as often as it takes: recall → propose → validate → embed → dedup → apply.
 * No connection is held but inside the single statements of recall and inside apply (law L1).
 *
 * @throws whatever the decider or embedder throws, after the attempt is closed as failed or handed back.
 */
export async function runBatch(deps: ConsolidationDeps, request: BatchRequest): Promise<BatchReport> {
  const { bankId, runId } = request;
  const memoryIds = request.memories.map((memory) => memory.id);
  const attemptId = deps.newId();
  const started = await startAttempt(deps.db, { bankId, id: attemptId, runId, instanceId: deps.instanceId, memoryIds });
  if (!started) return { bankGone: true, applied: [], rejected: [], replans: 0, noProgress: [], contended: [] };
  await deps.racepoints.reach('batch:attempt-recorded', { memoryIds });
  try {
    return await new BatchRun(deps, request, attemptId).run();
  } catch (thrown) {
    const outcome = request.signal.aborted ? 'handed_back' : 'failed';
    // Best effort: with the database gone too, the next run closes the attempt as crashed, which one crash survives.
    await finishAttempt(deps.db, { bankId, id: attemptId, outcome }).catch(() => undefined);
    throw thrown;
  }
}

/** A round's proposal on its way to the store. */
interface Decision {
  readonly presentation: Presentation;
  readonly shown: ReadonlyMap<string, string>;
  readonly vectors: Map<string, Float32Array>;
  readonly verbatim: ReadonlySet<string>;
  readonly ops: readonly ProposedOp[];
  readonly rejected: readonly RejectedOp[];
  scopeEpoch: number;
}

class BatchRun {
  readonly #deps: ConsolidationDeps;
  readonly #request: BatchRequest;
  readonly #attemptId: string;
  readonly #tags: readonly string[];
  readonly #repeatSimilarity: number;
  readonly #applied: PlannedOp[] = [];
  readonly #rejected: RejectedOp[] = [];
  readonly #mustShow = new Set<string>();
  readonly #askedAgain = new Set<string>();
  readonly #noProgress: DueMemory[] = [];
  #replans = 0;
  #attemptEnded = false;
  #bankGone = false;

  constructor(deps: ConsolidationDeps, request: BatchRequest, attemptId: string) {
    this.#deps = deps;
    this.#request = request;
    this.#attemptId = attemptId;
    this.#tags = request.memories[0]?.tags ?? [];
    this.#repeatSimilarity = repeatSimilarityOf(deps.embedder.model.id);
  }

  async run(): Promise<BatchReport> {
    const { bankId } = this.#request;
    let memories: readonly DueMemory[] = this.#request.memories;
    for (let round = 0; round < decisionRounds && memories.length > 0 && !this.#bankGone; round += 1) {
      this.#request.signal.throwIfAborted();
      const againIds = await this.#decideOnce(memories);
      const pending = againIds.length === 0 ? [] : await reloadPending(this.#deps.db, bankId, againIds);
      // One that an edit moved to another scope is due there, beside other observations (law L7).
      memories = pending.filter((memory) => sameScope(memory.tags, this.#tags));
    }
    if (!this.#attemptEnded && !this.#bankGone) {
      await finishAttempt(this.#deps.db, { bankId, id: this.#attemptId, outcome: 'applied' });
    }
    return {
      bankGone: this.#bankGone,
      applied: this.#applied,
      rejected: this.#rejected,
      replans: this.#replans,
      noProgress: this.#noProgress,
      contended: this.#bankGone ? [] : memories,
    };
  }

  /** One round; returns the ids of the memories that have to be decided again. */
  async #decideOnce(candidates: readonly DueMemory[]): Promise<string[]> {
    const memories = await this.#withVectors(candidates);
    const decision = await this.#propose(memories);
    const unnamed = this.#unnamed(memories, decision);
    let ops = decision.ops;
    let probeAll = false;
    const again = new Set<string>(unnamed.askAgain);

    for (let round = 0; round < decisionRounds; round += 1) {
      const judged = await this.#phase('dedup', () =>
        dedup(this.#deps, {
          bankId: this.#request.bankId,
          tags: this.#tags,
          model: this.#deps.embedder.model.id,
          ops,
          aliases: decision.presentation.aliases,
          vectors: decision.vectors,
          shown: decision.shown,
          searched: probeAll ? new Set() : decision.verbatim,
          repeatSimilarity: this.#repeatSimilarity,
          signal: this.#request.signal,
        }),
      );
      await this.#reach('batch:deduplicated', memories);
      if (judged.kind === 'show') {
        for (const id of judged.observationIds) this.#mustShow.add(id);
        this.#countReplan('scope_moved');
        return [...again, ...this.#namedBy(decision, ops)];
      }
      const planned = resolveOps(judged.ops, decision.presentation.aliases, decision.vectors);
      const proposals = new Map(planned.map((op, index) => [op, judged.ops[index]]));
      const endsAttempt = again.size === 0;
      const result = await this.#phase('apply', () =>
        this.#apply(decision, planned, { endsAttempt, withRejected: round === 0 }),
      );
      if (result.bankGone) {
        this.#bankGone = true;
        return [];
      }
      this.#take(result);
      if (endsAttempt && result.missed.length === 0) this.#attemptEnded = true;
      const moved = result.missed.filter((miss) => miss.reason === 'scope_moved').map((miss) => miss.group);
      for (const miss of result.missed) {
        this.#countReplan(miss.reason);
        if (miss.reason !== 'scope_moved') for (const id of miss.group.memberIds) again.add(id);
      }
      if (moved.length === 0) return [...again];
      // The ready vectors met something written since: the same answer, judged again beside what is there now.
      ops = moved.flatMap((group) => group.ops.flatMap((op) => proposals.get(op) ?? []));
      probeAll = true;
      decision.scopeEpoch = await readScopeEpoch(this.#deps.db, this.#request.bankId, this.#tags);
    }
    return [...again, ...this.#namedBy(decision, ops)];
  }

  /** Vectors of memories that the background embedder has not reached yet; they are stored by it, not here. */
  async #withVectors(memories: readonly DueMemory[]): Promise<EmbeddedMemory[]> {
    const { id: model, dimensions } = this.#deps.embedder.model;
    const missing = memories.filter(
      (memory) => memory.embeddingModel !== model || !isUsable(memory.embedding, dimensions),
    );
    const vectors =
      missing.length === 0
        ? []
        : await this.#phase('embed', () =>
            this.#deps.embedder.embed(missing.map(embeddingText), { purpose: 'memory', signal: this.#request.signal }),
          );
    const made = new Map(missing.map((memory, index) => [memory.id, vectors[index]]));
    return memories.flatMap((memory) => {
      const embedding = made.get(memory.id) ?? memory.embedding;
      return embedding === null ? [] : [{ ...memory, embedding }];
    });
  }

  async #propose(memories: readonly EmbeddedMemory[]): Promise<Decision> {
    const deps = this.#deps;
    const { bankId, signal } = this.#request;
    // Before recall, so that whatever recall could not see yet carries a higher epoch (law L3).
    const scopeEpoch = await readScopeEpoch(deps.db, bankId, this.#tags);
    const { observations, incomplete } = await this.#phase('recall', () =>
      recallRelated(deps, {
        bankId,
        tags: this.#tags,
        model: deps.embedder.model.id,
        withSources: deps.decider.readsSources,
        memories,
        repeatSimilarity: this.#repeatSimilarity,
        mustShow: [...this.#mustShow],
      }),
    );
    await this.#reach('batch:recalled', memories);

    const presentation = present({ mission: this.#request.mission, memories, observations, newId: deps.newId });
    const proposal = await this.#phase('propose', () =>
      deps.decider.propose(presentation.batch, {
        signal,
        bankId,
        subjectIds: [...memories, ...observations].map((row) => row.id),
      }),
    );
    await this.#reach('batch:proposed', memories);

    const judged = validateProposal(presentation.batch, proposal);
    const rejected = judged.rejected.map(
      (rejection): RejectedOp => ({
        op: rejection.op.op,
        validator: rejection.validator,
        reason: rejection.reason,
        memoryIds: idsOf(presentation, 'memories' in rejection.op ? rejection.op.memories : []),
      }),
    );
    for (const rejection of rejected) deps.metrics.opsRejected.inc({ validator: rejection.validator });
    this.#rejected.push(...rejected);
    await this.#reach('batch:validated', memories);

    const vectors = await this.#vectorsOf(judged.accepted, memories);
    await this.#reach('batch:embedded', memories);
    return {
      presentation,
      shown: new Map(observations.map((observation) => [observation.id, observation.text])),
      vectors,
      verbatim: new Set(memories.filter((_, index) => !incomplete.has(index)).map(embeddingText)),
      ops: judged.accepted,
      rejected,
      scopeEpoch,
    };
  }

  /** A text that is a memory's own, word for word, has that memory's vector; the others are embedded now. */
  async #vectorsOf(
    ops: readonly ProposedOp[],
    memories: readonly EmbeddedMemory[],
  ): Promise<Map<string, Float32Array>> {
    const vectors = new Map(memories.map((memory) => [embeddingText(memory), memory.embedding]));
    const texts = [...new Set(ops.flatMap((op) => ('text' in op ? [op.text] : [])))].filter(
      (text) => !vectors.has(text),
    );
    if (texts.length === 0) return vectors;
    const made = await this.#phase('embed', () =>
      this.#deps.embedder.embed(texts, { purpose: 'observation', signal: this.#request.signal }),
    );
    texts.forEach((text, index) => {
      const vector = made[index];
      if (vector) vectors.set(text, vector);
    });
    return vectors;
  }

  /** Memories that no accepted op names: asked for once more, then without progress (law L5). */
  #unnamed(memories: readonly DueMemory[], decision: Decision): { askAgain: string[] } {
    const named = new Set(this.#namedBy(decision, decision.ops));
    const askAgain: string[] = [];
    for (const memory of memories) {
      if (named.has(memory.id)) continue;
      if (this.#askedAgain.has(memory.id)) this.#noProgress.push(memory);
      else {
        this.#askedAgain.add(memory.id);
        askAgain.push(memory.id);
      }
    }
    return { askAgain };
  }

  #namedBy(decision: Decision, ops: readonly ProposedOp[]): string[] {
    return idsOf(
      decision.presentation,
      ops.flatMap((op) => ('memories' in op ? op.memories : [])),
    );
  }

  #apply(
    decision: Decision,
    planned: readonly PlannedOp[],
    options: { readonly endsAttempt: boolean; readonly withRejected: boolean },
  ): Promise<ApplyResult> {
    return applyGroups(this.#deps, {
      bankId: this.#request.bankId,
      runId: this.#request.runId,
      changeSetId: this.#deps.newId(),
      attemptId: options.endsAttempt ? this.#attemptId : null,
      decider: this.#deps.decider.name,
      decidedBy: decisionKey(this.#deps.decider),
      tags: this.#tags,
      embeddingModel: this.#deps.embedder.model.id,
      scopeEpoch: decision.scopeEpoch,
      repeatSimilarity: this.#repeatSimilarity,
      groups: groupOps(planned),
      rejected: options.withRejected ? decision.rejected : [],
    });
  }

  #take(result: ApplyResult): void {
    const ops = result.applied.flatMap((group) => group.ops);
    for (const op of ops) this.#deps.metrics.ops.inc({ op: op.op });
    this.#applied.push(...ops);
    for (const group of result.heldBack) {
      for (const op of group.ops) {
        this.#deps.metrics.opsRejected.inc({ validator: 'loss-budget' });
        this.#rejected.push({ op: op.op, validator: 'loss-budget', reason: op.reason, memoryIds: group.memberIds });
      }
    }
  }

  #countReplan(reason: MissReason): void {
    this.#replans += 1;
    this.#deps.metrics.replans.inc({ reason });
  }

  #reach(
    name: 'batch:recalled' | 'batch:proposed' | 'batch:validated' | 'batch:embedded' | 'batch:deduplicated',
    memories: readonly DueMemory[],
  ) {
    return this.#deps.racepoints.reach(name, { memoryIds: memories.map((memory) => memory.id) });
  }

  async #phase<T>(phase: 'recall' | 'propose' | 'embed' | 'dedup' | 'apply', work: () => Promise<T>): Promise<T> {
    const startedMs = this.#deps.clock.monotonicMs();
    try {
      return await work();
    } finally {
      this.#deps.metrics.batchPhaseSeconds.observe({ phase }, (this.#deps.clock.monotonicMs() - startedMs) / 1000);
    }
  }
}

function idsOf(presentation: Presentation, aliases: readonly Alias[]): string[] {
  return [...new Set(aliases.flatMap((alias) => presentation.memoryIdOf(alias) ?? []))];
}

/** Plain SQL may have stored anything under the model's name. */
function isUsable(embedding: Float32Array | null, dimensions: number): boolean {
  return embedding !== null && embedding.length === dimensions && embedding.every(Number.isFinite);
}
