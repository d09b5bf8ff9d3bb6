import type { Queryable } from '../db/database.ts';
import { chunkRows, type MemoryChunk, type MemoryChunkRow, memoryChunk } from './memory-chunk.ts';

/**
 * Makes the next of the bank's valid memories pending again that were decided under another key than this one, by id.
 * Those decided alike would be decided alike once more. What has become history is not told again: nobody would be shown
 * the superseded observation that says it, and it would be written beside it a second time.
 */
export async function requeueDecidedOtherwise(
  tx: Queryable,
  bankId: string,
  options: { readonly decidedBy: string; readonly after: string | null },
): Promise<MemoryChunk> {
  // Primary key gives the order, which is also that of the locks (law L4); observation_sources_memory. The events come
  // with the change.
  const { rows } = await tx.query<MemoryChunkRow>(
    `with wanted as (
       select m.id from engram.memories m
       where m.bank_id = $1 and m.state = 'consolidated' and m.invalidated_at is null
         and m.decided_by is distinct from $2 and ($3::uuid is null or m.id > $3)
         and not exists (
           select from engram.observation_sources s
           join engram.observations o on o.bank_id = s.bank_id and o.id = s.observation_id
           left join engram.observations root on root.bank_id = o.bank_id and root.id = o.canonical_id
           where s.bank_id = m.bank_id and s.memory_id = m.id
           having count(*) > 0 and not bool_or(coalesce(root.is_live, o.is_live)))
       order by m.id limit $4 for no key update of m),
     requeued as (
       update engram.memories m
       set state = 'pending', state_reason = null, attempts = 0, next_attempt_at = statement_timestamp()
       from wanted w where m.bank_id = $1 and m.id = w.id and m.state = 'consolidated' returning m.id),
     told as (
       insert into engram.events (bank_id, kind, memory_id) select $1, 'memory.requeued', id from requeued order by id)
     select count(*)::int as n, (select max(id::text) from wanted) as last from requeued`,
    [bankId, options.decidedBy, options.after, chunkRows],
  );
  return memoryChunk(rows[0]);
}

/** Makes the next of the bank's valid held memories pending again, by id: a person overrides what put them there. */
export async function requeueHeld(tx: Queryable, bankId: string, after: string | null): Promise<MemoryChunk> {
  // Index memories_state finds them; in the order of ids, which is that of the locks (law L4).
  const { rows } = await tx.query<MemoryChunkRow>(
    `with wanted as (
       select m.id from engram.memories m
       where m.bank_id = $1 and m.state = 'held' and m.invalidated_at is null and ($2::uuid is null or m.id > $2)
       order by m.id limit $3 for no key update of m),
     requeued as (
       update engram.memories m
       set state = 'pending', state_reason = null, attempts = 0, next_attempt_at = statement_timestamp()
       from wanted w where m.bank_id = $1 and m.id = w.id and m.state = 'held' returning m.id),
     told as (
       insert into engram.events (bank_id, kind, memory_id) select $1, 'memory.requeued', id from requeued order by id)
     select count(*)::int as n, (select max(id::text) from wanted) as last from requeued`,
    [bankId, after, chunkRows],
  );
  return memoryChunk(rows[0]);
}
