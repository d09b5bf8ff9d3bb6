import type { Queryable } from '../db/database.ts';
import { decodeRealArray } from './vectors/vector-bytes.ts';

/** A source of an observation that has to be written again, as it stands now. */
export interface ReplanSource {
  /** The observation that holds the link: the root itself or one folded into it. */
  readonly observationId: string;
  readonly memoryId: string;
  readonly linkedVersion: number;
  /** Null where the memory is gone. */
  readonly version: number | null;
  readonly isValid: boolean;
  readonly isPending: boolean;
  /** Whether the memory is still of the observation's scope (law L7). */
  readonly sameScope: boolean;
  readonly text: string | null;
  readonly context: string | null;
  readonly mentionedAt: Date | null;
  readonly occurredStart: Date | null;
  readonly occurredEnd: Date | null;
}

export interface ReplanTarget {
  readonly id: string;
  readonly version: number;
  readonly text: string;
  readonly tags: readonly string[];
  readonly isLive: boolean;
  readonly validFrom: Date | null;
  readonly embedding: Float32Array;
  readonly embeddingModel: string;
  readonly sources: readonly ReplanSource[];
}

interface TargetRow {
  id: string;
  version: number;
  text: string;
  tags: string[];
  is_live: boolean;
  valid_from: Date | null;
  embedding: Buffer;
  embedding_model: string;
}

/** Observations that lost or saw change one of their sources, oldest mark first, unless a change set waiting for review names them. */
export async function selectReplans(
  db: Queryable,
  bankId: string,
  options: { readonly limit: number; readonly inHand: readonly string[] },
): Promise<ReplanTarget[]> {
  // Index observations_needs_replan; change_ops_target for the open proposals.
  const { rows } = await db.query<TargetRow>(
    `select o.id, o.version, o.text, o.tags, o.is_live, o.valid_from, array_send(o.embedding) as embedding,
       o.embedding_model
     from engram.observations o
     where o.bank_id = $1 and o.needs_replan_at <= now() and o.id <> all($3::uuid[])
       and not exists (
         select from engram.change_ops c join engram.change_sets s on s.bank_id = c.bank_id and s.id = c.change_set_id
         where c.bank_id = o.bank_id and c.target_id = o.id and c.status = 'proposed' and s.status = 'proposed')
     order by o.needs_replan_at, o.id limit $2`,
    [bankId, options.limit, options.inHand],
  );
  if (rows.length === 0) return [];
  // Primary keys and observations_canonical: evidence of a root counts over all that is folded into it.
  const sources = await db.query<{
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
  }>(
    `select root.id as root_id, s.observation_id, s.memory_id, s.memory_version as linked_version, m.version,
       m.id is not null and m.invalidated_at is null as is_valid, coalesce(m.state = 'pending', false) as is_pending,
       coalesce(m.tags = root.tags, false) as same_scope, m.text, m.context, m.mentioned_at, m.occurred_start, m.occurred_end
     from engram.observations root
     join engram.observations o on o.bank_id = root.bank_id and (o.id = root.id or o.canonical_id = root.id)
     join engram.observation_sources s on s.bank_id = o.bank_id and s.observation_id = o.id
     left join engram.memories m on m.bank_id = s.bank_id and m.id = s.memory_id
     where root.bank_id = $1 and root.id = any($2::uuid[])
     order by m.mentioned_at nulls first, m.created_at, s.memory_id`,
    [bankId, rows.map((row) => row.id)],
  );
  const byRoot = Map.groupBy(sources.rows, (row) => row.root_id);
  return rows.map((row) => ({
    id: row.id,
    version: row.version,
    text: row.text,
    tags: row.tags,
    isLive: row.is_live,
    validFrom: row.valid_from,
    embedding: decodeRealArray(row.embedding),
    embeddingModel: row.embedding_model,
    sources: (byRoot.get(row.id) ?? []).map((source) => ({
      observationId: source.observation_id,
      memoryId: source.memory_id,
      linkedVersion: source.linked_version,
      version: source.version,
      isValid: source.is_valid,
      isPending: source.is_pending,
      sameScope: source.same_scope,
      text: source.text,
      context: source.context,
      mentionedAt: source.mentioned_at,
      occurredStart: source.occurred_start,
      occurredEnd: source.occurred_end,
    })),
  }));
}

/** One that could not be written again is left alone until then, if nobody has been there since it was looked at. */
export async function postponeReplan(
  db: Queryable,
  bankId: string,
  target: { readonly id: string; readonly version: number; readonly restMs: number },
): Promise<void> {
  // Primary key.
  await db.query(
    `update engram.observations set needs_replan_at = now() + $4 * interval '1 millisecond'
     where bank_id = $1 and id = $2 and version = $3 and needs_replan_at is not null`,
    [bankId, target.id, target.version, target.restMs],
  );
}
