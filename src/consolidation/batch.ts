import { finishAttempt, startAttempt } from '../store/attempts.ts';
import { countConsolidated } from '../store/cost-report.ts';
import { type DueMemory, reloadPending } from '../store/due-memories.ts';
import { readScopeEpoch } from '../store/scopes.ts';
import { type ApplyResult, applyGroups, isWhole } from './apply.ts';
import type { ProposedOp } from './decider.ts';
import { decisionKey } from './decision-key.ts';
import { dedup } from './dedup.ts';
import type { EngineDeps } from './dependencies.ts';
import { failureOf } from './failures.ts';
import { type MissReason, sameScope } from './guards.ts';
import type { RejectedOp } from './history.ts';
import { type Refusal, toRefusal } from './notes.ts';
import { inPhase } from './phase.ts';
import { groupOps, observationIdsOf, type PlannedOp, resolveOps } from './plan.ts';
import { type Decision, idsOf, proposeBatch } from './propose-batch.ts';
import { repeatSimilarityOf } from './repeat-similarity.ts';
import type { AnsweredBatch } from './resume.ts';

/** How often a batch may lose to somebody else before its memories go back to the end of the queue. */
export const decisionRounds = 6;

export interface BatchRequest {
  readonly bankId: string;
  readonly runId: string;
  readonly mission: string;
  /** All of one scope, oldest first. */
  readonly memories: readonly DueMemory[];
  /** Where the batch goes on from an answer that is paid for. */
  readonly answered: AnsweredBatch | null;
  readonly signal: AbortSignal;
}

export interface BatchReport {
  readonly bankGone: boolean;
  /** What was applied, in order. */
  readonly applied: readonly PlannedOp[];
  /** In review mode: how many ops wait for a person now. */
  readonly proposed: number;
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
export async function runBatch(deps: EngineDeps, request: BatchRequest): Promise<BatchReport> {
  const { bankId, runId, answered } = request;
  const memoryIds = request.memories.map((memory) => memory.id);
  const attemptId = deps.newId();
  const started = await startAttempt(deps.db, {
    bankId,
    id: attemptId,
    runId,
    instanceId: deps.instanceId,
    memoryIds,
    requestHash: answered?.requestHash,
    shown: answered?.shown,
    decidedBy: decisionKey(deps.decider),
  });
  if (!started)
    return { bankGone: true, applied: [], proposed: 0, rejected: [], replans: 0, noProgress: [], contended: [] };
  await deps.racepoints.reach('batch:attempt-recorded', { memoryIds });
  const run = new BatchRun(deps, request, attemptId);
  try {
    return await run.run();
  } catch (thrown) {
    const outcome = request.signal.aborted ? 'handed_back' : 'failed';
    const answerIsUseless = outcome === 'failed' && failureOf(thrown).kind === 'content';
    // Best effort: with the database gone too, the next run closes the attempt as crashed, which one crash survives.
    await finishAttempt(deps.db, { bankId, id: attemptId, outcome, answerIsUseless }).catch(() => undefined);
    throw thrown;
  } finally {
    // A figure of a report: no work fails by it.
    await run.countDecided().catch(() => undefined);
  }
}

class BatchRun {
  readonly #deps: EngineDeps;
  readonly #request: BatchRequest;
  readonly #attemptId: string;
  readonly #tags: readonly string[];
  readonly #repeatSimilarity: number;
  readonly #applied: PlannedOp[] = [];
  #proposed = 0;
  readonly #decided = new Set<string>();
  readonly #rejected: RejectedOp[] = [];
  readonly #mustShow = new Set<string>();
  readonly #askedAgain: Set<string>;
  readonly #noProgress: DueMemory[] = [];
  /**
   * Of the memories that are asked for again, what was said of them and refused. Kept for all later rounds: without it a
   * third request might be the first one again, whose answer is known.
   */
  readonly #refusals = new Map<string, readonly Refusal[]>();
  #answered: AnsweredBatch | null;
  #replans = 0;
  #attemptEnded = false;
  #bankGone = false;

