import { cosine } from './cosine.ts';
import type { Alias, PairToJudge, ProposedOp } from './decider.ts';
import type { DedupRequest } from './dedup.ts';
import type { ConsolidationDeps } from './dependencies.ts';
import { asJudged, type Create, judgePair, renamed } from './pair-verdict.ts';

/** Pairs of one answer that are put before the decider; an answer of twelve alike texts would have sixty-six. */
const pairsEach = 6;

interface Pair {
  readonly held: Create;
  readonly offered: Create;
  readonly similarity: number;
}

/**
 * Two texts that one answer creates and that are alike are put before the decider like a text and an observation: a model
 * that reads twelve memories at once may well say one thing twice. Only plain creates of which nothing else of the answer
 * makes use: what an answer ends, revises or builds on it has thought about.
 */
export async function settleSiblings(deps: ConsolidationDeps, request: DedupRequest): Promise<readonly ProposedOp[]> {
  const pairs = alikePairs(request);
  if (pairs.length === 0) return request.ops;
  const judged = await Promise.all(
    pairs.map(async ({ held, offered, similarity }) => {
      const pair: PairToJudge = {
        held: { text: held.text, validFrom: held.validFrom },
        offered: { text: offered.text, validFrom: offered.validFrom },
        similarity,
      };
      const subjectIds = [...held.memories, ...offered.memories].map((alias) => request.aliases.memory(alias).id);
      const { signal, bankId, tags } = request;
      return judgePair(deps, pair, { signal, bankId, subjectIds, scope: tags });
    }),
  );
  const becomes = new Map<Alias, ProposedOp>();
  const standsFor = new Map<Alias, Alias>();
  /** Each text takes part in one change only; what another pair said of it was said of what it no longer is. */
  const settled = new Set<Alias>();
  for (const [index, { held, offered }] of pairs.entries()) {
    const judgement = judged[index];
    if (!judgement || judgement.verdict === 'different' || settled.has(held.as) || settled.has(offered.as)) continue;
    const { verdict, reason } = judgement;
    // Others lean on it already, and would lean on what has ended.
    if (verdict !== 'same' && [...standsFor.values()].includes(held.as)) continue;
    becomes.set(offered.as, asJudged(offered, held.as, verdict, reason));
    settled.add(offered.as);
    if (verdict === 'same') standsFor.set(offered.as, held.as);
    else settled.add(held.as);
  }
  const named = (alias: Alias): Alias => {
    const other = standsFor.get(alias);
    return other === undefined ? alias : named(other);
  };
  return request.ops.map((op) => {
    const next = ('as' in op ? becomes.get(op.as) : undefined) ?? op;
    return 'target' in next ? renamed(next, named) : next;
  });
}

/** The most alike first. */
function alikePairs({ ops, vectors, repeatSimilarity }: DedupRequest): Pair[] {
  const used = new Set(
    ops.flatMap((op) => [
      ...('target' in op ? [op.target] : []),
      ...('into' in op ? [op.into] : []),
      ...('supersededBy' in op && op.supersededBy !== undefined ? [op.supersededBy] : []),
    ]),
  );
  const plain = ops.filter(
    (op): op is Create => op.op === 'create' && op.supersededBy === undefined && !used.has(op.as),
  );
  const pairs = plain.flatMap((offered, index) =>
    plain.slice(0, index).flatMap((held): Pair[] => {
      const [a, b] = [vectors.get(held.text), vectors.get(offered.text)];
      const similarity = a && b ? cosine(a, b) : 0;
      return similarity >= repeatSimilarity ? [{ held, offered, similarity }] : [];
    }),
  );
  return pairs.sort((a, b) => b.similarity - a.similarity).slice(0, pairsEach);
}
