import type { Database } from '../db/database.ts';
import { currentEmbedder, type Embedder } from '../models/embedder.ts';
import { scrubSecrets } from '../models/scrub-secrets.ts';
import { type RecallScope, scopesWithTags } from '../store/recall-rows.ts';
import type { VectorIndex, VectorQuery } from '../store/vectors/vector-index.ts';
import type { Clock } from '../telemetry/clock.ts';
import { errorMessage } from '../telemetry/engramd-error.ts';
import type { Log } from '../telemetry/log.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { ScoredHit } from './fuse.ts';

/** A query's vector and what made it. */
export type Asked = Pick<VectorQuery, 'model' | 'vector'>;

export interface Question {
  readonly bankId: string;
  readonly query: string;
  readonly signal?: AbortSignal | undefined;
}

export interface QuerySearch {
  /** No connection may be held (law L1). Undefined where the embedder does not answer in time. */
  embed(question: Question): Promise<Asked | undefined>;
  /**
   * The rows nearest to the question, in no order. Where the model of the database changed meanwhile, the rows have left
   * for the new one, all at once: again with that. `asked` is what was compared in the end.
   */
  nearest(
    question: Question,
    scope: RecallScope,
    options: { readonly asked: Asked; readonly depth: number },
  ): Promise<{ readonly hits: ScoredHit[]; readonly asked: Asked }>;
}

export interface QuerySearchDeps {
  readonly db: Database;
  readonly vectors: VectorIndex;
  readonly embedder: Embedder;
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly log: Log;
  /** How long the embedder may take before full text answers alone. Default 10,000. */
  readonly embedTimeoutMs?: number;
}

/** Above this many sets of tags one unscoped search, filtered after, is cheaper than a search for each. */
const mostScopes = 32;

export function createQuerySearch(deps: QuerySearchDeps): QuerySearch {
  const { db, vectors, embedder, clock, metrics, log } = deps;

  return {
    async embed(question) {
      return embedWith(question, await currentEmbedder(embedder));
    },
    async nearest(question, scope, { asked, depth }) {
      const hits = await vectorHits(scope, asked, depth);
      const now = await currentEmbedder(embedder);
      if (now.model.id === asked.model) return { hits, asked };
      const anew = await embedWith(question, now);
      return anew ? { hits: await vectorHits(scope, anew, depth), asked: anew } : { hits, asked };
    },
  };

  async function embedWith(question: Question, used: Embedder): Promise<Asked | undefined> {
    const timeout = new AbortController();
    const over = new AbortController();
    void clock.sleep(deps.embedTimeoutMs ?? 10_000, over.signal).then(() => {
      if (!over.signal.aborted) timeout.abort(new Error('the embedder took too long'));
    });
    const signal = question.signal ? AbortSignal.any([question.signal, timeout.signal]) : timeout.signal;
    try {
      const [vector] = await used.embed([scrubSecrets(question.query).value], {
        purpose: 'query',
        signal,
        bankId: question.bankId,
      });
      metrics.embeddings.inc({ purpose: 'query' });
      return vector && { model: used.model.id, vector };
    } catch (thrown) {
      question.signal?.throwIfAborted();
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
}
