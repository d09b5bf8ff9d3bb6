import { embeddingText } from '../models/embedding-text.ts';
import { finishAttempt, type ShownReplan, startAttempt } from '../store/attempts.ts';
import type { Link } from '../store/observations.ts';
import { loadRelated, type RelatedObservation } from '../store/related-observations.ts';
import type { ReplanSource, ReplanTarget } from '../store/replan-work.ts';
import { readScopeEpoch } from '../store/scopes.ts';
import { applyGroups } from './apply.ts';
import { decisionKey } from './decision-key.ts';
import type { ConsolidationDeps, EngineDeps } from './dependencies.ts';
import type { MissReason } from './guards.ts';
import { admissibleVerdicts, judgePair } from './pair-verdict.ts';
import type { MemoryRef, OpGroup, PlannedOp, ReplanLinks, TargetRef } from './plan.ts';
import { repeatSimilarityOf } from './repeat-similarity.ts';

/** What is to become of an observation whose evidence changed. Pure; see {@link planReplan}. */
export type ReplanDecision =
  /** Some evidence is as it was: the text is written again from that, or stays. */
  | {
      readonly kind: 'rewrite';
      readonly from: readonly ReplanSource[];
      readonly membersFrom: null;
      readonly links: ReplanLinks;
    }
  /** All that is left was edited: the newest edit takes its old observation along, which keeps id and history. */
  | {
      readonly kind: 'rewrite';
      readonly from: readonly ReplanSource[];
      readonly membersFrom: ReplanSource;
      readonly links: ReplanLinks;
    }
  | { readonly kind: 'retire'; readonly links: ReplanLinks };

/** A source counts while it is valid, unchanged and still of the observation's scope (law L7). */
export function planReplan(target: ReplanTarget): ReplanDecision {
  const seen = target.sources.map(toLink);
  const live = target.sources.filter((s) => s.isValid && s.version === s.linkedVersion && s.sameScope);
  const dropped = target.sources.filter((source) => !live.includes(source)).map(toLink);
  const links = { seen, dropped };
  if (live.length > 0) return { kind: 'rewrite', from: live, membersFrom: null, links };
  const edited = target.sources.filter((s) => s.isValid && s.isPending && s.sameScope && s.version !== null).at(-1);
  if (target.isLive && edited) return { kind: 'rewrite', from: [edited], membersFrom: edited, links };
  return { kind: 'retire', links };
}

export interface ReplanReport {
  readonly applied: readonly PlannedOp[];
  /** In review mode: how many ops wait for a person now. */
  readonly proposed: number;
  readonly heldBack: boolean;
  readonly missed: MissReason | null;
  readonly bankGone: boolean;
}

const nearestTwins = 5;

export interface ReplanRequest {
  readonly bankId: string;
  readonly runId: string;
  readonly target: ReplanTarget;
  /** Nothing else is in flight: it is suspected of killing the process. */
  readonly alone: boolean;
  readonly signal: AbortSignal;
}

/** Whether writing it again asks a model: then it may kill or fail as a batch may, and is recorded as one is. */
export function asksModelToRewrite(deps: Pick<ConsolidationDeps, 'decider'>, target: ReplanTarget): boolean {
  return deps.decider.asksModel && target.isLive && planReplan(target).kind === 'rewrite';
}

/** What a decider is about to be shown of it: an attempt accuses exactly this. */
export function shownOf(target: ReplanTarget, alone: boolean): ShownReplan {
  const decision = planReplan(target);
  const from = decision.kind === 'rewrite' ? decision.from.map(toMemoryRef) : [];
  return {
    replan: { id: target.id, version: target.version },
    memories: from.map(({ id, version }) => ({ id, version })),
    alone,
  };
}

/**
 * Writes one observation again from what is left of its evidence, or retires it (law L6, DESIGN §4). The decider and the
 * embedder are asked with no connection held; a miss leaves the mark, so that it is due again. What was written beside it
 * in the same words meanwhile is folded into it.
 *
 * @throws whatever the decider or embedder throws, after the attempt is closed as failed or handed back.
 */
export async function runReplan(deps: EngineDeps, request: ReplanRequest): Promise<ReplanReport> {
  const { bankId, runId, target } = request;
  if (!asksModelToRewrite(deps, target)) return decideAndApply(deps, request, null);
  const attemptId = deps.newId();
  const started = await startAttempt(deps.db, {
    bankId,
    id: attemptId,
    runId,
    instanceId: deps.instanceId,
    memoryIds: [],
    shown: shownOf(target, request.alone),
  });
  if (!started) return { applied: [], proposed: 0, heldBack: false, missed: null, bankGone: true };
  try {
    const report = await decideAndApply(deps, request, attemptId);
    if (report.missed !== null) await finishAttempt(deps.db, { bankId, id: attemptId, outcome: 'applied' });
    return report;
  } catch (thrown) {
    const outcome = request.signal.aborted ? 'handed_back' : 'failed';
    await finishAttempt(deps.db, { bankId, id: attemptId, outcome }).catch(() => undefined);
    throw thrown;
  }
}

