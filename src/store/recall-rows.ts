import type { Queryable } from '../db/database.ts';
import { mostTies, queryWords, scoredHits } from './text-hits-sql.ts';
import type { VectorTarget } from './vectors/vector-index.ts';

export type ObservationState = 'live' | 'superseded' | 'folded' | 'retired';

/** What a recall may return. */
export interface RecallScope {
  readonly bankId: string;
  readonly targets: readonly VectorTarget[];
  /** Rows that carry all of these; empty: every row. */
  readonly tags: readonly string[];
  readonly observationStates: readonly ObservationState[];
}

export interface TextHit {
  readonly target: VectorTarget;
  readonly id: string;
  readonly score: number;
}

/**
 * Rows that share words with the query, in no order: the best `limit` of each target and what ties with the last of
 * them, so that chance does not decide who of many equals is left out.
 *
 * A row scores the sum of what each shared word is worth, and a word is worth more the fewer rows have it: a name that
 * every row of a conversation holds tells nothing. Words are OR-ed; no row holds every word of a question.
 */
export async function textHits(
  db: Queryable,
  scope: RecallScope,
  options: { readonly query: string; readonly limit: number },
): Promise<TextHit[]> {
  // Indexes memories_tsv and observations_tsv, one probe a word.
  const { rows } = await db.query<TextHit>(
    `with ${queryWords('$2')},
     hits as materialized (
       select true as is_memory, m.id, w.n from words w
       join engram.memories m on m.bank_id = $1 and m.tsv @@ w.word
       where 'memories' = any($3::text[]) and m.invalidated_at is null and m.tags @> $4::text[]
       union all
       select false, o.id, w.n from words w
       join engram.observations o on o.bank_id = $1 and o.tsv @@ w.word
       where 'observations' = any($3::text[]) and o.needs_replan_at is null and o.tags @> $4::text[]
         and case when o.retired_at is not null then 'retired' when o.canonical_id is not null then 'folded'
           when o.superseded_by is not null then 'superseded' else 'live' end = any($5::text[])),
     -- What a word is worth is counted over one kind of row: observations that repeat memories would count it twice.
     corpus as (
       select 'memories' = any($3::text[]) as is_memory, case when 'memories' = any($3::text[])
         then (select count(*) from engram.memories where bank_id = $1)
         else (select count(*) from engram.observations where bank_id = $1) end as size),
     ${scoredHits('$6', '$7')}`,
    [
      scope.bankId,
      options.query,
      scope.targets,
      scope.tags,
      scope.observationStates,
      options.limit,
      options.limit + mostTies,
    ],
  );
  return rows;
}

/** The sets of tags that contain all of the given ones, as rows of the bank carry them; at most `limit`. */
export async function scopesWithTags(
  db: Queryable,
  bankId: string,
  tags: readonly string[],
  limit: number,
): Promise<string[][]> {
  // One pass over the bank; asked only where a recall names tags. The vector port takes whole scopes: filtering what an
  // approximate index returned would lose rows.
  const { rows } = await db.query<{ tags: string[] }>(
    `select tags from engram.memories where bank_id = $1 and tags @> $2::text[]
     union select tags from engram.observations where bank_id = $1 and tags @> $2::text[]
     limit $3`,
    [bankId, tags, limit],
  );
  return rows.map((row) => row.tags);
}

/** How an observation answers for a memory: it cites it, holds what cites it, or tells the newer fact. */
export type CoveredBy = 'citation' | 'fold' | 'supersession';

/** An observation that speaks for a memory. */
export interface Coverage {
  readonly memoryId: string;
  readonly rootId: string;
  /** Only through another one, which is folded into it. */
  readonly by: CoveredBy;
}

export interface CandidateRow {
  readonly target: VectorTarget;
  readonly id: string;
  readonly characters: number;
}

/**
 * The rows of these ids that may be returned, with the length of their texts, and the observations that cite the
 * memories among them. Those observations are candidates as well, whether their own text was hit or not.
 */
