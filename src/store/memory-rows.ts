import type { Queryable } from '../db/database.ts';
import type { MemoryState } from './memories.ts';
import type { ObservationState } from './recall-rows.ts';

/** Who holds a memory in mind: a person, or its own significance. */
export type Pin = 'manual' | 'auto';

/** An observation that rests on a memory, itself or through what it was folded into. */
export interface Citation {
  readonly observationId: string;
  readonly memoryVersion: number;
  /** The observation, or the one it is folded into, and how that one stands. */
  readonly rootId: string;
  readonly rootState: ObservationState;
  readonly rootSupersededBy: string | null;
}

export interface MemoryRow {
  readonly id: string;
  readonly text: string;
  readonly context: string | null;
  readonly kind: 'world' | 'experience';
  readonly tags: readonly string[];
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly dialogue: readonly unknown[] | null;
  readonly entities: readonly string[];
  readonly occurredStart: Date | null;
  readonly occurredEnd: Date | null;
  readonly mentionedAt: Date | null;
  readonly sourceRef: string | null;
  readonly version: number;
  readonly state: MemoryState;
  readonly stateReason: string | null;
  readonly attempts: number;
  readonly nextAttemptAt: Date;
  readonly isEmbedded: boolean;
  readonly createdAt: Date;
  readonly editedAt: Date | null;
  readonly invalidatedAt: Date | null;
  /** 0 to 3; null: not scored yet. */
  readonly significance: number | null;
  readonly pin: Pin | null;
  readonly pinnedAt: Date | null;
  readonly citations: readonly Citation[];
}

interface Row {
  id: string;
  text: string;
  context: string | null;
  kind: 'world' | 'experience';
  tags: string[];
  metadata: Record<string, unknown>;
  dialogue: unknown[] | null;
  entities: string[];
  occurred_start: Date | null;
  occurred_end: Date | null;
  mentioned_at: Date | null;
  source_ref: string | null;
  version: number;
  state: MemoryState;
  state_reason: string | null;
  attempts: number;
  next_attempt_at: Date;
  is_embedded: boolean;
  created_at: Date;
  edited_at: Date | null;
  invalidated_at: Date | null;
  significance: number | null;
  pin: Pin | null;
  pinned_at: Date | null;
  citations: Citation[];
}

/** Memories in full, in no order; ids that are gone are left out. */
export async function loadMemories(db: Queryable, bankId: string, ids: readonly string[]): Promise<MemoryRow[]> {
  if (ids.length === 0) return [];
  // Primary keys and observation_sources_memory.
  const { rows } = await db.query<Row>(
    `select m.id, m.text, m.context, m.kind, m.tags, m.metadata, m.dialogue, m.occurred_start, m.occurred_end,
       m.mentioned_at, m.source_ref, m.version, m.state, m.state_reason, m.attempts, m.next_attempt_at,
       m.embedding is not null as is_embedded, m.created_at, m.edited_at, m.invalidated_at,
       m.significance, m.pin, m.pinned_at,
       array(select e.name from engram.memory_entities me
         join engram.entities e on e.bank_id = me.bank_id and e.id = me.entity_id
         where me.bank_id = m.bank_id and me.memory_id = m.id order by e.name) as entities,
       coalesce(cited.list, '[]') as citations
     from engram.memories m
     cross join lateral (
       select jsonb_agg(jsonb_build_object('observationId', s.observation_id, 'memoryVersion', s.memory_version,
         'rootId', root.id, 'rootState', case when root.retired_at is not null then 'retired'
           when root.canonical_id is not null then 'folded' when root.superseded_by is not null then 'superseded'
           else 'live' end, 'rootSupersededBy', root.superseded_by) order by s.observation_id) as list
       from engram.observation_sources s
       join engram.observations o on o.bank_id = s.bank_id and o.id = s.observation_id
       join engram.observations root on root.bank_id = o.bank_id and root.id = coalesce(o.canonical_id, o.id)
       where s.bank_id = m.bank_id and s.memory_id = m.id) as cited
     where m.bank_id = $1 and m.id = any($2::uuid[])`,
    [bankId, ids],
  );
  return rows.map((row) => ({
    id: row.id,
    text: row.text,
    context: row.context,
    kind: row.kind,
    tags: row.tags,
    metadata: row.metadata,
    dialogue: row.dialogue,
    entities: row.entities,
    occurredStart: row.occurred_start,
    occurredEnd: row.occurred_end,
    mentionedAt: row.mentioned_at,
    sourceRef: row.source_ref,
    version: row.version,
    state: row.state,
    stateReason: row.state_reason,
    attempts: row.attempts,
    nextAttemptAt: row.next_attempt_at,
    isEmbedded: row.is_embedded,
    createdAt: row.created_at,
    editedAt: row.edited_at,
    invalidatedAt: row.invalidated_at,
    significance: row.significance,
    pin: row.pin,
    pinnedAt: row.pinned_at,
    citations: row.citations,
  }));
}

/** Where a page of a list by time ends. `at` is in microseconds as the server writes them: a Date would round. */
export interface PageEnd {
  readonly at: string;
  readonly id: string;
}

export interface Page {
  readonly ids: readonly string[];
  /** Undefined where nothing follows. */
  readonly end: PageEnd | undefined;
}

/** Ids of a bank's memories, newest first. */
export async function listMemoryIds(
  db: Queryable,
  bankId: string,
  options: {
    readonly state: MemoryState | null;
    readonly pinnedOnly: boolean;
    readonly after: PageEnd | undefined;
    readonly limit: number;
  },
): Promise<Page> {
  // Index memories_state (bank_id, state, created_at, id), or memories_pinned; with neither one pass over the bank.
  const { rows } = await db.query<{ id: string; at: string }>(
    `select id, to_char(created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as at from engram.memories
     where bank_id = $1 and ($2::text is null or state = $2) and (not $6 or pin is not null)
       and ($3::timestamptz is null or (created_at, id) < ($3, $4::uuid))
     order by created_at desc, id desc limit $5`,
    [
      bankId,
      options.state,
      options.after?.at ?? null,
      options.after?.id ?? null,
      options.limit + 1,
      options.pinnedOnly,
    ],
  );
  return pageOf(rows, options.limit);
}

/** Ids of a bank's observations, newest first. */
export async function listObservationIds(
  db: Queryable,
  bankId: string,
  options: { readonly state: ObservationState | null; readonly after: PageEnd | undefined; readonly limit: number },
): Promise<Page> {
  // One pass over the bank's observations.
  const { rows } = await db.query<{ id: string; at: string }>(
    `select id, to_char(created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as at from engram.observations
     where bank_id = $1
       and ($2::text is null or $2 = case when retired_at is not null then 'retired'
         when canonical_id is not null then 'folded' when superseded_by is not null then 'superseded' else 'live' end)
       and ($3::timestamptz is null or (created_at, id) < ($3, $4::uuid))
     order by created_at desc, id desc limit $5`,
    [bankId, options.state, options.after?.at ?? null, options.after?.id ?? null, options.limit + 1],
  );
  return pageOf(rows, options.limit);
}

/** One row more than asked for tells that a page follows. */
function pageOf(rows: readonly { id: string; at: string }[], limit: number): Page {
  const page = rows.slice(0, limit);
  const last = page.at(-1);
  return {
    ids: page.map((row) => row.id),
    end: rows.length > limit && last ? { at: last.at, id: last.id } : undefined,
  };
}
