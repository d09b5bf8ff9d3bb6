import { loadRelated, type RelatedObservation } from '../store/related-observations.ts';
import { cosine } from './cosine.ts';
import type { Alias, Judgement, PairToJudge, ProposedOp } from './decider.ts';
import type { ConsolidationDeps } from './dependencies.ts';
import { asJudged, type Create, judgePair, renamed } from './pair-verdict.ts';
import { type AliasTable, aliasOf } from './plan.ts';
import { settleSiblings } from './siblings.ts';

const nearestPerText = 5;

export type DedupResult =
  | { readonly kind: 'ops'; readonly ops: readonly ProposedOp[] }
  /** A text other than a plain create repeats something that the decider was not shown: it has to decide again, shown these. */
  | { readonly kind: 'show'; readonly observationIds: readonly string[] };

export interface DedupRequest {
  readonly bankId: string;
  readonly tags: readonly string[];
  readonly model: string;
  readonly ops: readonly ProposedOp[];
  readonly aliases: AliasTable;
  readonly vectors: ReadonlyMap<string, Float32Array>;
  /** Observations that the decider has seen, by id, with the text it saw: those it has judged already. */
  readonly shown: ReadonlyMap<string, string>;
  /** Texts that need no search of their own: recall searched for them before the decider spoke, and nothing came since. */
  readonly searched: ReadonlySet<string>;
  /** Whether texts of the answer that are alike are put before the decider: rules have compared them all already. */
  readonly comparesSiblings: boolean;
  readonly repeatSimilarity: number;
  readonly signal: AbortSignal;
}

/** The first pair of a create that is not two different things. */
interface Found {
  readonly held: RelatedObservation;
  readonly judgement: Judgement;
}

/**
 * Looks, for each text about to be written, for observations of the scope that say the same and that the decider has not
 * seen, and lets it decide on each pair (DESIGN §6.6). Similarity only nominates: numbers, dates, names and negation strike
 * `same` (law L9), and the decider chooses from what is left.
 */
export async function dedup(deps: ConsolidationDeps, asked: DedupRequest): Promise<DedupResult> {
  const once = withoutRepeats(asked.ops);
  const ops = asked.comparesSiblings ? await settleSiblings(deps, { ...asked, ops: once }) : once;
  const request = { ...asked, ops };
  const written = ops.flatMap((op) => ('text' in op && !request.searched.has(op.text) ? [op.text] : []));
  if (written.length === 0) return { kind: 'ops', ops };
  const found = await similarUnseen(deps, request, [...new Set(written)]);
  if (found.size === 0) return { kind: 'ops', ops };

  const candidatesOf = (op: ProposedOp) => ('text' in op ? (found.get(op.text) ?? []) : []);
  const show = ops.flatMap((op) => (op.op === 'create' ? [] : candidatesOf(op).map((observation) => observation.id)));
  if (show.length > 0) return { kind: 'show', observationIds: [...new Set(show)] };

  // Side by side: a model takes seconds a pair, and none of them depends on another.
  const judged = await Promise.all(
    ops.map((op) => (op.op === 'create' ? judgeCreate(deps, request, op, candidatesOf(op)) : null)),
  );
  const settled: ProposedOp[] = [];
  const superseded = new Set<Alias>();
  for (const [index, op] of ops.entries()) {
    const candidates = candidatesOf(op);
    // What one op of the answer has just ended cannot be the target of another.
    if (candidates.some((held) => superseded.has(aliasOf(held)))) {
      return { kind: 'show', observationIds: candidates.map((held) => held.id) };
    }
    const verdict = judged[index] ?? null;
    const next = op.op === 'create' && verdict !== null ? settleCreate(request, op, verdict) : op;
    if (next !== op && next.op === 'supersede') superseded.add(next.target);
    settled.push(next);
  }
  return { kind: 'ops', ops: settled };
}

