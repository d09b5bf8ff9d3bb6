import type { Queryable } from '../db/database.ts';
import { decodeRealArray } from './vectors/vector-bytes.ts';

/** A live observation as a decider is shown it. */
export interface RelatedObservation {
  readonly id: string;
  readonly version: number;
  readonly text: string;
  readonly validFrom: Date | null;
  readonly occurredStart: Date | null;
  readonly occurredEnd: Date | null;
  readonly embedding: Float32Array;
  readonly sources: readonly { readonly text: string; readonly mentionedAt: Date | null }[];
}

/** Live observations of exactly this scope that share words with the text, best first. */
export async function observationsByWords(
  db: Queryable,
  options: { bankId: string; tags: readonly string[]; queries: readonly string[]; limit: number },
): Promise<string[][]> {
  // Index observations_tsv, one probe for all texts: the planner would rather read the scope, and then once is enough (four
  // texts beside 4,000 observations: 8 ms against 16). The words are OR-ed: a query of every word of a sentence matches
  // nothing else.
  // Materialized, or the words are parsed again for every row that is ranked (four texts: 23 ms against 6).
  // ts_rank, not ts_rank_cd: over 300 matches 0.6 ms against 3.0, and how close the words stand is no matter here.
  const { rows } = await db.query<{ n: number; id: string }>(
    `with q as materialized (
       select t.n, replace(plainto_tsquery('english', t.words)::text, ' & ', ' | ')::tsquery as words
       from unnest($3::text[]) with ordinality as t(words, n)),
     met as materialized (
       select o.id, o.tsv from engram.observations o
       where o.bank_id = $1 and o.tags = $2::text[] and o.is_live and o.needs_replan_at is null
         and o.tsv @@ (select string_agg(words::text, ' | ')::tsquery from q where numnode(words) > 0))
     select q.n::int as n, hit.id
     from q,
     lateral (
       select met.id, ts_rank(met.tsv, q.words) as rank from met where met.tsv @@ q.words
       order by rank desc, met.id limit $4) as hit
     order by q.n, hit.rank desc, hit.id`,
    [options.bankId, options.tags, options.queries, options.limit],
  );
  const hits: string[][] = options.queries.map(() => []);
  for (const row of rows) hits[row.n - 1]?.push(row.id);
  return hits;
}

/** The observations, with the newest `sourcesEach` of their sources (default none). Rows that are no longer live, or about to be rewritten, are left out. */
export async function loadRelated(
  db: Queryable,
  options: { bankId: string; tags: readonly string[]; ids: readonly string[]; sourcesEach?: number },
): Promise<RelatedObservation[]> {
  if (options.ids.length === 0) return [];
  // Primary keys throughout, one row at a time: `offset 0` keeps the planner from reading every memory of the bank, or every
  // observation of the scope, for each row, which it did as long as nobody had analyzed the tables (forty observations
  // beside 2,000 memories: 7 ms against 1; beside 8,000 up to seconds). Scope compared again: an index may be a moment
  // behind, a prompt may not cross scopes (law L7).
  const { rows } = await db.query<{
    id: string;
    version: number;
    text: string;
    valid_from: Date | null;
    occurred_start: Date | null;
    occurred_end: Date | null;
    embedding: Buffer;
    sources: { text: string; mentionedAt: string | null }[];
  }>(
    `select o.id, o.version, o.text, o.valid_from, o.occurred_start, o.occurred_end, array_send(o.embedding) as embedding,
       coalesce(newest.sources, '[]') as sources
     from unnest($3::uuid[]) as wanted(id)
     cross join lateral (
       select * from engram.observations o where o.bank_id = $1 and o.id = wanted.id offset 0) as o
     left join lateral (
       select jsonb_agg(jsonb_build_object('text', s.text, 'mentionedAt', s.mentioned_at)) as sources from (
         select m.text, m.mentioned_at from engram.observation_sources os
         cross join lateral (
           select m.text, m.mentioned_at, m.created_at, m.invalidated_at from engram.memories m
           where m.bank_id = os.bank_id and m.id = os.memory_id offset 0) as m
         where os.bank_id = o.bank_id and os.observation_id = o.id and m.invalidated_at is null
         order by m.mentioned_at desc nulls last, m.created_at desc limit $4) as s) as newest on true
     where o.tags = $2::text[] and o.is_live and o.needs_replan_at is null`,
    [options.bankId, options.tags, options.ids, options.sourcesEach ?? 0],
  );
  return rows.map((row) => ({
    id: row.id,
    version: row.version,
    text: row.text,
    validFrom: row.valid_from,
    occurredStart: row.occurred_start,
    occurredEnd: row.occurred_end,
    embedding: decodeRealArray(row.embedding),
    sources: row.sources.map((source) => ({
      text: source.text,
      mentionedAt: source.mentionedAt === null ? null : new Date(source.mentionedAt),
    })),
  }));
}