async function decideAndApply(
  deps: EngineDeps,
  request: ReplanRequest,
  attemptId: string | null,
): Promise<ReplanReport> {
  const { target, bankId } = request;
  const scopeEpoch = await readScopeEpoch(deps.db, bankId, target.tags);
  const decision = planReplan(target);
  const group = await toGroup(deps, bankId, target, decision, request.signal);
  const result = await applyGroups(deps, {
    bankId,
    runId: request.runId,
    changeSetId: deps.newId(),
    attemptId,
    decider: deps.decider.name,
    decidedBy: decisionKey(deps.decider),
    tags: target.tags,
    embeddingModel: deps.embedder.model.id,
    scopeEpoch,
    repeatSimilarity: repeatSimilarityOf(deps.embedder.model),
    groups: [group],
    rejected: [],
  });
  const applied = result.applied.flatMap((done) => done.ops);
  for (const op of applied) deps.metrics.ops.inc({ op: op.op });
  if (result.heldBack.length > 0) deps.metrics.opsRejected.inc({ validator: 'loss-budget' });
  const missed = result.missed[0]?.reason ?? null;
  if (missed !== null) deps.metrics.replans.inc({ reason: missed });
  const proposed = result.proposed.reduce((sum, waiting) => sum + waiting.ops.length, 0);
  return { applied, proposed, heldBack: result.heldBack.length > 0, missed, bankGone: result.bankGone };
}

async function toGroup(
  deps: ConsolidationDeps,
  bankId: string,
  target: ReplanTarget,
  decision: ReplanDecision,
  signal: AbortSignal,
): Promise<OpGroup> {
  const ref: TargetRef = { id: target.id, seen: { text: target.text, version: target.version } };
  const replan = decision.links;
  if (decision.kind === 'retire') {
    const reason = 'nothing that it rested on is left';
    return { ops: [{ op: 'retire', target: ref, replan, wasLive: target.isLive, reason }], memberIds: [] };
  }
  const memories = decision.from.map(toMemoryRef);
  const memberIds = decision.membersFrom === null ? [] : [decision.membersFrom.memoryId];
  // One that is no longer current keeps its words: they are history.
  if (!target.isLive) {
    const reason = 'evidence went; the text is history';
    return { ops: [{ op: 'reinforce', target: ref, memories, replan, reason }], memberIds };
  }
  const sources = decision.from.map((source) => ({
    text: embeddingText({ text: source.text ?? '' }),
    mentionedAt: source.mentionedAt,
  }));
  const { text, reason } = await deps.decider.rewrite(
    { text: target.text, sources },
    { signal, bankId, subjectIds: [target.id, ...memories.map((memory) => memory.id)] },
  );
  const embedding = await vectorOf(deps, target, text, { signal, bankId });
  const twins = await twinsOf(deps, bankId, { ...target, text, embedding }, signal);
  return {
    ops: [
      text === target.text
        ? { op: 'reinforce', target: ref, memories, replan, reason }
        : { op: 'revise', target: ref, content: { text, embedding }, memories, replan, reason },
      ...twins.map(
        (twin): PlannedOp => ({
          op: 'fold',
          target: { id: twin.id, seen: { text: twin.text, version: twin.version } },
          into: ref,
          reason: twin.reason,
        }),
      ),
    ],
    memberIds,
  };
}

async function vectorOf(
  deps: ConsolidationDeps,
  target: ReplanTarget,
  text: string,
  asked: { readonly signal: AbortSignal; readonly bankId: string },
) {
  if (text === target.text && target.embeddingModel === deps.embedder.model.id) return target.embedding;
  const [embedding] = await deps.embedder.embed([text], { purpose: 'observation', ...asked });
  if (!embedding) throw new Error('the embedder returned no vector');
  return embedding;
}

/**
 * Observations that say what the rewritten one is going to say. While it was marked nobody was shown it, so that the same
 * may have been written anew beside it.
 */
async function twinsOf(
  deps: ConsolidationDeps,
  bankId: string,
  target: Pick<ReplanTarget, 'id' | 'tags' | 'text' | 'validFrom' | 'embedding'>,
  signal: AbortSignal,
): Promise<(RelatedObservation & { readonly reason: string })[]> {
  const model = deps.embedder.model.id;
  const scope = target.tags;
  const query = {
    bankId,
    target: 'observations' as const,
    model,
    vector: target.embedding,
    limit: nearestTwins,
    scope,
  };
  const [hits = []] = await deps.vectors.nearest([{ ...query, liveOnly: true }]);
  const similarity = new Map(hits.map((hit) => [hit.id, hit.similarity]));
  const near = hits.filter((hit) => hit.similarity >= repeatSimilarityOf(deps.embedder.model) && hit.id !== target.id);
  const others = await loadRelated(deps.db, { bankId, tags: scope, ids: near.map((hit) => hit.id) });
  const judged = await Promise.all(
    others.map(async (other) => {
      const pair = { held: target, offered: other, similarity: similarity.get(other.id) ?? 0 };
      if (!admissibleVerdicts(pair).includes('same')) return null;
      const subjectIds = [target.id, other.id];
      const options = { signal, bankId, subjectIds, scope };
      const { verdict, reason } = await judgePair(deps, pair, options, ['same', 'different']);
      return verdict === 'same' ? { ...other, reason } : null;
    }),
  );
  return judged.filter((twin) => twin !== null);
}

function toLink(source: ReplanSource): Link {
  return { observationId: source.observationId, memoryId: source.memoryId, memoryVersion: source.linkedVersion };
}

function toMemoryRef(source: ReplanSource): MemoryRef {
  return {
    id: source.memoryId,
    version: source.version ?? source.linkedVersion,
    occurredStart: source.occurredStart,
    occurredEnd: source.occurredEnd,
    heldAt: source.occurredStart ?? source.mentionedAt,
  };
}
