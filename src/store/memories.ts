import type { Queryable } from '../db/database.ts';
import { encodeRealArray } from './vectors/vector-bytes.ts';

export type MemoryState = 'pending' | 'consolidated' | 'proposed' | 'held' | 'parked';

/** A memory as it is written. Times are ISO 8601. */
export interface NewMemory {
  readonly id: string;
  readonly text: string;
  readonly context: string | null;
  readonly kind: 'world' | 'experience';
  readonly tags: readonly string[];
  readonly metadata: unknown;
  readonly dialogue: unknown;
  readonly occurredStart: string | null;
  readonly occurredEnd: string | null;
  readonly mentionedAt: string | null;
  readonly sourceRef: string | null;
  readonly ingestKey: string | null;
}

/** Marks what this transaction writes as ours, so that no NOTIFY wakes the daemon for what it has just done itself. */
export async function markWriter(tx: Queryable, instanceId: string): Promise<void> {
  await tx.query("select set_config('engram.writer', $1, true)", [instanceId]);
}

/** Inserts what is not there yet and returns the ids of the rows that are new. */
export async function insertMemories(
  tx: Queryable,
  bankId: string,
  memories: readonly NewMemory[],
): Promise<Set<string>> {
  // Unique indexes memories_source_ref and memories_ingest_key decide what is there. In their order, so that two
  // requests with the same references in another order wait for each other and do not deadlock (law L4).
  const { rows } = await tx.query<{ id: string }>(
    `insert into engram.memories (bank_id, id, text, context, kind, tags, metadata, dialogue, occurred_start,
       occurred_end, mentioned_at, source_ref, ingest_key)
     select $1, r.id, r.text, r.context, r.kind, r.tags, r.metadata, r.dialogue, r."occurredStart",
       r."occurredEnd", r."mentionedAt", r."sourceRef", r."ingestKey"
     from jsonb_to_recordset($2::jsonb) as r(id uuid, text text, context text, kind text, tags text[], metadata jsonb,
       dialogue jsonb, "occurredStart" timestamptz, "occurredEnd" timestamptz, "mentionedAt" timestamptz,
       "sourceRef" text, "ingestKey" text)
     order by r."sourceRef" collate "C", engram.content_hash(r.text), r."ingestKey" collate "C", r.id
     on conflict do nothing returning id`,
    [bankId, JSON.stringify(memories)],
  );
  return new Set(rows.map((row) => row.id));
}

export interface ExistingMemory {
  /** The id that the memory asked for would have got. */
  readonly wantedId: string;
  readonly id: string;
  /** False where the key is known but belongs to a text that nobody has edited since and that is not this one. */
  readonly isSame: boolean;
}

/** The rows that stand where these memories would be, by their key first, else by reference and text. */
export async function findExisting(
  tx: Queryable,
  bankId: string,
  memories: readonly NewMemory[],
): Promise<ExistingMemory[]> {
  if (memories.length === 0) return [];
  // Unique indexes memories_ingest_key and memories_source_ref, one probe a row each.
  const { rows } = await tx.query<{ wanted_id: string; id: string; is_same: boolean }>(
    `select distinct on (r.id) r.id as wanted_id, m.id, m.is_same
     from jsonb_to_recordset($2::jsonb) as r(id uuid, text text, "sourceRef" text, "ingestKey" text),
     lateral (
       select k.id, k.content_hash = engram.content_hash(r.text) or k.edited_at is not null as is_same, 1 as preference
         from engram.memories k where k.bank_id = $1 and k.ingest_key = r."ingestKey"
       union all
       select s.id, true, 2 from engram.memories s
         where s.bank_id = $1 and s.source_ref = r."sourceRef" and s.content_hash = engram.content_hash(r.text)
     ) as m
     order by r.id, m.preference`,
    [bankId, JSON.stringify(memories)],
  );
  return rows.map((row) => ({ wantedId: row.wanted_id, id: row.id, isSame: row.is_same }));
}

export interface UnembeddedMemory {
  readonly id: string;
  readonly version: number;
  readonly text: string;
}

/** What the background embedder has not been at, oldest first. */
export async function selectUnembedded(db: Queryable, bankId: string, limit: number): Promise<UnembeddedMemory[]> {
  // Index memories_unembedded gives the order. Parked rows wait for `jobs retry`.
  const { rows } = await db.query<UnembeddedMemory>(
    `select id, version, text from engram.memories
     where bank_id = $1 and embedding is null and invalidated_at is null and state <> 'parked'
     order by created_at, id limit $2`,
    [bankId, limit],
  );
  return rows;
}

export async function countUnembedded(db: Queryable, bankId: string): Promise<number> {
  // Index memories_unembedded.
  const { rows } = await db.query<{ count: number }>(
    `select count(*) as count from engram.memories
     where bank_id = $1 and embedding is null and invalidated_at is null and state <> 'parked'`,
    [bankId],
  );
  return rows[0]?.count ?? 0;
}

/** Stores vectors of the texts that were read, and only of those: a row that changed meanwhile keeps none (law L6). */
export async function storeEmbeddings(
  tx: Queryable,
  bankId: string,
  model: string,
  vectors: readonly { readonly id: string; readonly version: number; readonly vector: Float32Array }[],
): Promise<number> {
  if (vectors.length === 0) return 0;
  // Primary key. Locked in id order first: an apply locks the rows of its batch in that order too (law L4).
  const { rowCount } = await tx.query(
    `with wanted as (
       select m.id, w.vector from engram.memories m
       join unnest($3::uuid[], $4::bigint[], $5::text[]) as w(id, version, vector)
         on m.id = w.id and m.version = w.version
       where m.bank_id = $1 and m.embedding is null order by m.id for no key update of m)
     update engram.memories m set embedding = wanted.vector::real[], embedding_model = $2
     from wanted where m.bank_id = $1 and m.id = wanted.id`,
    [
      bankId,
      model,
      vectors.map((vector) => vector.id),
      vectors.map((vector) => vector.version),
      vectors.map((vector) => encodeRealArray(vector.vector)),
    ],
  );
  return rowCount;
}

/** Takes out of the work a memory that has no vector and will get none; `jobs retry` brings it back. */
export async function parkUnembeddable(
  db: Queryable,
  bankId: string,
  memory: { readonly id: string; readonly version: number },
  reason: string,
): Promise<boolean> {
  // Primary key. The event is written by the same statement, so neither exists without the other.
  const { rowCount } = await db.query(
    `with parked as (
       update engram.memories set state = 'parked', state_reason = $4
       where bank_id = $1 and id = $2 and version = $3 and state = 'pending' and embedding is null returning id)
     insert into engram.events (bank_id, kind, memory_id, detail)
       select $1, 'memory.parked', id, jsonb_build_object('reason', $4::text) from parked`,
    [bankId, memory.id, memory.version, reason],
  );
  return rowCount === 1;
}
