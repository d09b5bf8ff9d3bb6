import type { Queryable } from '../db/database.ts';
import { decodeRealArray } from './vectors/vector-bytes.ts';

/** A pending memory as the worker saw it. The version is what an apply compares with. */
export interface DueMemory {
  readonly id: string;
  readonly version: number;
  readonly text: string;
  readonly context: string | null;
  readonly tags: readonly string[];
  readonly occurredStart: Date | null;
  readonly occurredEnd: Date | null;
  readonly mentionedAt: Date | null;
  readonly createdAt: Date;
  readonly attempts: number;
  /** Null until the background embedder, or the batch itself, has been there. */
  readonly embedding: Float32Array | null;
  readonly embeddingModel: string | null;
}

interface Row {
  id: string;
  version: number;
  text: string;
  context: string | null;
  tags: string[];
  occurred_start: Date | null;
  occurred_end: Date | null;
  mentioned_at: Date | null;
  created_at: Date;
  attempts: number;
  embedding: Buffer | null;
  embedding_model: string | null;
}

function toDueMemory(row: Row): DueMemory {
  return {
    id: row.id,
    version: row.version,
    text: row.text,
    context: row.context,
    tags: row.tags,
    occurredStart: row.occurred_start,
    occurredEnd: row.occurred_end,
    mentionedAt: row.mentioned_at,
    createdAt: row.created_at,
    attempts: row.attempts,
    embedding: row.embedding === null ? null : decodeRealArray(row.embedding),
    embeddingModel: row.embedding_model,
  };
}

/** Due rows, oldest first, without those the caller has in hand. */
export async function selectDueMemories(
  db: Queryable,
  bankId: string,
  options: { readonly limit: number; readonly inHand: readonly string[] },
): Promise<DueMemory[]> {
  // Index memories_pending gives the order; the rows in hand are at most a few batches.
  const { rows } = await db.query<Row>(
    `select id, version, text, context, tags, occurred_start, occurred_end, mentioned_at, created_at, attempts,
       array_send(embedding) as embedding, embedding_model
     from engram.memories
     where bank_id = $1 and state = 'pending' and invalidated_at is null and next_attempt_at <= now()
       and id <> all($3::uuid[])
     order by created_at, id limit $2`,
    [bankId, options.limit, options.inHand],
  );
  return rows.map(toDueMemory);
}

/** The named memories as they stand, those still pending only; used when a batch decides again. */
export async function reloadPending(db: Queryable, bankId: string, ids: readonly string[]): Promise<DueMemory[]> {
  // Primary key.
  const { rows } = await db.query<Row>(
    `select id, version, text, context, tags, occurred_start, occurred_end, mentioned_at, created_at, attempts,
       array_send(embedding) as embedding, embedding_model
     from engram.memories
     where bank_id = $1 and id = any($2::uuid[]) and state = 'pending' and invalidated_at is null
     order by created_at, id`,
    [bankId, ids],
  );
  return rows.map(toDueMemory);
}

/** No progress: one attempt more, due again after a rest by the database's clock. Only rows still pending in the version that was tried. */
export async function postponeMemories(
  db: Queryable,
  bankId: string,
  memories: readonly { id: string; version: number; restMs: number }[],
): Promise<void> {
  // Primary key; sorted, so that two of these cannot meet (law L4).
  await db.query(
    `with wanted as (
       select m.id, w.rest_ms from engram.memories m
       join unnest($2::uuid[], $3::bigint[], $4::float8[]) as w(id, version, rest_ms)
         on m.id = w.id and m.version = w.version
       where m.bank_id = $1 and m.state = 'pending' order by m.id for no key update of m)
     update engram.memories m set attempts = m.attempts + 1, next_attempt_at = now() + wanted.rest_ms * interval '1 millisecond'
     from wanted where m.bank_id = $1 and m.id = wanted.id`,
    [bankId, memories.map((m) => m.id), memories.map((m) => m.version), memories.map((m) => m.restMs)],
  );
}

/** Nobody's fault that they know of: due again after a rest, and not counted. Only rows still pending in the version that was tried. */
export async function restMemories(
  db: Queryable,
  bankId: string,
  memories: readonly { id: string; version: number; restMs: number }[],
): Promise<void> {
  // Primary key; sorted (law L4).
  await db.query(
    `with wanted as (
       select m.id, w.rest_ms from engram.memories m
       join unnest($2::uuid[], $3::bigint[], $4::float8[]) as w(id, version, rest_ms)
         on m.id = w.id and m.version = w.version
       where m.bank_id = $1 and m.state = 'pending' order by m.id for no key update of m)
     update engram.memories m set next_attempt_at = now() + wanted.rest_ms * interval '1 millisecond'
     from wanted where m.bank_id = $1 and m.id = wanted.id`,
    [bankId, memories.map((m) => m.id), memories.map((m) => m.version), memories.map((m) => m.restMs)],
  );
}

/** Takes memories out of the work with a reason a person reads; `jobs retry` brings them back. */
export async function parkMemories(
  db: Queryable,
  bankId: string,
  memories: readonly { id: string; version: number }[],
  reason: 'no_progress' | 'crashed_alone',
): Promise<void> {
  // Primary key; sorted (law L4). The events are written by the same statement, so neither exists without the other.
  await db.query(
    `with wanted as (
       select m.id from engram.memories m
       join unnest($2::uuid[], $3::bigint[]) as w(id, version) on m.id = w.id and m.version = w.version
       where m.bank_id = $1 and m.state = 'pending' order by m.id for no key update of m),
     parked as (
       update engram.memories m set state = 'parked', state_reason = $4, attempts = m.attempts + 1
       from wanted where m.bank_id = $1 and m.id = wanted.id returning m.id)
     insert into engram.events (bank_id, kind, memory_id, detail)
       select $1, 'memory.parked', id, jsonb_build_object('reason', $4::text) from parked`,
    [bankId, memories.map((m) => m.id), memories.map((m) => m.version), reason],
  );
}
