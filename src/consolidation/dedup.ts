import { loadRelated, type RelatedObservation } from '../store/related-observations.ts';
import { cosine } from './cosine.ts';
import type { Alias, PairToJudge, ProposedOp, Verdict } from './decider.ts';
import type { ConsolidationDeps } from './dependencies.ts';
import { type AliasTable, aliasOf } from './plan.ts';
import { compareTexts } from './values/compare-values.ts';

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
  readonly repeatSimilarity: number;
  readonly signal: AbortSignal;
}

/**
 * Looks, for each text about to be written, for observations of the scope that say the same and that the decider has not
 * seen, and lets it decide on each pair (DESIGN §6.6). Similarity only nominates: numbers, dates, names and negation strike
 * `same` (law L9), and the decider chooses from what is left.
 */
export async function dedup(deps: ConsolidationDeps, asked: DedupRequest): Promise<DedupResult> {
  const request = { ...asked, ops: withoutRepeats(asked.ops) };
  const written = request.ops.flatMap((op) => ('text' in op && !request.searched.has(op.text) ? [op.text] : []));
  if (written.length === 0) return { kind: 'ops', ops: request.ops };
  const found = await similarUnseen(deps, request, [...new Set(written)]);
  if (found.size === 0) return { kind: 'ops', ops: request.ops };

  const show = request.ops.flatMap((op) =>
    'text' in op && op.op !== 'create' ? (found.get(op.text) ?? []).map((observation) => observation.id) : [],
  );
  if (show.length > 0) return { kind: 'show', observationIds: [...new Set(show)] };

  const ops: ProposedOp[] = [];
  const superseded = new Set<Alias>();
  for (const op of request.ops) {
    const candidates = op.op === 'create' ? (found.get(op.text) ?? []) : [];
    // What one op of the answer has just ended cannot be the target of another.
    if (candidates.some((held) => superseded.has(aliasOf(held)))) {
      return { kind: 'show', observationIds: candidates.map((held) => held.id) };
    }
    const settled = op.op === 'create' ? await settleCreate(deps, request, op, candidates) : op;
    if (settled !== op && settled.op === 'supersede') superseded.add(settled.target);
    ops.push(settled);
  }
  return { kind: 'ops', ops };
}

/**
 * An answer that creates one text twice means one observation with the evidence of both. Pure. Not where the answer goes
 * on to end one of them: tea, then coffee, then tea again are three.
 */
export function withoutRepeats(ops: readonly ProposedOp[]): ProposedOp[] {
  const ended = new Set(ops.flatMap((op) => ('target' in op && op.op !== 'reinforce' ? [op.target] : [])));
  const first = new Map<string, Alias>();
  const standsFor = new Map<Alias, Alias>();
  const named = (alias: Alias) => standsFor.get(alias) ?? alias;
  return ops.map((op): ProposedOp => {
    if (op.op !== 'create') return 'target' in op ? renamed(op, named) : op;
    const { supersededBy, ...create } = op;
    if (supersededBy !== undefined) return { ...create, supersededBy: named(supersededBy) };
    const known = first.get(op.text);
    if (ended.has(op.as)) return op;
    if (known === undefined) {
      first.set(op.text, op.as);
      return op;
    }
    standsFor.set(op.as, known);
    return { op: 'reinforce', target: known, memories: op.memories, reason: op.reason };
  });
}

function renamed<Op extends ProposedOp & { readonly target: Alias }>(op: Op, named: (alias: Alias) => Alias): Op {
  return { ...op, target: named(op.target), ...('into' in op ? { into: named(op.into) } : {}) };
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

async function settleCreate(
  deps: ConsolidationDeps,
  request: DedupRequest,
  op: Extract<ProposedOp, { op: 'create' }>,
  candidates: readonly RelatedObservation[],
): Promise<ProposedOp> {
  const vector = request.vectors.get(op.text);
  for (const held of candidates) {
    const pair: PairToJudge = {
      held: { text: held.text, validFrom: held.validFrom },
      offered: { text: op.text, validFrom: op.validFrom },
      similarity: vector ? cosine(held.embedding, vector) : 0,
    };
    const { verdict, reason } = await deps.decider.adjudicate(pair, admissibleVerdicts(pair), {
      signal: request.signal,
      bankId: request.bankId,
      subjectIds: [held.id, ...op.memories.map((alias) => request.aliases.memory(alias).id)],
    });
    if (verdict === 'different') continue;
    const target: Alias = request.aliases.add(held);
    switch (verdict) {
      case 'same':
        // Whatever the answer did to its own new observation, it now does to the one that was there.
        request.aliases.bind(op.as, target);
        return { op: 'reinforce', target, memories: op.memories, reason };
      case 'supersedes':
        return {
          op: 'supersede',
          target,
          as: op.as,
          text: op.text,
          memories: op.memories,
          validFrom: op.validFrom,
          reason,
        };
      case 'superseded_by':
        return { ...op, supersededBy: target, reason };
      case 'contradicts':
        return {
          op: 'conflict',
          target,
          as: op.as,
          text: op.text,
          memories: op.memories,
          validFrom: op.validFrom,
          reason,
        };
      default:
        verdict satisfies never;
    }
  }
  return op;
}

/** What may be said of a pair at all: `same` only where every value agrees, an order in time only where both have a time. */
export function admissibleVerdicts(pair: PairToJudge): Verdict[] {
  const verdicts: Verdict[] = ['different', 'contradicts'];
  // "Yesterday" said on two days is two days.
  const saidAt = { a: pair.held.validFrom, b: pair.offered.validFrom };
  if (compareTexts(pair.held.text, pair.offered.text, saidAt).agree) verdicts.unshift('same');
  const { validFrom: heldFrom } = pair.held;
  const { validFrom: offeredFrom } = pair.offered;
  if (heldFrom !== null && offeredFrom !== null) {
    if (offeredFrom > heldFrom) verdicts.push('supersedes');
    if (offeredFrom < heldFrom) verdicts.push('superseded_by');
  }
  return verdicts;
}
