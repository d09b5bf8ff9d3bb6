import type { Database, Queryable } from '../db/database.ts';
import { chunkRows, type MemoryChunk, type MemoryChunkRow, memoryChunk } from './memory-chunk.ts';

type Unpark = (
  tx: Queryable,
  bankId: string,
  memoryIds: readonly string[] | null,
  after: string | null,
) => Promise<MemoryChunk>;

/**
 * Makes parked memories pending again with a clean record: of one bank or of all, the named ones or all.
 *
 * @returns how many, by bank
 */
export function unparkMemories(
  db: Database,
  bankId: string | null,
  memoryIds: readonly string[] | null,
): Promise<Map<string, number>> {
  return inChunks(db, bankId, memoryIds, async (tx, ...wanted) => {
    // Index memories_state finds them; in the order of ids, so that two of these cannot meet (law L4). The events come
    // with the change.
    const { rows } = await tx.query<MemoryChunkRow>(
      `with wanted as (
         select m.id from engram.memories m
         where m.bank_id = $1 and m.state = 'parked' and m.invalidated_at is null
           and ($2::uuid[] is null or m.id = any($2)) and ($3::uuid is null or m.id > $3)
         order by m.id limit $4 for no key update of m),
       unparked as (
         update engram.memories m
         set state = 'pending', state_reason = null, attempts = 0, next_attempt_at = statement_timestamp()
         from wanted w where m.bank_id = $1 and m.id = w.id and m.state = 'parked' returning m.id),
       told as (
         insert into engram.events (bank_id, kind, memory_id) select $1, 'memory.unparked', id from unparked order by id)
       select count(*)::int as n, (select max(id::text) from wanted) as last from unparked`,
      [...wanted, chunkRows],
    );
    return memoryChunk(rows[0]);
  });
}

/**
 * Has memories scored again whose score was given up: of one bank or of all, the named ones or all.
 *
 * @returns how many, by bank
 */
export function unparkScores(
  db: Database,
  bankId: string | null,
  memoryIds: readonly string[] | null,
): Promise<Map<string, number>> {
  return inChunks(db, bankId, memoryIds, async (tx, ...wanted) => {
    // Index memories_score_parked finds them; in the order of ids, so that two of these cannot meet (law L4). The events come
    // with the change.
    const { rows } = await tx.query<MemoryChunkRow>(
      `with wanted as (
         select m.id from engram.memories m
         where m.bank_id = $1 and m.score_parked is not null and m.invalidated_at is null
           and ($2::uuid[] is null or m.id = any($2)) and ($3::uuid is null or m.id > $3)
         order by m.id limit $4 for no key update of m),
       unparked as (
         update engram.memories m
         set score_parked = null, score_attempts = 0, score_next_at = statement_timestamp()
         from wanted w where m.bank_id = $1 and m.id = w.id and m.score_parked is not null returning m.id),
       told as (
         insert into engram.events (bank_id, kind, memory_id)
         select $1, 'memory.score_unparked', id from unparked order by id)
       select count(*)::int as n, (select max(id::text) from wanted) as last from unparked`,
      [...wanted, chunkRows],
    );
    return memoryChunk(rows[0]);
  });
}

/** Each chunk is a transaction of its own: one that is cut short has made a start. By id: what is parked again stays so. */
async function inChunks(
  db: Database,
  bankId: string | null,
  memoryIds: readonly string[] | null,
  unpark: Unpark,
): Promise<Map<string, number>> {
  const byBank = new Map<string, number>();
  for (const bank of bankId === null ? await bankIdsOf(db) : [bankId]) {
    let memories = 0;
    let after: string | null = null;
    do {
      const from: string | null = after;
      const chunk: MemoryChunk = await db.tx({ label: 'unpark' }, (tx) => unpark(tx, bank, memoryIds, from));
      memories += chunk.memories;
      after = chunk.after;
    } while (after !== null);
    if (memories > 0) byBank.set(bank, memories);
  }
  return byBank;
}

async function bankIdsOf(db: Queryable): Promise<string[]> {
  // Primary key.
  const { rows } = await db.query<{ id: string }>('select id from engram.banks order by id');
  return rows.map((row) => row.id);
}