/**
 * An answer that makes one text twice means one observation with the evidence of both. Pure. Not where the answer goes
 * on to end one of them: tea, then coffee, then tea again are three. A text that conflicts with several observations is
 * made beside the first of them, or it would stand there once for each; the search for contradictions finds the others.
 */
export function withoutRepeats(ops: readonly ProposedOp[]): ProposedOp[] {
  const ended = new Set(ops.flatMap((op) => ('target' in op && op.op !== 'reinforce' ? [op.target] : [])));
  const first = new Map<string, Alias>();
  const standsFor = new Map<Alias, Alias>();
  const named = (alias: Alias) => standsFor.get(alias) ?? alias;
  return ops.map((op): ProposedOp => {
    if (op.op !== 'create' && op.op !== 'conflict') return 'target' in op ? renamed(op, named) : op;
    if (op.op === 'create' && op.supersededBy !== undefined) return { ...op, supersededBy: named(op.supersededBy) };
    const known = first.get(op.text);
    const made = op.op === 'conflict' ? renamed(op, named) : op;
    if (ended.has(op.as)) return made;
    if (known === undefined) {
      first.set(op.text, op.as);
      return made;
    }
    standsFor.set(op.as, known);
    return { op: 'reinforce', target: known, memories: op.memories, reason: op.reason };
  });
}

async function similarUnseen(
  deps: ConsolidationDeps,
  request: DedupRequest,
  texts: readonly string[],
): Promise<Map<string, RelatedObservation[]>> {
  const { bankId, tags } = request;
  const vectorOf = (text: string) => {
    const vector = request.vectors.get(text);
    if (!vector) throw new Error('a text reached dedup without a vector');
    return vector;
  };
  const hits = await deps.vectors.nearest(
    texts.map((text) => ({
      bankId,
      target: 'observations' as const,
      model: request.model,
      vector: vectorOf(text),
      limit: nearestPerText,
      scope: tags,
      liveOnly: true,
    })),
  );
  const near = hits.map((list) =>
    list.filter((hit) => hit.similarity >= request.repeatSimilarity).map((hit) => hit.id),
  );
  const loaded = new Map(
    (await loadRelated(deps.db, { bankId, tags, ids: [...new Set(near.flat())] })).map((row) => [row.id, row]),
  );
  const found = new Map<string, RelatedObservation[]>();
  texts.forEach((text, index) => {
    const unseen = (near[index] ?? [])
      .flatMap((id) => loaded.get(id) ?? [])
      .filter((observation) => request.shown.get(observation.id) !== observation.text);
    if (unseen.length > 0) found.set(text, unseen);
  });
  return found;
}

/** One pair after the other, nearest first: most are settled by the first, and each of them costs. */
async function judgeCreate(
  deps: ConsolidationDeps,
  request: DedupRequest,
  op: Create,
  candidates: readonly RelatedObservation[],
): Promise<Found | null> {
  const vector = request.vectors.get(op.text);
  for (const held of candidates) {
    const pair: PairToJudge = {
      held: { text: held.text, validFrom: held.validFrom },
      offered: { text: op.text, validFrom: op.validFrom },
      similarity: vector ? cosine(held.embedding, vector) : 0,
    };
    const judgement = await judgePair(deps, pair, {
      signal: request.signal,
      bankId: request.bankId,
      subjectIds: [held.id, ...op.memories.map((alias) => request.aliases.memory(alias).id)],
      scope: request.tags,
    });
    if (judgement.verdict !== 'different') return { held, judgement };
  }
  return null;
}

function settleCreate(request: DedupRequest, op: Create, { held, judgement }: Found): ProposedOp {
  const { verdict, reason } = judgement;
  if (verdict === 'different') return op;
  const target: Alias = request.aliases.add(held);
  // Whatever the answer did to its own new observation, it now does to the one that was there.
  if (verdict === 'same') request.aliases.bind(op.as, target);
  return asJudged(op, target, verdict, reason);
}
