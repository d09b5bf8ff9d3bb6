import type { Queryable } from '../db/database.ts';
import { linksStood, memoryStood, observationsStood, wasThen } from './as-of-sql.ts';
import {
  type CandidateRow,
  type Coverage,
  type ObservationRow,
  type ObservationState,
  type RecalledObservation,
  type RecallScope,
  type TextHit,
  toObservation,
} from './recall-rows.ts';
import { mostTies, queryWords, scoredHits } from './text-hits-sql.ts';

/**
 * What `recall-rows.ts` reads, as it stood at an instant. Rows that nothing has changed since are read as they are, by the
 * same indexes; the others come from engram.observations_then and its like, over change_ops_applied_at.
 *
 * An observation that was written since without a record of what was there had to do with something that was erased: nobody
 * can say what it was, so it is left out. A memory that was edited since is left out too, its words being gone.
 */

/** The bank at an instant; null where there is no such bank. */
export interface InstantOfBank {
  /** The server's clock says that it has come. */
  readonly hasCome: boolean;
  /** When the first thing happened in the bank. */
  readonly firstChangeAt: Date;
  /** Memories that were believed then and were edited since: what they said is gone. */
  readonly editedSince: number;
}

export async function readInstant(db: Queryable, bankId: string, at: Date): Promise<InstantOfBank | null> {
  // Primary key; the first of events_bank and of change_ops_applied; memories_edited.
  const { rows } = await db.query<InstantOfBank>(
    `select $2::timestamptz <= clock_timestamp() as "hasCome",
       least(b.created_at,
         (select e.at from engram.events e where e.bank_id = b.id order by e.id limit 1),
         (select o.applied_at from engram.change_ops o where o.bank_id = b.id and o.status = 'applied'
          order by o.applied_no limit 1)) as "firstChangeAt",
       (select count(*)::int from engram.memories m
        where m.bank_id = b.id and m.edited_at > $2 and m.created_at <= $2
          and (m.invalidated_at is null or m.invalidated_at > $2)) as "editedSince"
     from engram.banks b where b.id = $1`,
    [bankId, at],
  );
  return rows[0] ?? null;
}

