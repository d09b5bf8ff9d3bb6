import type { Database } from '../db/database.ts';
import { currentEmbedder, type Embedder } from '../models/embedder.ts';
import { scrubSecrets } from '../models/scrub-secrets.ts';
import { loadMemories, type MemoryRow } from '../store/memory-rows.ts';
import {
  loadCandidates,
  loadObservations,
  type ObservationState,
  pinnedMemories,
  type RecalledObservation,
  type RecallScope,
  scopesWithTags,
  textHits,
} from '../store/recall-rows.ts';
import type { VectorIndex, VectorQuery, VectorTarget } from '../store/vectors/vector-index.ts';
import type { Clock } from '../telemetry/clock.ts';
import { errorMessage } from '../telemetry/engramd-error.ts';
import type { Log } from '../telemetry/log.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { type Covers, fuse, type Hit, ranked, type ScoredHit } from './fuse.ts';
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
}

export interface Recall {
  /**
   * What a bank knows about the query: vectors and full text over observations and raw memories, fused. No connection
   * is held while the query is embedded (law L1); without an embedder full text answers alone.
   */
  recall(request: RecallRequest): Promise<RecallResult>;
}

export interface RecallDeps {
  readonly db: Database;
  readonly vectors: VectorIndex;
  readonly embedder: Embedder;
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly log: Log;
  /** How long the embedder may take before full text answers alone. Default 10,000. */
  readonly embedTimeoutMs?: number;
}

/** A query's vector and what made it. */
type Asked = Pick<VectorQuery, 'model' | 'vector'>;

/** Rows taken from each search, of each kind. What stands behind them in both does not come to the front of a fusion. */
const hitsPerSearch = 100;
/** Above this many sets of tags one unscoped search, filtered after, is cheaper than a search for each. */
const mostScopes = 32;

export function createRecall(deps: RecallDeps): Recall {
  const { db, vectors, embedder, clock, metrics, log } = deps;

  return {
    async recall(request) {
      const startedMs = clock.monotonicMs();
      const scope = scopeOf(request);
      const limit = request.limit ?? 10;
      const depth = Math.max(hitsPerSearch, 2 * limit);
      const used = await currentEmbedder(embedder);
      const vector = await embedQuery(request, used);
      const [byVector, byText] = await Promise.all([
        vector ? searchByVector(request, scope, { used, vector, depth }) : [],
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
        degraded: vector ? null : 'embedder',
      };
    },
  };

  /** Where the model of the database changed meanwhile, the rows have left for the new one, all at once: again with that. */
  async function searchByVector(
    request: RecallRequest,
    scope: RecallScope,
    asked: { readonly used: Embedder; readonly vector: Float32Array; readonly depth: number },
  ): Promise<ScoredHit[]> {
    const { used, vector, depth } = asked;
    const hits = await vectorHits(scope, { model: used.model.id, vector }, depth);
    const now = await currentEmbedder(embedder);
    if (now.model.id === used.model.id) return hits;
    const anew = await embedQuery(request, now);
    return anew ? vectorHits(scope, { model: now.model.id, vector: anew }, depth) : hits;
  }

  async function embedQuery(request: RecallRequest, used: Embedder): Promise<Float32Array | undefined> {
    const timeout = new AbortController();
    const over = new AbortController();
    void clock.sleep(deps.embedTimeoutMs ?? 10_000, over.signal).then(() => {
      if (!over.signal.aborted) timeout.abort(new Error('the embedder took too long'));
    });
    const signal = request.signal ? AbortSignal.any([request.signal, timeout.signal]) : timeout.signal;
    try {
      const [vector] = await used.embed([scrubSecrets(request.query).value], {
        purpose: 'query',
        signal,
        bankId: request.bankId,
      });
      metrics.embeddings.inc({ purpose: 'query' });
      return vector;
    } catch (thrown) {
      request.signal?.throwIfAborted();
      log.warn({ error: errorMessage(thrown) }, 'the query could not be embedded; full text answers alone');
      return undefined;
    } finally {
      over.abort();
    }
  }

  async function vectorHits(scope: RecallScope, asked: Asked, depth: number): Promise<ScoredHit[]> {
    const queries = await vectorQueries(scope, asked, depth);
    const answers = await vectors.nearest(queries);
    const best = new Map<string, ScoredHit>();
    queries.forEach(({ target }, index) => {
      for (const { id, similarity } of answers[index] ?? []) {
        // A right angle or more: not related in any model's eyes, and yet first of a list that has nothing better.
        if (similarity > 0) best.set(id, { target, id, score: similarity });
      }
    });
    return [...best.values()];
  }

  async function vectorQueries(scope: RecallScope, asked: Asked, depth: number): Promise<VectorQuery[]> {
    const { bankId, targets, tags } = scope;
    const base = { bankId, ...asked, limit: depth, liveOnly: true };
    const scopes = tags.length === 0 ? undefined : await scopesWithTags(db, bankId, tags, mostScopes + 1);
    if (scopes?.length === 0) return [];
    return targets.flatMap((target): VectorQuery[] => {
      const perScope: VectorQuery[] =
        scopes === undefined
          ? [{ ...base, target }]
          : scopes.length > mostScopes
            ? [{ ...base, target, limit: 20 * depth }]
            : scopes.map((tagsOfScope) => ({ ...base, target, scope: tagsOfScope }));
      // Beside the live ones, not instead: a hundred older versions of one fact would be all there is room for.
      const withDead = target === 'observations' && scope.observationStates.length > 1;
      return withDead ? [...perScope, ...perScope.map((query) => ({ ...query, liveOnly: false }))] : perScope;
    });
  }

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
      return memory ? [{ type: 'memory', memory, supersededBy: supersederOf(memory), tokens }] : [];
    });
  }
}

/** What is pinned leads; what it leads is not told twice. */
function led(pinned: readonly Hit[], found: readonly Hit[]): readonly Hit[] {
  const leaders = new Set(pinned.map(({ id }) => id));
  return [...pinned, ...found.filter(({ id }) => !leaders.has(id))];
}

/** The first of each kind. */
function cut(hits: readonly Hit[], depth: number): Hit[] {
  const taken = { memories: 0, observations: 0 };
  return hits.filter(({ target }) => ++taken[target] <= depth);
}

function scopeOf(request: RecallRequest): RecallScope {
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
function supersederOf(memory: MemoryRow): string | null {
  const standing = memory.citations.filter(({ rootState }) => rootState !== 'retired');
  if (standing.length === 0 || standing.some(({ rootState }) => rootState !== 'superseded')) return null;
  return standing.at(-1)?.rootSupersededBy ?? null;
}
