import type { Queryable } from '../db/database.ts';
import { type LockedMemory, type LockedObservation, lockMemories, lockObservations } from './apply-locks.ts';

/** Locks and writes of an erasure. What is scrubbed from history and from what models said is in `erasure-scrub.ts`. */

/** Locks scopes in their order and returns the epoch of each that is there, by the JSON of its tags. */
export async function lockScopes(
  tx: Queryable,
  bankId: string,
  scopes: readonly (readonly string[])[],
): Promise<Map<string, number>> {
  if (scopes.length === 0) return new Map();
  // Primary key (bank_id, tags). Sorted before it locks: LockRows sits above the sort.
  const { rows } = await tx.query<{ tags: string[]; epoch: number }>(
    `select tags, epoch from engram.scopes
     where bank_id = $1 and tags in (
       select array(select jsonb_array_elements_text(wanted)) from jsonb_array_elements($2::jsonb) as wanted)
     order by tags for no key update`,
    [bankId, JSON.stringify(scopes)],
  );
  return new Map(rows.map((row) => [JSON.stringify(row.tags), row.epoch]));
}

/**
 * Locks the memory that is about to go, and beside it those that change and those that must stay as they are, by id
 * (law L4). Undefined: it is gone already.
 */
export async function lockForErasure(
  tx: Queryable,
  bankId: string,
  ids: { readonly memoryId: string; readonly members: readonly string[]; readonly sources: readonly string[] },
): Promise<LockedMemory | undefined> {
  // Ids compare as the server compares them: lower-case hex, of one length.
  const { memoryId } = ids;
  const before = (id: string) => id < memoryId;
  const after = (id: string) => id > memoryId;
  await lockMemories(tx, bankId, { members: ids.members.filter(before), sources: ids.sources.filter(before) });
  // Primary key. In the mode of a delete at once, since an upgrade deadlocks; it also waits for whoever is about to keep
  // what a model said of it.
  const { rows } = await tx.query<{ id: string; version: number; state: LockedMemory['state']; is_valid: boolean }>(
    `select id, version, state, invalidated_at is null as is_valid from engram.memories
     where bank_id = $1 and id = $2 for update`,
    [bankId, memoryId],
  );
  await lockMemories(tx, bankId, { members: ids.members.filter(after), sources: ids.sources.filter(after) });
  const [row] = rows;
  if (!row) return undefined;
  return { id: row.id, version: row.version, state: row.state, isValid: row.is_valid };
}

/** Locks observations in the mode of a delete, which also waits for whoever is about to keep what a model said of them. */
export async function lockObservationsForErasure(
  tx: Queryable,
  bankId: string,
  ids: readonly string[],
): Promise<Map<string, LockedObservation>> {
  // Primary key. Sorted before it locks: LockRows sits above the sort.
  await tx.query(
    'select 1 from engram.observations where bank_id = $1 and id = any($2::uuid[]) order by id for update',
    [bankId, ids],
  );
  return lockObservations(tx, bankId, ids, []);
}

/** Deletes observations that the caller has locked; their links and conflicts go along, tombstones stay. */
export async function deleteObservations(tx: Queryable, bankId: string, ids: readonly string[]): Promise<void> {
  if (ids.length === 0) return;
  // Primary key.
  await tx.query('delete from engram.observations where bank_id = $1 and id = any($2::uuid[])', [bankId, ids]);
}

/** Takes away the links to a memory before it goes, so that nothing is marked for having cited it. */
export async function deleteLinksTo(tx: Queryable, bankId: string, memoryId: string): Promise<void> {
  // Index observation_sources_memory.
  await tx.query('delete from engram.observation_sources where bank_id = $1 and memory_id = $2', [bankId, memoryId]);
}

/** Deletes the memory, and the entities that nobody else mentions. */
export async function deleteMemory(tx: Queryable, bankId: string, memoryId: string): Promise<void> {
  // Indexes: the primary key of memory_entities, memory_entities_entity. Its links to entities go by cascade.
  const { rows } = await tx.query<{ id: string }>(
    `select me.entity_id as id from engram.memory_entities me
     where me.bank_id = $1 and me.memory_id = $2 and not exists (
       select from engram.memory_entities other
       where other.bank_id = me.bank_id and other.entity_id = me.entity_id and other.memory_id <> me.memory_id)`,
    [bankId, memoryId],
  );
  await tx.query('delete from engram.memories where bank_id = $1 and id = $2', [bankId, memoryId]);
  await tx.query(
    `delete from engram.entities e where e.bank_id = $1 and e.id = any($2::uuid[])
       and not exists (select from engram.memory_entities me where me.bank_id = e.bank_id and me.entity_id = e.id)`,
    [bankId, rows.map((row) => row.id)],
  );
}

/**
 * Memories, locked, that are decided anew: they waited for a change set which cannot be approved any more, or rested in an
 * observation that went although they stay.
 */
export async function reopenMemories(tx: Queryable, bankId: string, ids: readonly string[]): Promise<void> {
  if (ids.length === 0) return;
  // Primary key.
  await tx.query(
    `update engram.memories set state = 'pending', state_reason = null, attempts = 0, next_attempt_at = now()
     where bank_id = $1 and id = any($2::uuid[])
       and (state = 'proposed' or state = 'consolidated' and invalidated_at is null)`,
    [bankId, ids],
  );
}