/** {@link textHits} over the texts of an instant. */
export async function textHitsAsOf(
  db: Queryable,
  scope: RecallScope,
  options: { readonly query: string; readonly limit: number; readonly at: Date },
): Promise<TextHit[]> {
  // Indexes memories_tsv and observations_tsv, one probe a word; texts that are in no row any more are taken apart here.
  const { rows } = await db.query<TextHit>(
    `with ${wasThen},
     ${queryWords('$3')},
     rebuilt as materialized (
       select was.id, to_tsvector('english', was.text) as tsv from was where was.stood and 'observations' = any($4::text[])),
     shared as (
       select o.id, w.n from words w join engram.observations o on o.bank_id = $1 and o.tsv @@ w.word
       where 'observations' = any($4::text[]) and o.id not in (select was.id from was)
       union all
       select t.id, w.n from words w join rebuilt t on t.tsv @@ w.word),
     hits as materialized (
       select true as is_memory, m.id, w.n from words w
       join engram.memories m on m.bank_id = $1 and m.tsv @@ w.word
       where 'memories' = any($4::text[]) and m.tags @> $5::text[] and ${memoryStood}
       union all
       select false, shared.id, shared.n
       from shared join (${observationsStood}) on o.bank_id = $1 and o.id = shared.id
       where r.is_there and s.is_shown and o.tags @> $5::text[] and s.state = any($6::text[])),
     corpus as (
       select 'memories' = any($4::text[]) as is_memory, case when 'memories' = any($4::text[])
         then (select count(*) from engram.memories where bank_id = $1 and created_at <= $2)
         else (select count(*) from engram.observations where bank_id = $1 and created_at <= $2) end as size),
     ${scoredHits('$7', '$8')}`,
    [
      scope.bankId,
      options.at,
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

/** Those of the memories that were there, believed, and said what they say. */
export async function standingMemories(
  db: Queryable,
  bankId: string,
  options: { readonly ids: readonly string[]; readonly at: Date },
): Promise<Set<string>> {
  // Primary key.
  const { rows } = await db.query<{ id: string }>(
    `select m.id from engram.memories m where m.bank_id = $1 and m.id = any($3::uuid[]) and ${memoryStood}`,
    [bankId, options.at, options.ids],
  );
  return new Set(rows.map((row) => row.id));
}

/** {@link loadCandidates} at an instant. */
export async function loadCandidatesAsOf(
  db: Queryable,
  scope: RecallScope,
  ids: { readonly memories: readonly string[]; readonly observations: readonly string[]; readonly at: Date },
): Promise<{ rows: CandidateRow[]; coverage: Coverage[] }> {
  // Index observation_sources_memory, then primary keys.
  const { rows } = await db.query<{ rows: CandidateRow[] | null; coverage: Coverage[] | null }>(
    `with ${wasThen}, ${linksStood},
     coverage as materialized (
       select linked.memory_id, cites.root_id, min(cites.covered_by) as covered_by
       from linked join (${observationsStood}) on o.bank_id = $1 and o.id = linked.observation_id
       cross join lateral (values (o.id, 'citation'), (r.canonical_id, 'fold'), (r.superseded_by, 'supersession'))
         as cites(root_id, covered_by)
       where linked.memory_id = any($3::uuid[]) and r.is_there and cites.root_id is not null
       group by linked.memory_id, cites.root_id),
     found as (
       select 'memories' as target, m.id, length(m.text) as characters from engram.memories m
       where m.bank_id = $1 and m.id = any($3::uuid[]) and 'memories' = any($5::text[]) and m.tags @> $6::text[]
         and ${memoryStood}
       union all
       select 'observations', o.id, length(r.text) from (${observationsStood})
       where o.bank_id = $1 and o.id = any($4::uuid[] || array(select root_id from coverage))
         and 'observations' = any($5::text[]) and r.is_there and s.is_shown and o.tags @> $6::text[]
         and s.state = any($7::text[]))
     select
       (select jsonb_agg(jsonb_build_object('target', target, 'id', id, 'characters', characters)) from found) as rows,
       (select jsonb_agg(jsonb_build_object('memoryId', memory_id, 'rootId', root_id, 'by', covered_by)) from coverage)
         as coverage`,
    [scope.bankId, ids.at, ids.memories, ids.observations, scope.targets, scope.tags, scope.observationStates],
  );
  return { rows: rows[0]?.rows ?? [], coverage: rows[0]?.coverage ?? [] };
}

/** What cited a memory at an instant: the roots, how they stood, and what had superseded them. */
export interface CitationThen {
  readonly memoryId: string;
  readonly rootState: ObservationState;
  readonly rootSupersededBy: string | null;
}

export async function citationsAsOf(
  db: Queryable,
  bankId: string,
  options: { readonly memoryIds: readonly string[]; readonly at: Date },
): Promise<CitationThen[]> {
  if (options.memoryIds.length === 0) return [];
  // Index observation_sources_memory, then primary keys.
  const { rows } = await db.query<CitationThen>(
    `with ${wasThen}, ${linksStood},
     stood as materialized (
       select linked.memory_id, linked.observation_id, coalesce(r.canonical_id, o.id) as root_id
       from linked join (${observationsStood}) on o.bank_id = $1 and o.id = linked.observation_id
       where linked.memory_id = any($3::uuid[]) and r.is_there)
     select stood.memory_id as "memoryId", s.state as "rootState", r.superseded_by as "rootSupersededBy"
     from stood join (${observationsStood}) on o.bank_id = $1 and o.id = stood.root_id
     where r.is_there order by stood.memory_id, stood.observation_id`,
    [bankId, options.at, options.memoryIds],
  );
  return rows;
}

/** {@link loadObservations} at an instant. Sources that were edited since count as evidence, and are not quoted. */
export async function loadObservationsAsOf(
  db: Queryable,
  bankId: string,
  options: { readonly ids: readonly string[]; readonly sourcesPerItem: number; readonly at: Date },
): Promise<RecalledObservation[]> {
  if (options.ids.length === 0) return [];
  // Primary keys, observations_canonical, conflicts_pair and conflicts_right.
  const { rows } = await db.query<ObservationRow>(
    `with ${wasThen}, ${linksStood},
     quarrels as materialized (select * from engram.conflicts_then($1, $2)),
     roots as materialized (
       select o.id, r.text, o.tags, r.version, r.valid_from, r.valid_to, r.occurred_start, r.occurred_end,
         r.superseded_by, r.canonical_id, s.state
       from (${observationsStood}) where o.bank_id = $1 and o.id = any($3::uuid[]) and r.is_there),
     -- A root and what was folded into it.
     members as materialized (
       select id as root_id, id from roots
       union
       select o.canonical_id, o.id from engram.observations o
       where o.bank_id = $1 and o.canonical_id = any($3::uuid[]) and o.id not in (select was.id from was)
       union
       select was.canonical_id, was.id from was where was.stood and was.canonical_id = any($3::uuid[])),
     evidence as materialized (
       select distinct members.root_id, m.id, m.text, m.source_ref, m.mentioned_at, m.occurred_start, m.created_at,
         m.edited_at is null or m.edited_at <= $2 as is_kept
       from members join linked on linked.observation_id = members.id
       join engram.memories m on m.bank_id = $1 and m.id = linked.memory_id
       where m.created_at <= $2 and (m.invalidated_at is null or m.invalidated_at > $2)
         and m.id not in (select i.memory_id from engram.memories_invalid_then($1, $2) as i)),
     open as materialized (
       select c.id, c.left_id, c.right_id, c.reason from engram.conflicts c
       where c.bank_id = $1 and (c.left_id = any($3::uuid[]) or c.right_id = any($3::uuid[])) and c.created_at <= $2
         and (c.status = 'open' or c.resolved_at > $2) and c.id not in (select q.id from quarrels q)
       union all
       select q.id, (q.image ->> 'left')::uuid, (q.image ->> 'right')::uuid, q.image ->> 'reason'
       from quarrels q where q.image ->> 'status' = 'open')
     select roots.*, (select count(*) from evidence e where e.root_id = roots.id) as evidence,
       coalesce((
         select jsonb_agg(jsonb_build_object('id', n.id, 'text', n.text, 'sourceRef', n.source_ref,
           'mentionedAt', n.mentioned_at, 'occurredStart', n.occurred_start) order by n.place)
         from (
           select e.*, row_number() over (order by coalesce(e.mentioned_at, e.created_at) desc, e.id desc) as place
           from evidence e where e.root_id = roots.id and e.is_kept) as n
         where n.place <= $4), '[]') as sources,
       coalesce((
         select jsonb_agg(jsonb_build_object('id', open.id, 'otherId', o.id, 'otherText', r.text, 'reason', open.reason)
           order by open.id)
         from open join (${observationsStood}) on o.bank_id = $1
           and o.id = case when open.left_id = roots.id then open.right_id else open.left_id end
         where r.is_there and roots.id in (open.left_id, open.right_id)), '[]') as conflicts
     from roots`,
    [bankId, options.at, options.ids, options.sourcesPerItem],
  );
  return rows.map(toObservation);
}
