import type { Queryable } from '../../db/database.ts';
import type { VectorTarget } from './vector-index.ts';

/** A hit as pgvector statements return it; `ordinality` counts queries from 1. */
export interface DistanceRow {
  readonly ordinality: number;
  readonly id: string;
  readonly distance: number;
}

/**
 * When to scan instead of walking the index: up to `minRows` rows that pass the filter, or up to √(`perRow` × limit ×
 * rows of all banks), since of an index that holds every bank's rows one meets a row of ours every (all / ours) steps.
 */
export interface ScanRule {
  readonly minRows: number;
  readonly perRow: number;
}

export interface ScanRequest {
  readonly bankId: string;
  readonly target: VectorTarget;
  readonly model: string;
  readonly dimensions: number;
  readonly scope: readonly string[] | null;
  readonly liveOnly: boolean;
  /** Array literals. */
  readonly vectors: readonly string[];
  readonly limit: number;
}

/*
 * One statement decides and, if it is to scan, scans: a bank that has outgrown scanning costs one count of at most as
 * many rows as would have been scanned. `candidates` is materialized so that each vector is fetched and cast once for
 * all queries, and `vector_dims` leaves out what cannot be compared.
 */

// Index: observations_scope where a scope is given, else observations_pkey.
const scanObservations = `
  with bound as materialized (
    select case when i.indisvalid
        then greatest($8::int, $6::int, ceil(sqrt($9::float8 * $6::int * greatest(c.reltuples, 0))))::bigint end as rows
    from (select to_regclass($10) as oid) as named
    left join pg_index i on i.indexrelid = named.oid
    left join pg_class c on c.oid = named.oid
  ), decision as materialized (
    select case when b.rows is null then true else (
        select count(*) <= b.rows from (
          select from engram.observations o
          where o.bank_id = $1 and o.embedding_model = $2 and ($3::text[] is null or o.tags = $3)
            and (not $4::boolean or o.is_live)
          limit b.rows + 1) as counted) end as scan
    from bound b
  ), queries as materialized (
    select u.ordinality, u.literal::real[]::vector as v from unnest($5::text[]) with ordinality as u(literal, ordinality)
  ), candidates as materialized (
    select o.id, o.embedding::vector as v
    from engram.observations o
    where (select d.scan from decision d) and o.bank_id = $1 and o.embedding_model = $2
      and ($3::text[] is null or o.tags = $3) and (not $4::boolean or o.is_live)
  )
  select d.scan, h.ordinality::int, h.id, h.distance
  from decision d left join (
    select q.ordinality, nearest.id, nearest.distance
    from queries q cross join lateral (
      select c.id, c.v <=> q.v as distance from candidates c where vector_dims(c.v) = $7
      order by distance, c.id limit $6::int) nearest
  ) h on true`;

// Index: memories_pkey.
const scanMemories = `
  with bound as materialized (
    select case when i.indisvalid
        then greatest($8::int, $6::int, ceil(sqrt($9::float8 * $6::int * greatest(c.reltuples, 0))))::bigint end as rows
    from (select to_regclass($10) as oid) as named
    left join pg_index i on i.indexrelid = named.oid
    left join pg_class c on c.oid = named.oid
  ), decision as materialized (
    select case when b.rows is null then true else (
        select count(*) <= b.rows from (
          select from engram.memories m
          where m.bank_id = $1 and m.embedding_model = $2 and ($3::text[] is null or m.tags = $3)
            and (not $4::boolean or m.invalidated_at is null)
          limit b.rows + 1) as counted) end as scan
    from bound b
  ), queries as materialized (
    select u.ordinality, u.literal::real[]::vector as v from unnest($5::text[]) with ordinality as u(literal, ordinality)
  ), candidates as materialized (
    select m.id, m.embedding::vector as v
    from engram.memories m
    where (select d.scan from decision d) and m.bank_id = $1 and m.embedding_model = $2
      and ($3::text[] is null or m.tags = $3) and (not $4::boolean or m.invalidated_at is null)
  )
  select d.scan, h.ordinality::int, h.id, h.distance
  from decision d left join (
    select q.ordinality, nearest.id, nearest.distance
    from queries q cross join lateral (
      select c.id, c.v <=> q.v as distance from candidates c where vector_dims(c.v) = $7
      order by distance, c.id limit $6::int) nearest
  ) h on true`;

/**
 * Ranks every row that passes the filter, in the server and in one round trip.
 *
 * @param index where one could be walked instead: its name, and the rule that decides. Without it the answer is never
 *   `too many`. An index that is not there or not built to its end is none.
 */
export async function scanRows(
  db: Queryable,
  request: ScanRequest,
  index?: { readonly name: string; readonly rule: ScanRule },
): Promise<DistanceRow[] | 'too many'> {
  const { rows } = await db.query<Partial<DistanceRow> & { scan: boolean; id: string | null }>(
    request.target === 'observations' ? scanObservations : scanMemories,
    [
      request.bankId,
      request.model,
      request.scope,
      request.liveOnly,
      request.vectors,
      request.limit,
      request.dimensions,
      index?.rule.minRows ?? 0,
      index?.rule.perRow ?? 0,
      index ? `engram.${index.name}` : null,
    ],
  );
  if (rows[0]?.scan === false) return 'too many';
  return rows.flatMap(({ ordinality, id, distance }) =>
    ordinality !== undefined && id !== null && distance !== undefined ? [{ ordinality, id, distance }] : [],
  );
}