export async function loadCandidates(
  db: Queryable,
  scope: RecallScope,
  ids: { readonly memories: readonly string[]; readonly observations: readonly string[] },
): Promise<{ rows: CandidateRow[]; coverage: Coverage[] }> {
  // Index observation_sources_memory, then primary keys. A fold points at its root at once: folding re-points.
  const coverage = await db.query<{ memory_id: string; root_id: string; covered_by: CoveredBy }>(
    // The nearest relation of a pair counts; they sort by the alphabet as they should.
    `select s.memory_id, cites.root_id, min(cites.covered_by) as covered_by
     from engram.observation_sources s
     join engram.observations o on o.bank_id = s.bank_id and o.id = s.observation_id
     cross join lateral (values (o.id, 'citation'), (o.canonical_id, 'fold'), (o.superseded_by, 'supersession'))
       as cites(root_id, covered_by)
     where s.bank_id = $1 and s.memory_id = any($2::uuid[]) and cites.root_id is not null
     group by s.memory_id, cites.root_id`,
    [scope.bankId, ids.memories],
  );
  const observationIds = new Set([...ids.observations, ...coverage.rows.map((row) => row.root_id)]);
  const { rows } = await db.query<CandidateRow>(
    `select 'memories' as target, m.id, length(m.text) as characters from engram.memories m
     where m.bank_id = $1 and m.id = any($2::uuid[]) and 'memories' = any($4::text[]) and m.invalidated_at is null
       and m.tags @> $5::text[]
     union all
     select 'observations', o.id, length(o.text) from engram.observations o
     where o.bank_id = $1 and o.id = any($3::uuid[]) and 'observations' = any($4::text[]) and o.needs_replan_at is null
       and o.tags @> $5::text[]
       and case when o.retired_at is not null then 'retired' when o.canonical_id is not null then 'folded'
         when o.superseded_by is not null then 'superseded' else 'live' end = any($6::text[])`,
    [scope.bankId, ids.memories, [...observationIds], scope.targets, scope.tags, scope.observationStates],
  );
  return {
    rows,
    coverage: coverage.rows.map((row) => ({ memoryId: row.memory_id, rootId: row.root_id, by: row.covered_by })),
  };
}

/** Pinned memories that a recall may return, the newest pins first. */
export async function pinnedMemories(db: Queryable, scope: RecallScope, limit: number): Promise<CandidateRow[]> {
  // Index memories_pinned; a bank has few, or as many as people have pinned.
  const { rows } = await db.query<CandidateRow>(
    `select 'memories' as target, m.id, length(m.text) as characters from engram.memories m
     where m.bank_id = $1 and m.pin is not null and m.invalidated_at is null and 'memories' = any($2::text[])
       and m.tags @> $3::text[]
     order by m.pinned_at desc, m.id desc limit $4`,
    [scope.bankId, scope.targets, scope.tags, limit],
  );
  return rows;
}

export interface SourceExcerpt {
  readonly id: string;
  readonly text: string;
  readonly sourceRef: string | null;
  readonly mentionedAt: Date | null;
  readonly occurredStart: Date | null;
}

export interface OpenConflict {
  readonly id: string;
  /** The observation on the other side. */
  readonly otherId: string;
  readonly otherText: string;
  readonly reason: string;
}

export interface RecalledObservation {
  readonly id: string;
  readonly text: string;
  readonly tags: readonly string[];
  readonly state: ObservationState;
  readonly version: number;
  readonly validFrom: Date | null;
  readonly validTo: Date | null;
  readonly occurredStart: Date | null;
  readonly occurredEnd: Date | null;
  readonly supersededBy: string | null;
  readonly canonicalId: string | null;
  /** Distinct live memories under it and all that is folded into it. */
  readonly evidence: number;
  /** The newest of them. */
  readonly sources: readonly SourceExcerpt[];
  readonly conflicts: readonly OpenConflict[];
}

