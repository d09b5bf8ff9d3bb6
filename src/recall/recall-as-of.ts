import {
  citationsAsOf,
  loadCandidatesAsOf,
  loadObservationsAsOf,
  readInstant,
  standingMemories,
  textHitsAsOf,
} from '../store/as-of-rows.ts';
import { loadVectorsApart, type VectorApart, vectorsApart } from '../store/as-of-vectors.ts';
import { loadMemories } from '../store/memory-rows.ts';
import type { RecallScope } from '../store/recall-rows.ts';
import { decodeRealArray } from '../store/vectors/vector-bytes.ts';
import type { VectorTarget } from '../store/vectors/vector-index.ts';
import { EngramdError } from '../telemetry/engramd-error.ts';
import { type Covers, fuse, type Hit, ranked, type ScoredHit } from './fuse.ts';
import { type Asked, createQuerySearch, type QuerySearchDeps } from './query-search.ts';
import {
  cut,
  hitsPerSearch,
  type RecallItem,
  type RecallRequest,
  type RecallResult,
  scopeOf,
  supersederOf,
} from './recall.ts';
import { estimateTokens, selectItems } from './select-items.ts';

/** An instant of which nothing can be told. The message says why. */
export class InstantError extends EngramdError {
  readonly code: 'AS_OF_IN_THE_FUTURE' | 'AS_OF_BEFORE_THE_FIRST_CHANGE';
  override readonly exitCode = 2;

  constructor(code: InstantError['code'], message: string) {
    super(message);
    this.code = code;
  }
}

export interface RecallAsOfRequest extends Omit<RecallRequest, 'pinnedFirst'> {
  readonly asOf: Date;
}

/** Vectors that are read at once. */
const page = 1000;
/** A search that finds little but rows of later looks this many times as deep, and no deeper. */
const deepest = 20;

/**
 * What a bank would have answered at an instant, ranked as `recall` ranks. System time: what was known then, whenever it was
 * true. Only rows that have changed since are built again, from the history. What was forgotten since stays forgotten;
 * memories that were edited since are left out and counted. State and pin of a memory are those of now.
 *
 * Resolves to null where there is no such bank. The instant of a change is when it was written, a moment before others saw it.
 *
 * @throws InstantError
 */
