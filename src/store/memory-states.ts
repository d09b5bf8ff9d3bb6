import type { Queryable } from '../db/database.ts';
import type { LockedMemory } from './apply-locks.ts';

export interface MemoryState {
  readonly id: string;
  readonly version: number;
  readonly state: LockedMemory['state'];
  readonly reason: string | null;
  /** Not invalidated. */
  readonly isValid: boolean;
}

/** What is to become of memories by a person's decision; the caller holds their locks. */
export async function readMemoryStates(
  tx: Queryable,
  bankId: string,
  ids: readonly string[],
): Promise<Map<string, MemoryState>> {
  if (ids.length === 0) return new Map();
  // Primary key.
  const { rows } = await tx.query<MemoryState>(
    `select id, version, state, state_reason as reason, invalidated_at is null as "isValid"
     from engram.memories where bank_id = $1 and id = any($2::uuid[])`,
    [bankId, ids],
  );
  return new Map(rows.map((row) => [row.id, row]));
}

export interface MemoryMove {
  readonly id: string;
  readonly state: 'pending' | 'consolidated' | 'held';
  readonly reason: string | null;
}

/** Moves memories whose locks the caller holds; one that is to be decided again is due at once. */
export async function moveMemories(tx: Queryable, bankId: string, moves: readonly MemoryMove[]): Promise<void> {
  if (moves.length === 0) return;
  // Primary key. The events are written by the same statement, so neither exists without the other.
  await tx.query(
    `with moved as (
       update engram.memories m set state = w.state, state_reason = w.reason, attempts = 0,
         next_attempt_at = case when w.state = 'pending' then now() else m.next_attempt_at end
       from unnest($2::uuid[], $3::text[], $4::text[]) as w(id, state, reason)
       where m.bank_id = $1 and m.id = w.id returning m.id, w.state, w.reason)
     insert into engram.events (bank_id, kind, memory_id, detail)
       select $1, 'memory.' || state, id, jsonb_strip_nulls(jsonb_build_object('reason', reason))
       from moved order by id`,
    [bankId, moves.map((move) => move.id), moves.map((move) => move.state), moves.map((move) => move.reason)],
  );
}
