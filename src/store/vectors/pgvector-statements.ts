import { createHash } from 'node:crypto';
import type { VectorTarget } from './vector-index.ts';

/*
 * The statements that carry the number of dimensions. A type modifier cannot be a parameter, and an index on an
 * expression is only used by the very same expression, so the number is written into the text: checked to be a small
 * whole number, nothing else is ever spliced in. One set of statements a number of dimensions, made once.
 */

export interface IndexedStatements {
  /** $1 bank, $2 model, $3 scope or null, $4 live only, $5 vectors as array literals, $6 limit. */
  readonly search: Readonly<Record<VectorTarget, string>>;
  /** Lets the server quote: $1 name of the index, $2 model. Yields the text of the CREATE INDEX. */
  readonly formatCreateIndex: Readonly<Record<VectorTarget, string>>;
}

const made = new Map<number, IndexedStatements>();

/**
 * Above 2,000 dimensions an index holds half-precision numbers, above 4,000 pgvector has none.
 *
 * @returns undefined where no index is to be had.
 * @throws RangeError for anything that is no number of dimensions.
 */
export function indexedStatements(dimensions: number): IndexedStatements | undefined {
  if (!Number.isSafeInteger(dimensions) || dimensions < 1) throw new RangeError(`${dimensions} dimensions`);
  if (dimensions > 4000) return undefined;
  const known = made.get(dimensions);
  if (known) return known;
  const statements = dimensions > 2000 ? halfvecStatements(dimensions) : vectorStatements(dimensions);
  made.set(dimensions, statements);
  return statements;
}

/** The index of a model's vectors in one table. Names are at most 63 bytes and a model's may be longer. */
export function indexName(target: VectorTarget, model: string): string {
  return `${target}_vectors_${createHash('sha256').update(model).digest('hex').slice(0, 16)}`;
}

/** Whether an index may be one of ours, of whichever model. */
export function isVectorIndexName(name: string): boolean {
  return /^(observations|memories)_vectors_[0-9a-f]{16}$/.test(name);
}

// Index: the one that formatCreateIndex makes, walked in the order of distance. Ties beyond the limit are read too.
function vectorStatements(dimensions: number): IndexedStatements {
  const n = dimensions.toFixed(0);
  return {
    search: {
      observations: `
        with queries as materialized (
          select u.ordinality, u.literal::real[]::vector(${n}) as v
          from unnest($5::text[]) with ordinality as u(literal, ordinality))
        select q.ordinality::int, h.id, h.distance
        from queries q cross join lateral (
          select o.id, o.embedding::vector(${n}) <=> q.v as distance
          from engram.observations o
          where o.bank_id = $1 and o.embedding_model = $2 and ($3::text[] is null or o.tags = $3)
            and (not $4::boolean or o.is_live)
          order by distance, o.id limit $6) h`,
      memories: `
        with queries as materialized (
          select u.ordinality, u.literal::real[]::vector(${n}) as v
          from unnest($5::text[]) with ordinality as u(literal, ordinality))
        select q.ordinality::int, h.id, h.distance
        from queries q cross join lateral (
          select m.id, m.embedding::vector(${n}) <=> q.v as distance
          from engram.memories m
          where m.bank_id = $1 and m.embedding_model = $2 and ($3::text[] is null or m.tags = $3)
            and (not $4::boolean or m.invalidated_at is null)
          order by distance, m.id limit $6) h`,
    },
    formatCreateIndex: {
      observations: `
        select format('create index concurrently if not exists %I on engram.observations
          using hnsw ((embedding::vector(${n})) vector_cosine_ops) where embedding_model = %L', $1::text, $2::text) as text`,
      memories: `
        select format('create index concurrently if not exists %I on engram.memories
          using hnsw ((embedding::vector(${n})) vector_cosine_ops) where embedding_model = %L', $1::text, $2::text) as text`,
    },
  };
}

// Half precision only chooses: twice as many as asked for, ranked again by the numbers as they are stored.
function halfvecStatements(dimensions: number): IndexedStatements {
  const n = dimensions.toFixed(0);
  return {
    search: {
      observations: `
        with queries as materialized (
          select u.ordinality, u.literal::real[]::vector(${n}) as v, u.literal::real[]::halfvec(${n}) as half
          from unnest($5::text[]) with ordinality as u(literal, ordinality))
        select q.ordinality::int, h.id, h.distance
        from queries q cross join lateral (
          select near.id, near.embedding::vector(${n}) <=> q.v as distance
          from (
            select o.id, o.embedding
            from engram.observations o
            where o.bank_id = $1 and o.embedding_model = $2 and ($3::text[] is null or o.tags = $3)
              and (not $4::boolean or o.is_live)
            order by o.embedding::halfvec(${n}) <=> q.half, o.id limit 2 * $6::int) near
          order by distance, near.id limit $6::int) h`,
      memories: `
        with queries as materialized (
          select u.ordinality, u.literal::real[]::vector(${n}) as v, u.literal::real[]::halfvec(${n}) as half
          from unnest($5::text[]) with ordinality as u(literal, ordinality))
        select q.ordinality::int, h.id, h.distance
        from queries q cross join lateral (
          select near.id, near.embedding::vector(${n}) <=> q.v as distance
          from (
            select m.id, m.embedding
            from engram.memories m
            where m.bank_id = $1 and m.embedding_model = $2 and ($3::text[] is null or m.tags = $3)
              and (not $4::boolean or m.invalidated_at is null)
            order by m.embedding::halfvec(${n}) <=> q.half, m.id limit 2 * $6::int) near
          order by distance, near.id limit $6::int) h`,
    },
    formatCreateIndex: {
      observations: `
        select format('create index concurrently if not exists %I on engram.observations
          using hnsw ((embedding::halfvec(${n})) halfvec_cosine_ops) where embedding_model = %L', $1::text, $2::text) as text`,
      memories: `
        select format('create index concurrently if not exists %I on engram.memories
          using hnsw ((embedding::halfvec(${n})) halfvec_cosine_ops) where embedding_model = %L', $1::text, $2::text) as text`,
    },
  };
}
