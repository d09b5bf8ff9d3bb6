import type { Queryable } from '../db/database.ts';
import type { ReplanSource, ReplanTarget } from './replan-work.ts';
import { decodeRealArray } from './vectors/vector-bytes.ts';

/** What became of a memory: the observations whose texts may say what it says, and what stands on them. */

/** Evidence of an observation of the lineage, with the vector that belongs to its text. */
export interface LineageSource extends ReplanSource {
  readonly embedding: Float32Array | null;
  readonly embeddingModel: string | null;
}

export interface LineageObservation extends Omit<ReplanTarget, 'sources'> {
  readonly canonicalId: string | null;
  readonly supersededBy: string | null;
  readonly sources: readonly LineageSource[];
}

/**
 * Ids of the observations that rest on a memory or ever did, of what those were folded into, and of what took the place of
 * one of those or was written beside it, since a text about a change names what changed. By id; some may be gone by now.
 */
export async function lineageOf(db: Queryable, bankId: string, memoryId: string): Promise<string[]> {
  // Indexes observation_sources_memory, change_ops_memories (gin), the primary key of observations, change_ops_target.
  const { rows } = await db.query<{ id: string }>(
    `with recursive lineage(id) as (
       select id from (
         select observation_id as id from engram.observation_sources where bank_id = $1 and memory_id = $2
         union
         -- What was superseded, or stood against it, said what it said before.
         select case when op in ('supersede', 'conflict') then result_id else coalesce(target_id, result_id) end
         from engram.change_ops
         where bank_id = $1 and memory_ids @> array[$2::uuid] and status in ('applied', 'undone')) as cited
       where id is not null
       union
       select next.id from lineage l
       cross join lateral (
         select o.canonical_id as id from engram.observations o
         where o.bank_id = $1 and o.id = l.id and o.canonical_id is not null
         union all
         select (c.after->'created'->>'id')::uuid from engram.change_ops c
         where c.bank_id = $1 and c.target_id = l.id and c.op in ('supersede', 'conflict')
           and c.after->'created'->>'id' is not null) as next)
     select id from lineage order by id`,
    [bankId, memoryId],
  );
  return rows.map((row) => row.id);
}

/** Whether an entry of the history that rests on a memory still has its texts. */
export async function historyHolds(db: Queryable, bankId: string, memoryId: string): Promise<boolean> {
  // Index change_ops_memories (gin).
  const { rowCount } = await db.query(
    `select 1 from engram.change_ops
     where bank_id = $1 and memory_ids @> array[$2::uuid] and erased_at is null limit 1`,
    [bankId, memoryId],
  );
  return rowCount > 0;
}

/**
 * Whether a memory that is not there was there and was never erased: it went by a DELETE, or with an earlier bank of this
 * name. Or it was, and the timeline has words of it again.
 */
export async function leavesTraces(db: Queryable, bankId: string, memoryId: string): Promise<boolean> {
  // Primary key, index events_words, index events_bank (one pass over the bank's timeline), primary key.
  const { rows } = await db.query<{ found: boolean }>(
    `select exists (select from engram.banks where id = $1) and (
       exists (select from engram.events
         where bank_id = $1 and memory_id = $2 and detail ?| array['entities', 'reason'])
       or exists (select from engram.events where bank_id = $1 and memory_id = $2)
         and not exists (select from engram.erasures where bank_id = $1 and memory_id = $2)) as found`,
    [bankId, memoryId],
  );
  return rows[0]?.found === true;
}

/** The observations with their evidence over the root and all that is folded into it, by id; those gone are left out. */
export async function loadLineage(
  db: Queryable,
  bankId: string,
  ids: readonly string[],
): Promise<LineageObservation[]> {
  if (ids.length === 0) return [];
  // Primary key.
  const { rows } = await db.query<{
    id: string;
    version: number;
    text: string;
    tags: string[];
    is_live: boolean;
    valid_from: Date | null;
    canonical_id: string | null;
    superseded_by: string | null;
    embedding: Buffer;
    embedding_model: string;
  }>(
    `select id, version, text, tags, is_live, valid_from, canonical_id, superseded_by, array_send(embedding) as embedding,
       embedding_model
     from engram.observations where bank_id = $1 and id = any($2::uuid[]) order by id`,
    [bankId, ids],
  );
  const sources = await loadSources(db, bankId, ids);
  return rows.map((row) => ({
    id: row.id,
    version: row.version,
    text: row.text,
    tags: row.tags,
    isLive: row.is_live,
    validFrom: row.valid_from,
    canonicalId: row.canonical_id,
    supersededBy: row.superseded_by,
    embedding: decodeRealArray(row.embedding),
    embeddingModel: row.embedding_model,
    sources: sources.get(row.id) ?? [],
  }));
}