  constructor(deps: EngineDeps, request: BatchRequest, attemptId: string) {
    this.#deps = deps;
    this.#request = request;
    this.#attemptId = attemptId;
    this.#tags = request.memories[0]?.tags ?? [];
    this.#repeatSimilarity = repeatSimilarityOf(deps.embedder.model);
    this.#answered = request.answered;
    this.#askedAgain = new Set(request.answered?.shown.askedAgain);
  }

  async run(): Promise<BatchReport> {
    const { bankId } = this.#request;
    let memories: readonly DueMemory[] = this.#request.memories;
    for (let round = 0; round < decisionRounds && memories.length > 0 && !this.#bankGone; round += 1) {
      this.#request.signal.throwIfAborted();
      const againIds = await this.#decideOnce(memories);
      const pending = againIds.length === 0 ? [] : await reloadPending(this.#deps.db, bankId, againIds);
      // One that is gone may have been forgotten, and what was refused may quote it: nobody is told of it any more.
      if (pending.length < againIds.length) for (const id of this.#refusals.keys()) this.#refusals.set(id, []);
      // One that an edit moved to another scope is due there, beside other observations (law L7).
      memories = pending.filter((memory) => sameScope(memory.tags, this.#tags));
    }
    if (!this.#attemptEnded && !this.#bankGone) {
      await finishAttempt(this.#deps.db, { bankId, id: this.#attemptId, outcome: 'applied' });
    }
    return {
      bankGone: this.#bankGone,
      applied: this.#applied,
      proposed: this.#proposed,
      rejected: this.#rejected,
      replans: this.#replans,
      noProgress: this.#noProgress,
      contended: this.#bankGone ? [] : memories,
    };
  }

  /** For the cost of 1,000 memories. */
  async countDecided(): Promise<void> {
    if (!this.#deps.decider.asksModel || this.#decided.size === 0) return;
    const decided = { attemptId: this.#attemptId, memories: this.#decided.size };
    await countConsolidated(this.#deps.db, this.#request.bankId, decided);
  }

  /** One round; returns the ids of the memories that have to be decided again. */
  async #decideOnce(memories: readonly DueMemory[]): Promise<string[]> {
    const deps = this.#deps;
    const { bankId, mission, signal } = this.#request;
    const decision = await proposeBatch(deps, {
      bankId,
      tags: this.#tags,
      mission,
      memories,
      mustShow: [...this.#mustShow],
      refusals: this.#refusals,
      askedAgain: [...this.#askedAgain],
      answered: this.#answered,
      attemptId: this.#attemptId,
      signal,
    });
    this.#answered = null;
    this.#rejected.push(...decision.rejected);
    const again = new Set<string>(this.#unnamed(memories, decision));
    for (const id of again) this.#refusals.set(id, decision.refusals.get(id) ?? []);
    let { ops, searched, scopeEpoch } = decision;

    for (let round = 0; round < decisionRounds; round += 1) {
      const judged = await inPhase(deps, 'dedup', () =>
        dedup(deps, {
          bankId,
          tags: this.#tags,
          model: deps.embedder.model.id,
          ops,
          aliases: decision.presentation.aliases,
          vectors: decision.vectors,
          shown: decision.shown,
          searched,
          comparesSiblings: deps.decider.asksModel && round === 0,
          repeatSimilarity: this.#repeatSimilarity,
          signal,
        }),
      );
      await deps.racepoints.reach('batch:deduplicated', { memoryIds: memories.map((memory) => memory.id) });
      if (judged.kind === 'show') {
        for (const id of judged.observationIds) this.#mustShow.add(id);
        this.#countReplan('scope_moved');
        return [...again, ...this.#namedBy(decision, ops)];
      }
      const planned = resolveOps(judged.ops, decision.presentation.aliases, decision.vectors);
      const proposals = new Map(planned.map((op, index) => [op, judged.ops[index]]));
      const endsAttempt = again.size === 0;
      const result = await inPhase(deps, 'apply', () =>
        this.#apply(decision, planned, { scopeEpoch, endsAttempt, rejected: round === 0 ? decision.rejected : [] }),
      );
      if (result.bankGone) {
        this.#bankGone = true;
        return [];
      }
      this.#take(result);
      if (endsAttempt && isWhole(result)) this.#attemptEnded = true;
      for (const { group, rejected } of result.kept) {
        for (const id of this.#asksAgain(memories, group.memberIds)) {
          again.add(id);
          this.#refusals.set(id, rejected.map(toRefusal));
        }
      }
      const moved = result.missed.filter((miss) => miss.reason === 'scope_moved').map((miss) => miss.group);
      for (const miss of result.missed) {
        this.#countReplan(miss.reason);
        if (miss.reason !== 'scope_moved') for (const id of miss.group.memberIds) again.add(id);
      }
      if (moved.length === 0) return [...again];
      // The ready vectors met something written since: the same answer, judged again beside what is there now.
      ops = moved.flatMap((group) => group.ops.flatMap((op) => proposals.get(op) ?? []));
      searched = new Set();
      scopeEpoch = await readScopeEpoch(deps.db, bankId, this.#tags);
    }
    return [...again, ...this.#namedBy(decision, ops)];
  }

  /** Memories that no accepted op names: asked for once more, told why, then without progress (law L5). */
  #unnamed(memories: readonly DueMemory[], decision: Decision): string[] {
    const named = new Set(this.#namedBy(decision, decision.ops));
    const unnamed = memories.filter((memory) => !named.has(memory.id)).map((memory) => memory.id);
    return this.#asksAgain(memories, unnamed);
  }

  #asksAgain(memories: readonly DueMemory[], ids: readonly string[]): string[] {
    const askAgain: string[] = [];
    for (const memory of memories) {
      if (!ids.includes(memory.id)) continue;
      if (this.#askedAgain.has(memory.id)) this.#noProgress.push(memory);
      else {
        this.#askedAgain.add(memory.id);
        askAgain.push(memory.id);
      }
    }
    return askAgain;
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
    options: {
      readonly scopeEpoch: number;
      readonly endsAttempt: boolean;
      readonly rejected: readonly RejectedOp[];
    },
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
      scopeEpoch: options.scopeEpoch,
      repeatSimilarity: this.#repeatSimilarity,
      groups: groupOps(planned),
      rejected: options.rejected,
      shown: {
        memoryIds: idsOf(
          decision.presentation,
          decision.presentation.batch.memories.map((memory) => memory.alias),
        ),
        observationIds: [...decision.shown.keys()],
        scopeEpoch: decision.shownEpoch,
      },
    });
  }

  #take(result: ApplyResult): void {
    const ops = result.applied.flatMap((group) => group.ops);
    for (const op of ops) this.#deps.metrics.ops.inc({ op: op.op });
    this.#applied.push(...ops);
    for (const group of [...result.applied, ...result.proposed])
      for (const id of group.memberIds) this.#decided.add(id);
    for (const group of result.proposed) this.#proposed += group.ops.length;
    for (const { rejected } of result.kept) {
      for (const { validator } of rejected) this.#deps.metrics.opsRejected.inc({ validator });
      this.#rejected.push(...rejected);
    }
    for (const group of result.heldBack) {
      for (const op of group.ops) {
        this.#deps.metrics.opsRejected.inc({ validator: 'loss-budget' });
        const { memberIds: memoryIds } = group;
        const observationIds = observationIdsOf(op);
        this.#rejected.push({ op: op.op, validator: 'loss-budget', reason: op.reason, memoryIds, observationIds });
      }
    }
  }

  #countReplan(reason: MissReason): void {
    this.#replans += 1;
    this.#deps.metrics.replans.inc({ reason });
  }
}
