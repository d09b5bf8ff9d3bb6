import type { Database } from '../db/database.ts';
import { loadRelated, observationsByWords, type RelatedObservation } from '../store/related-observations.ts';
import type { VectorIndex } from '../store/vectors/vector-index.ts';
import type { BatchLimits } from './decider.ts';
import { fitBudget, interleave } from './interleave.ts';

/** Per memory: enough for the twin, its rivals and a little context; the union is cut by tokens afterwards. */
const nearestPerMemory = 8;
const byWordsPerMemory = 4;
export const sourcesEach = 3;
/** From here on a text is found: words would add only what shares some with it. */
const certainSimilarity = 0.985;

export interface Recalled {
  /** Most wanted first. */
  readonly observations: readonly RelatedObservation[];
  /** Memories, by index, that may repeat an observation for which there was no room: dedup has to ask about those pairs. */
  readonly incomplete: ReadonlySet<number>;
}

/**
 * The live observations of exactly this scope that a batch should be decided beside. Connections are held only inside
 * the queries.
 */
export async function recallRelated(
  deps: { readonly db: Database; readonly vectors: VectorIndex },
  request: {
    readonly bankId: string;
    readonly tags: readonly string[];
    readonly model: string;
    readonly withSources: boolean;
    readonly memories: readonly { readonly text: string; readonly embedding: Float32Array }[];
    /** Cosine from which an observation may say the same. */
    readonly repeatSimilarity: number;
    /** What the decider takes: how many tokens of observations, and what a token is. */
    readonly limits: Pick<BatchLimits, 'observationTokens' | 'tokensOf'>;
    /** Observations to show whatever their rank and size: what an earlier decision was lost to. */
    readonly mustShow?: readonly string[];
  },
): Promise<Recalled> {
  const { bankId, tags, memories, limits } = request;
  const tokensOf = (observation: RelatedObservation) =>
    observation.sources.reduce((sum, source) => sum + limits.tokensOf(source.text), limits.tokensOf(observation.text));
  const byVector = await deps.vectors.nearest(
    memories.map((memory) => ({
      bankId,
      target: 'observations' as const,
      model: request.model,
      vector: memory.embedding,
      limit: nearestPerMemory,
      scope: tags,
      liveOnly: true,
    })),
  );
  const unsure = memories.filter((_, index) => (byVector[index]?.[0]?.similarity ?? 0) < certainSimilarity);
  const byWords =
    unsure.length === 0
      ? []
      : await observationsByWords(deps.db, {
          bankId,
          tags,
          queries: unsure.map((memory) => memory.text),
          limit: byWordsPerMemory,
        });
  const ids = interleave([request.mustShow ?? [], ...byVector.map((hits) => hits.map((hit) => hit.id)), ...byWords]);
  const loaded = new Map(
    (await loadRelated(deps.db, { bankId, tags, ids, sourcesEach: request.withSources ? sourcesEach : 0 })).map(
      (observation) => [observation.id, observation],
    ),
  );
  const inOrder = ids.flatMap((id) => loaded.get(id) ?? []);
  // Without room for one of these the decider would give the same answer, lose it to the same row, and ask for ever;
  // their sources make way instead.
  const wanted = new Set(request.mustShow);
  const required = inOrder.filter((row) => wanted.has(row.id)).map((row) => ({ ...row, sources: [] }));
  const left = limits.observationTokens - required.reduce((sum, row) => sum + tokensOf(row), 0);
  const others = inOrder.filter((row) => !wanted.has(row.id));
  const observations = [...required, ...fitBudget(others, tokensOf, Math.max(0, left))];
  const shown = new Set(observations.map((observation) => observation.id));
  const incomplete = byVector.flatMap((hits, index) =>
    hits.some((hit) => hit.similarity >= request.repeatSimilarity && loaded.has(hit.id) && !shown.has(hit.id))
      ? [index]
      : [],
  );
  return { observations, incomplete: new Set(incomplete) };
}
