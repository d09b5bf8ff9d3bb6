import type { Queryable } from '../db/database.ts';
import type { ObservationImage } from './change-ops.ts';

/**
 * The locks of an apply, each row once, in its strongest mode, in the order banks, scopes, memories, observations
 * (law L4). The functions are to be called in the order in which they stand here; scopes are in `scopes.ts`.
 */

/** Keeps the bank from being deleted under the change; false when it is gone already. */
export async function lockBank(tx: Queryable, bankId: string, mode: 'shared' | 'exclusive'): Promise<boolean> {
  // Primary key. Exclusive only where a sum over the bank is about to be judged (the loss budget).
  const { rowCount } =
    mode === 'exclusive'
      ? await tx.query('select 1 from engram.banks where id = $1 for no key update', [bankId])
      : await tx.query('select 1 from engram.banks where id = $1 for key share', [bankId]);
  return rowCount === 1;
}

export interface LockedMemory {
  readonly id: string;
  readonly version: number;
  readonly state: 'pending' | 'consolidated' | 'proposed' | 'held' | 'parked';
  /** Not invalidated. */
  readonly isValid: boolean;
}

/** Members of the batch are about to change state; other sources only have to stay as they are. Missing rows are gone. */
export async function lockMemories(
  tx: Queryable,
  bankId: string,
  ids: { readonly members: readonly string[]; readonly sources: readonly string[] },
): Promise<Map<string, LockedMemory>> {
  if (ids.members.length + ids.sources.length === 0) return new Map();
  const { rows } = await tx.query<{ id: string; version: number; state: LockedMemory['state']; is_valid: boolean }>(
    'select id, version, state, is_valid from engram.lock_memories($1, $2::uuid[], $3::uuid[])',
    [bankId, ids.sources, ids.members],
  );
  return new Map(
    rows.map((row) => [row.id, { id: row.id, version: row.version, state: row.state, isValid: row.is_valid }]),
  );
}

export interface LockedObservation {
  readonly image: ObservationImage;
  readonly tags: readonly string[];
  readonly isLive: boolean;
  readonly embedding: Buffer;
  readonly embeddingModel: string;
}

interface ObservationRow {
  id: string;
  text: string;
  version: number;
  valid_from: Date | null;
  valid_to: Date | null;
  occurred_start: Date | null;
  occurred_end: Date | null;
  superseded_by: string | null;
  canonical_id: string | null;
  retired_at: Date | null;
  needs_replan_at: string | null;
  tags: string[];
  is_live: boolean;
  embedding: Buffer;
  embedding_model: string;
}

/** Locks the named observations and everything that points at one of `withPointers` (folded into it, or superseded by it). */
export async function lockObservations(
  tx: Queryable,
  bankId: string,
  ids: readonly string[],
  withPointers: readonly string[],
): Promise<Map<string, LockedObservation>> {
  if (ids.length + withPointers.length === 0) return new Map();
  // Primary key, observations_canonical, observations_superseded. Sorted before it locks: LockRows sits above the sort.
  const { rows } = await tx.query<ObservationRow>(
    `select id, text, version, valid_from, valid_to, occurred_start, occurred_end, superseded_by, canonical_id, retired_at,
       to_char(needs_replan_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as needs_replan_at,
       tags, is_live, array_send(embedding) as embedding, embedding_model
     from engram.observations
     where bank_id = $1 and (id = any($2::uuid[]) or canonical_id = any($3::uuid[]) or superseded_by = any($3::uuid[]))
     order by id for no key update`,
    [bankId, ids, withPointers],
  );
  return new Map(rows.map((row) => [row.id, toLocked(row)]));
}

/**
 * Those of `ids` at which something points that the caller has not locked: it was folded into them, or superseded by
 * them, while the caller waited for their locks. Whoever points at a row holds its lock, so the answer stays true.
 */
export async function pointedAtBeside(
  tx: Queryable,
  bankId: string,
  ids: readonly string[],
  lockedIds: readonly string[],
): Promise<Set<string>> {
  if (ids.length === 0) return new Set();
  // Indexes observations_canonical, observations_superseded.
  const { rows } = await tx.query<{ canonical_id: string | null; superseded_by: string | null }>(
    `select canonical_id, superseded_by from engram.observations
     where bank_id = $1 and (canonical_id = any($2::uuid[]) or superseded_by = any($2::uuid[])) and id <> all($3::uuid[])`,
    [bankId, ids, lockedIds],
  );
  return new Set(rows.flatMap((row) => [row.canonical_id, row.superseded_by].filter((id) => id !== null)));
}

function toLocked(row: ObservationRow): LockedObservation {
  return {
    image: {
      id: row.id,
      text: row.text,
      version: row.version,
      validFrom: row.valid_from?.toISOString() ?? null,
      validTo: row.valid_to?.toISOString() ?? null,
      occurredStart: row.occurred_start?.toISOString() ?? null,
      occurredEnd: row.occurred_end?.toISOString() ?? null,
      supersededBy: row.superseded_by,
      canonicalId: row.canonical_id,
      retiredAt: row.retired_at?.toISOString() ?? null,
      // The one time here that the database's clock sets: cut to milliseconds, an undo would not bring it back.
      needsReplanAt: row.needs_replan_at?.replace(/000Z$/, 'Z') ?? null,
    },
    tags: row.tags,
    isLive: row.is_live,
    embedding: row.embedding,
    embeddingModel: row.embedding_model,
  };
}