async function loadSources(
  db: Queryable,
  bankId: string,
  rootIds: readonly string[],
): Promise<Map<string, LineageSource[]>> {
  // Primary keys and observations_canonical. Oldest first, as a rewrite takes them.
  const { rows } = await db.query<{
    root_id: string;
    observation_id: string;
    memory_id: string;
    linked_version: number;
    version: number | null;
    is_valid: boolean;
    is_pending: boolean;
    same_scope: boolean;
    text: string | null;
    context: string | null;
    mentioned_at: Date | null;
    occurred_start: Date | null;
    occurred_end: Date | null;
    embedding: Buffer | null;
    embedding_model: string | null;
  }>(
    `select root.id as root_id, s.observation_id, s.memory_id, s.memory_version as linked_version, m.version,
       m.id is not null and m.invalidated_at is null as is_valid, coalesce(m.state = 'pending', false) as is_pending,
       coalesce(m.tags = root.tags, false) as same_scope, m.text, m.context, m.mentioned_at, m.occurred_start,
       m.occurred_end, array_send(m.embedding) as embedding, m.embedding_model
     from engram.observations root
     join engram.observations o on o.bank_id = root.bank_id and (o.id = root.id or o.canonical_id = root.id)
     join engram.observation_sources s on s.bank_id = o.bank_id and s.observation_id = o.id
     left join engram.memories m on m.bank_id = s.bank_id and m.id = s.memory_id
     where root.bank_id = $1 and root.id = any($2::uuid[])
     order by m.mentioned_at nulls first, m.created_at, s.memory_id, s.observation_id`,
    [bankId, rootIds],
  );
  return Map.groupBy(
    rows.map((row) => ({
      rootId: row.root_id,
      observationId: row.observation_id,
      memoryId: row.memory_id,
      linkedVersion: row.linked_version,
      version: row.version,
      isValid: row.is_valid,
      isPending: row.is_pending,
      sameScope: row.same_scope,
      text: row.text,
      context: row.context,
      mentionedAt: row.mentioned_at,
      occurredStart: row.occurred_start,
      occurredEnd: row.occurred_end,
      embedding: row.embedding === null ? null : decodeRealArray(row.embedding),
      embeddingModel: row.embedding_model,
    })),
    (row) => row.rootId,
  );
}

/** Ids of the observations that point at one of these: folded into it, or superseded by it. */
export async function pointersAt(db: Queryable, bankId: string, ids: readonly string[]): Promise<string[]> {
  if (ids.length === 0) return [];
  // Indexes observations_canonical and observations_superseded.
  const { rows } = await db.query<{ id: string }>(
    `select id from engram.observations
     where bank_id = $1 and (canonical_id = any($2::uuid[]) or superseded_by = any($2::uuid[])) order by id`,
    [bankId, ids],
  );
  return rows.map((row) => row.id);
}

/**
 * Ids of the change sets whose words may quote the memory or its lineage: an op names one of them, whoever decided had read
 * one, or a plan that waits does; and the sets that took those back. By id.
 */
export async function setsBeside(
  db: Queryable,
  bankId: string,
  erased: { readonly memoryId: string; readonly observationIds: readonly string[] },
): Promise<string[]> {
  // change_ops_memories, change_ops_observations and change_sets_shown (gin); plans only of what waits for a person, by
  // change_sets_proposed; change_sets_undoes.
  const { rows } = await db.query<{ id: string }>(
    `with recursive sets(id) as (
       select id from (
         select change_set_id as id from engram.change_ops
         where bank_id = $1 and (memory_ids @> array[$2::uuid] or observation_ids && $3::uuid[])
         union
         select id from engram.change_sets where bank_id = $1 and shown_ids && ($3::uuid[] || $2::uuid)
         union
         select s.id from engram.change_sets s
         join engram.change_ops o on o.bank_id = s.bank_id and o.change_set_id = s.id
         where s.bank_id = $1 and s.status = 'proposed' and o.plan is not null
           and exists (select from unnest($3::uuid[] || $2::uuid) as t(id) where position(t.id::text in o.plan::text) > 0)
       ) as named
       union
       select s.id from sets join engram.change_sets s on s.bank_id = $1 and s.undoes = sets.id)
     select id from sets order by id`,
    [bankId, erased.memoryId, erased.observationIds],
  );
  return rows.map((row) => row.id);
}

/**
 * Memories whose rows tell of an op that the memory, or its lineage, had a part in or was shown for: those that an open
 * change set holds, and those that keep the reason of a skip. By id.
 */
export async function memoriesBeside(
  db: Queryable,
  bankId: string,
  erased: { readonly memoryId: string; readonly observationIds: readonly string[] },
): Promise<{ readonly proposed: string[]; readonly explained: string[] }> {
  const setIds = await setsBeside(db, bankId, erased);
  // Primary keys.
  const { rows } = await db.query<{ id: string; is_proposed: boolean }>(
    `with named as (
       select distinct unnest(c.memory_ids) as id, s.status = 'proposed' and c.status = 'proposed' as is_open
       from engram.change_sets s join engram.change_ops c on c.bank_id = $1 and c.change_set_id = s.id
       where s.bank_id = $1 and s.id = any($3::uuid[]))
     select m.id, bool_or(n.is_open and m.state = 'proposed') as is_proposed
     from named n join engram.memories m on m.bank_id = $1 and m.id = n.id
     where m.id <> $2 and (n.is_open and m.state = 'proposed' or m.state = 'consolidated' and m.state_reason is not null)
     group by m.id order by m.id`,
    [bankId, erased.memoryId, setIds],
  );
  return {
    proposed: rows.filter((row) => row.is_proposed).map((row) => row.id),
    explained: rows.filter((row) => !row.is_proposed).map((row) => row.id),
  };
}