/** As a statement gives it. */
export interface ObservationRow {
  id: string;
  text: string;
  tags: string[];
  state: ObservationState;
  version: number;
  valid_from: Date | null;
  valid_to: Date | null;
  occurred_start: Date | null;
  occurred_end: Date | null;
  superseded_by: string | null;
  canonical_id: string | null;
  evidence: number;
  sources: {
    id: string;
    text: string;
    sourceRef: string | null;
    mentionedAt: string | null;
    occurredStart: string | null;
  }[];
  conflicts: OpenConflict[];
}

/** Observations in full, in no order; ids that are gone are left out. */
export async function loadObservations(
  db: Queryable,
  bankId: string,
  ids: readonly string[],
  sourcesPerItem: number,
): Promise<RecalledObservation[]> {
  if (ids.length === 0) return [];
  // Primary keys, observations_canonical, conflicts_pair and conflicts_right.
  const { rows } = await db.query<ObservationRow>(
    `select o.id, o.text, o.tags, o.version, o.valid_from, o.valid_to, o.occurred_start, o.occurred_end,
       o.superseded_by, o.canonical_id,
       case when o.retired_at is not null then 'retired' when o.canonical_id is not null then 'folded'
         when o.superseded_by is not null then 'superseded' else 'live' end as state,
       evidence.count as evidence, coalesce(evidence.newest, '[]') as sources, coalesce(open.list, '[]') as conflicts
     from engram.observations o
     cross join lateral (
       select count(*) as count, jsonb_agg(jsonb_build_object('id', n.id, 'text', n.text, 'sourceRef', n.source_ref,
           'mentionedAt', n.mentioned_at, 'occurredStart', n.occurred_start) order by n.place)
         filter (where n.place <= $3) as newest
       from (
         select m.id, m.text, m.source_ref, m.mentioned_at, m.occurred_start,
           row_number() over (order by coalesce(m.mentioned_at, m.created_at) desc, m.id desc) as place
         from engram.memories m
         where m.bank_id = o.bank_id and m.invalidated_at is null and m.id in (
           select s.memory_id from engram.observation_sources s
           where s.bank_id = o.bank_id and (s.observation_id = o.id or s.observation_id in (
             select f.id from engram.observations f where f.bank_id = o.bank_id and f.canonical_id = o.id)))
       ) as n) as evidence
     cross join lateral (
       select jsonb_agg(jsonb_build_object('id', c.id, 'otherId', other.id, 'otherText', other.text, 'reason', c.reason)
         order by c.id) as list
       from engram.conflicts c
       join engram.observations other on other.bank_id = c.bank_id
         and other.id = case when c.left_id = o.id then c.right_id else c.left_id end
       where c.bank_id = o.bank_id and c.status = 'open' and (c.left_id = o.id or c.right_id = o.id)) as open
     where o.bank_id = $1 and o.id = any($2::uuid[])`,
    [bankId, ids, sourcesPerItem],
  );
  return rows.map(toObservation);
}

export function toObservation(row: ObservationRow): RecalledObservation {
  return {
    id: row.id,
    text: row.text,
    tags: row.tags,
    state: row.state,
    version: row.version,
    validFrom: row.valid_from,
    validTo: row.valid_to,
    occurredStart: row.occurred_start,
    occurredEnd: row.occurred_end,
    supersededBy: row.superseded_by,
    canonicalId: row.canonical_id,
    evidence: row.evidence,
    sources: row.sources.map((source) => ({
      id: source.id,
      text: source.text,
      sourceRef: source.sourceRef,
      mentionedAt: dateOrNull(source.mentionedAt),
      occurredStart: dateOrNull(source.occurredStart),
    })),
    conflicts: row.conflicts,
  };
}

function dateOrNull(text: string | null): Date | null {
  return text === null ? null : new Date(text);
}
