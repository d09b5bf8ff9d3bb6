import { type Citation, loadMemories, type MemoryRow } from '../store/memory-rows.ts';
import {
  loadCandidates,
  loadObservations,
  type ObservationState,
  pinnedMemories,
  type RecalledObservation,
  type RecallScope,
  textHits,
} from '../store/recall-rows.ts';
import type { VectorTarget } from '../store/vectors/vector-index.ts';
import { type Covers, fuse, type Hit, ranked } from './fuse.ts';
import { createQuerySearch, type QuerySearchDeps } from './query-search.ts';
import { estimateTokens, selectItems } from './select-items.ts';

export interface RecallRequest {
  readonly bankId: string;
  readonly query: string;
  /** Most items. Default 10. */
  readonly limit?: number | undefined;
  /** Most tokens of all items' texts together, estimated as characters / 4. Attached sources come on top. */
  readonly maxTokens?: number | undefined;
  /** Only rows that carry all of these. */
  readonly tags?: readonly string[] | undefined;
  readonly includeSuperseded?: boolean | undefined;
  readonly includeFolded?: boolean | undefined;
  readonly includeRetired?: boolean | undefined;
  readonly only?: VectorTarget | undefined;
  /** What is pinned comes before what is found, within the same limits. */
  readonly pinnedFirst?: boolean | undefined;
  /** Most sources attached to an observation, newest first. Default 3. */
  readonly sourcesPerItem?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

export type RecallItem = { readonly tokens: number } & (
  | { readonly type: 'observation'; readonly observation: RecalledObservation }
  | {
      readonly type: 'memory';
      readonly memory: MemoryRow;
      /** The observation that took the place of everything that cites this memory: what it says was true then. */
      readonly supersededBy: string | null;
    }
);

export interface RecallResult {
  /** Best first. */
  readonly items: readonly RecallItem[];
  readonly tokens: number;
  /** Why the answer is poorer than usual; null when it is not. */
  readonly degraded: 'embedder' | null;
  /** The instant that was asked about; null: now. */
  readonly asOf: {
    readonly at: Date;
    /** Memories that were there then and are left out: they were edited since, and nobody has kept what they said. */
    readonly editedSince: number;
  } | null;
}

export interface Recall {
  /**
   * What a bank knows about the query: vectors and full text over observations and raw memories, fused. No connection
   * is held while the query is embedded (law L1); without an embedder full text answers alone.
   */
  recall(request: RecallRequest): Promise<RecallResult>;
}

export type RecallDeps = QuerySearchDeps;

/** Rows taken from each search, of each kind. What stands behind them in both does not come to the front of a fusion. */
export const hitsPerSearch = 100;

export function createRecall(deps: RecallDeps): Recall {
  const { db, clock, metrics } = deps;
  const search = createQuerySearch(deps);

  return {
    async recall(request) {
      const startedMs = clock.monotonicMs();
      const scope = scopeOf(request);
      const limit = request.limit ?? 10;
      const depth = Math.max(hitsPerSearch, 2 * limit);
      const asked = await search.embed(request);
      const [byVector, byText] = await Promise.all([
        asked ? search.nearest(request, scope, { asked, depth }).then(({ hits }) => hits) : [],
        textHits(db, scope, { query: request.query, limit: depth }),
      ]);
      const similarity = new Map(byVector.map((hit) => [hit.id, hit.score]));
      // Cut after the ties are broken: left to chance, a memory would come through where its observation does not.
      const ordered = [ranked(byVector), cut(ranked(byText, similarity), depth)];
      const { lists, covers, characters } = await candidates(scope, ordered);
      const pinned = request.pinnedFirst ? await pinnedMemories(db, scope, depth) : [];
      for (const row of pinned) characters.set(row.id, row.characters);
      const tokensOf = (hit: Hit) => estimateTokens(characters.get(hit.id) ?? 0);
      const chosen = selectItems(led(pinned, fuse(lists, covers)), {
        limit,
        maxTokens: request.maxTokens,
        covers,
        tokensOf,
      });
      const items = await load(request, chosen, tokensOf);
      metrics.recallSeconds.observe((clock.monotonicMs() - startedMs) / 1000);
      return {
        items,
        tokens: items.reduce((sum, item) => sum + item.tokens, 0),
        degraded: asked ? null : 'embedder',
        asOf: null,
      };
    },
  };

  /** The lists without what may not be returned, and what is known about the rest. */
  async function candidates(scope: RecallScope, lists: readonly (readonly Hit[])[]) {
    const all = lists.flat();
    const ids = (target: VectorTarget) => [...new Set(all.filter((hit) => hit.target === target).map((hit) => hit.id))];
    const { rows, coverage } = await loadCandidates(db, scope, {
      memories: ids('memories'),
      observations: ids('observations'),
    });
    const characters = new Map(rows.map((row) => [row.id, row.characters]));
    const covers = Map.groupBy(
      coverage.filter(({ rootId }) => characters.has(rootId)),
      ({ memoryId }) => memoryId,
    ) satisfies Covers;
    return {
      lists: lists.map((list) => list.filter((hit) => characters.has(hit.id))),
      covers,
      characters,
    };
  }

  async function load(request: RecallRequest, hits: readonly Hit[], tokensOf: (hit: Hit) => number) {
    const ids = (target: VectorTarget) => hits.filter((hit) => hit.target === target).map((hit) => hit.id);
    const [observations, memories] = await Promise.all([
      loadObservations(db, request.bankId, ids('observations'), request.sourcesPerItem ?? 3),
      loadMemories(db, request.bankId, ids('memories')),
    ]);
    const observationOf = new Map(observations.map((observation) => [observation.id, observation]));
    const memoryOf = new Map(memories.map((memory) => [memory.id, memory]));
    // A row that went between the two looks is left out.
    return hits.flatMap((hit): RecallItem[] => {
      const tokens = tokensOf(hit);
      const observation = observationOf.get(hit.id);
      if (observation) return [{ type: 'observation', observation, tokens }];
      const memory = memoryOf.get(hit.id);
      return memory ? [{ type: 'memory', memory, supersededBy: supersederOf(memory.citations), tokens }] : [];
    });
  }
}

/** What is pinned leads; what it leads is not told twice. */
function led(pinned: readonly Hit[], found: readonly Hit[]): readonly Hit[] {
  const leaders = new Set(pinned.map(({ id }) => id));
  return [...pinned, ...found.filter(({ id }) => !leaders.has(id))];
}

/** The first of each kind. */
export function cut(hits: readonly Hit[], depth: number): Hit[] {
  const taken = { memories: 0, observations: 0 };
  return hits.filter(({ target }) => ++taken[target] <= depth);
}

export function scopeOf(request: RecallRequest): RecallScope {
  const observationStates: ObservationState[] = ['live'];
  if (request.includeSuperseded) observationStates.push('superseded');
  if (request.includeFolded) observationStates.push('folded');
  if (request.includeRetired) observationStates.push('retired');
  return {
    bankId: request.bankId,
    targets: request.only === undefined ? ['observations', 'memories'] : [request.only],
    tags: request.tags ?? [],
    observationStates,
  };
}

/** A memory is outdated when all that still speaks for it is. */
export function supersederOf(citations: readonly Pick<Citation, 'rootState' | 'rootSupersededBy'>[]): string | null {
  const standing = citations.filter(({ rootState }) => rootState !== 'retired');
  if (standing.length === 0 || standing.some(({ rootState }) => rootState !== 'superseded')) return null;
  return standing.at(-1)?.rootSupersededBy ?? null;
}