export function createRecallAsOf(deps: QuerySearchDeps): (request: RecallAsOfRequest) => Promise<RecallResult | null> {
  const { db, clock, metrics } = deps;
  const search = createQuerySearch(deps);

  return async (request) => {
    const startedMs = clock.monotonicMs();
    const { bankId, asOf: at } = request;
    const instant = await readInstant(db, bankId, at);
    if (!instant) return null;
    if (!instant.hasCome) throw new InstantError('AS_OF_IN_THE_FUTURE', `${at.toISOString()} has not come yet`);
    if (at < instant.firstChangeAt) {
      throw new InstantError(
        'AS_OF_BEFORE_THE_FIRST_CHANGE',
        `${at.toISOString()} is before the first change of the bank, at ${instant.firstChangeAt.toISOString()}`,
      );
    }
    const scope = scopeOf(request);
    const limit = request.limit ?? 10;
    const depth = Math.max(hitsPerSearch, 2 * limit);
    const asked = await search.embed(request);
    const [byVector, byText] = await Promise.all([
      asked ? nearestThen(request, scope, { asked, depth }) : [],
      textHitsAsOf(db, scope, { query: request.query, limit: depth, at }),
    ]);
    const similarity = new Map(byVector.map((hit) => [hit.id, hit.score]));
    const ordered = [cut(ranked(byVector), depth), cut(ranked(byText, similarity), depth)];
    const ids = idsOf(ordered.flat());
    const { rows, coverage } = await loadCandidatesAsOf(db, scope, { ...ids, at });
    const characters = new Map(rows.map((row) => [row.id, row.characters]));
    const covers: Covers = Map.groupBy(
      coverage.filter(({ rootId }) => characters.has(rootId)),
      ({ memoryId }) => memoryId,
    );
    const lists = ordered.map((list) => list.filter((hit) => characters.has(hit.id)));
    const tokensOf = (hit: Hit) => estimateTokens(characters.get(hit.id) ?? 0);
    const chosen = selectItems(fuse(lists, covers), { limit, maxTokens: request.maxTokens, covers, tokensOf });
    const items = await load(request, chosen, tokensOf);
    metrics.recallSeconds.observe((clock.monotonicMs() - startedMs) / 1000);
    return {
      items,
      tokens: items.reduce((sum, item) => sum + item.tokens, 0),
      degraded: asked ? null : 'embedder',
      asOf: { at, editedSince: instant.editedSince },
    };
  };

  /** The index over live rows answers for what is as it was; what left it since, or said something else, is compared here. */
  async function nearestThen(
    request: RecallAsOfRequest,
    scope: RecallScope,
    options: { readonly asked: Asked; readonly depth: number },
  ): Promise<ScoredHit[]> {
    const apart = await vectorsApart(db, scope, request.asOf);
    const others = new Set(apart.filter((row) => row.isHidden || row.isOther).map((row) => row.id));
    const compared = apart.filter((row) => !row.isHidden);
    const { hits, asked } = await nearestStanding(request, scope, { ...options, others });
    const best = new Map(hits.map((hit) => [hit.id, hit]));
    for (let from = 0; from < compared.length; from += page) {
      request.signal?.throwIfAborted();
      for (const hit of await compare(scope.bankId, asked, compared.slice(from, from + page))) best.set(hit.id, hit);
    }
    return [...best.values()];
  }

  /** Rows of later stand in the index too and are nearest as often as not: until enough are left without them. */
  async function nearestStanding(
    request: RecallAsOfRequest,
    scope: RecallScope,
    options: { readonly asked: Asked; readonly depth: number; readonly others: ReadonlySet<string> },
  ): Promise<{ readonly hits: ScoredHit[]; readonly asked: Asked }> {
    let { asked } = options;
    for (let depth = options.depth; ; depth *= 4) {
      const found = await search.nearest(request, scope, { asked, depth });
      ({ asked } = found);
      const stood = await standingMemories(db, scope.bankId, { ids: idsOf(found.hits).memories, at: request.asOf });
      const hits = found.hits.filter(({ target, id }) =>
        target === 'memories' ? stood.has(id) : !options.others.has(id),
      );
      const isShort = scope.targets.some((target) => {
        const [all, left] = [found.hits, hits].map((list) => list.filter((hit) => hit.target === target).length);
        return (all ?? 0) >= depth && (left ?? 0) < options.depth;
      });
      if (!isShort || depth >= deepest * options.depth) return { hits, asked };
    }
  }

  async function compare(bankId: string, asked: Asked, rows: readonly VectorApart[]): Promise<ScoredHit[]> {
    const vectors = await loadVectorsApart(db, bankId, { model: asked.model, rows });
    return vectors.flatMap(({ target, id, vector }) => {
      const score = cosine(asked.vector, decodeRealArray(vector));
      return score > 0 ? [{ target, id, score }] : [];
    });
  }

  async function load(
    request: RecallAsOfRequest,
    hits: readonly Hit[],
    tokensOf: (hit: Hit) => number,
  ): Promise<RecallItem[]> {
    const { bankId, asOf: at } = request;
    const ids = idsOf(hits);
    const [observations, memories, citations] = await Promise.all([
      loadObservationsAsOf(db, bankId, { ids: ids.observations, sourcesPerItem: request.sourcesPerItem ?? 3, at }),
      loadMemories(db, bankId, ids.memories),
      citationsAsOf(db, bankId, { memoryIds: ids.memories, at }),
    ]);
    const observationOf = new Map(observations.map((observation) => [observation.id, observation]));
    const memoryOf = new Map(memories.map((memory) => [memory.id, memory]));
    const citing = Map.groupBy(citations, ({ memoryId }) => memoryId);
    // A row that went between the two looks is left out, and so is a memory that was edited between them.
    return hits.flatMap((hit): RecallItem[] => {
      const tokens = tokensOf(hit);
      const observation = observationOf.get(hit.id);
      if (observation) return [{ type: 'observation', observation, tokens }];
      const memory = memoryOf.get(hit.id);
      if (!memory || (memory.editedAt !== null && memory.editedAt > at)) return [];
      return [{ type: 'memory', memory, supersededBy: supersederOf(citing.get(hit.id) ?? []), tokens }];
    });
  }
}

function idsOf(hits: readonly Hit[]): Record<VectorTarget, string[]> {
  const of = (target: VectorTarget) => [...new Set(hits.flatMap((hit) => (hit.target === target ? [hit.id] : [])))];
  return { memories: of('memories'), observations: of('observations') };
}

/** 0 where one of them has no direction, or another length. */
function cosine(a: Float32Array, b: Float32Array): number {
  if (a.length !== b.length) return 0;
  let [dot, aa, bb] = [0, 0, 0];
  for (let i = 0; i < a.length; i += 1) {
    const [x = 0, y = 0] = [a[i], b[i]];
    dot += x * y;
    aa += x * x;
    bb += y * y;
  }
  return aa === 0 || bb === 0 ? 0 : dot / Math.sqrt(aa * bb);
}
