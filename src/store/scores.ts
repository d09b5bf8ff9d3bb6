import type { Queryable } from '../db/database.ts';

/** A memory that waits for its score, as the scorer is shown it. */
export interface DueScore {
  readonly id: string;
  readonly version: number;
  readonly text: string;
  readonly context: string | null;
  readonly kind: 'world' | 'experience';
  readonly tags: readonly string[];
  readonly occurredStart: Date | null;
  readonly mentionedAt: Date | null;
  readonly dialogue: unknown;
  /** Times that its score was refused. */
  readonly attempts: number;
}

interface Row {
  id: string;
  version: number;
  text: string;
  context: string | null;
  kind: 'world' | 'experience';
  tags: string[];
  occurred_start: Date | null;
  mentioned_at: Date | null;
  dialogue: unknown;
  score_attempts: number;
}

function toDueScore(row: Row): DueScore {
  return {
    id: row.id,
    version: row.version,
    text: row.text,
    context: row.context,
    kind: row.kind,
    tags: row.tags,
    occurredStart: row.occurred_start,
    mentionedAt: row.mentioned_at,
    dialogue: row.dialogue,
    attempts: row.score_attempts,
  };
}

/** What is due for its score, longest due first. */
export async function selectDueScores(db: Queryable, bankId: string, limit: number): Promise<DueScore[]> {
  // Index memories_unscored, in its order.
  const { rows } = await db.query<Row>(
    `select id, version, text, context, kind, tags, occurred_start, mentioned_at, dialogue, score_attempts
     from engram.memories
     where bank_id = $1 and scored_version is distinct from version and score_parked is null and invalidated_at is null
       and score_next_at <= now()
     order by score_next_at, created_at, id limit $2`,
    [bankId, limit],
  );
  return rows.map(toDueScore);
}

/** Those of the named memories that are due for their score, in no order. */
export async function dueScoresOf(db: Queryable, bankId: string, ids: readonly string[]): Promise<DueScore[]> {
  // Primary key.
  const { rows } = await db.query<Row>(
    `select id, version, text, context, kind, tags, occurred_start, mentioned_at, dialogue, score_attempts
     from engram.memories
     where bank_id = $1 and id = any($2::uuid[]) and scored_version is distinct from version and score_parked is null
       and invalidated_at is null and score_next_at <= now()`,
    [bankId, ids],
  );
  return rows.map(toDueScore);
}

/** How many memories are due for their score, counted up to `most`. */
export async function countDueScores(db: Queryable, bankId: string, most: number): Promise<number> {
  // Index memories_unscored.
  const { rows } = await db.query<{ due: number }>(
    `select count(*)::int as due from (
       select from engram.memories
       where bank_id = $1 and scored_version is distinct from version and score_parked is null
         and invalidated_at is null and score_next_at <= now()
       limit $2) as due`,
    [bankId, most],
  );
  return rows[0]?.due ?? 0;
}

/**
 * The memories, in the order in which they were asked about, of each answer that was paid for and is about any of these,
 * newest first. A batch of just them gets it again for nothing (law L19).
 */
export async function answeredScores(db: Queryable, bankId: string, ids: readonly string[]): Promise<string[][]> {
  if (ids.length === 0) return [];
  // Indexes model_answers_subjects (gin) and model_calls_scores.
  const { rows } = await db.query<{ subject_ids: string[] }>(
    `select a.subject_ids from engram.model_answers a
     where a.bank_id = $1 and a.subject_ids && $2::uuid[] and exists (
       select from engram.model_calls c
       where c.bank_id = a.bank_id and c.request_hash = a.request_hash and c.purpose = 'significance'
         and c.outcome = 'ok')
     order by a.created_at desc`,
    [bankId, ids],
  );
  return rows.map((row) => row.subject_ids);
}

/** A memory under its lock: one that was asked about, or one that holds a pin. */
export interface LockedForScore {
  readonly id: string;
  readonly version: number;
  readonly scoredVersion: number | null;
  readonly attempts: number;
  readonly isValid: boolean;
  readonly pin: 'manual' | 'auto' | null;
  readonly createdAtUs: number;
  readonly pinnedAtUs: number | null;
  /** A person took its pin away, and its text is the same still. */
  readonly isUnpinned: boolean;
  /** Since it was due for its score. */
  readonly waitedSeconds: number;
}

/**
 * Locks these memories and all that hold a pin of the bank, whose lock the caller holds in mode `exclusive`: nobody else
 * pins meanwhile. Missing rows are gone.
 */
export async function lockWithPins(
  tx: Queryable,
  bankId: string,
  ids: readonly string[],
): Promise<Map<string, LockedForScore>> {
  // Primary key and memories_pinned. Sorted before it locks: LockRows sits above the sort (law L4).
  const { rows } = await tx.query<LockedForScore>(
    `select id, version, scored_version as "scoredVersion", score_attempts as attempts,
       invalidated_at is null as "isValid", pin,
       (extract(epoch from created_at) * 1000000)::bigint as "createdAtUs",
       (extract(epoch from pinned_at) * 1000000)::bigint as "pinnedAtUs", unpinned_at is not null as "isUnpinned",
       greatest(extract(epoch from now() - score_next_at), 0)::float8 as "waitedSeconds"
     from engram.memories
     where bank_id = $1 and (id = any($2::uuid[]) or pin is not null)
     order by id for no key update`,
    [bankId, ids],
  );
  return new Map(rows.map((row) => [row.id, row]));
}

/** Scores of memories that the caller has locked, each for the version that it has. */
export async function saveScores(
  tx: Queryable,
  bankId: string,
  scores: readonly { readonly id: string; readonly significance: number }[],
): Promise<void> {
  if (scores.length === 0) return;
  // Primary key.
  await tx.query(
    `update engram.memories m set significance = s.significance, scored_version = m.version, score_attempts = 0,
       score_parked = null
     from unnest($2::uuid[], $3::smallint[]) as s(id, significance)
     where m.bank_id = $1 and m.id = s.id`,
    [bankId, scores.map((score) => score.id), scores.map((score) => score.significance)],
  );
}

/** No score: of memories that the caller has locked. Due again after a rest, or, where there is none, parked. */
export async function saveRests(
  tx: Queryable,
  bankId: string,
  rests: readonly {
    readonly id: string;
    readonly attempts: number;
    readonly restMs: number | null;
    /** Why it is parked. */
    readonly parked: string | null;
  }[],
): Promise<void> {
  if (rests.length === 0) return;
  // Primary key.
  await tx.query(
    `update engram.memories m set score_attempts = r.attempts, score_parked = r.parked,
       score_next_at = coalesce(now() + r.rest_ms * interval '1 millisecond', m.score_next_at)
     from unnest($2::uuid[], $3::int[], $4::float8[], $5::text[]) as r(id, attempts, rest_ms, parked)
     where m.bank_id = $1 and m.id = r.id`,
    [
      bankId,
      rests.map((rest) => rest.id),
      rests.map((rest) => rest.attempts),
      rests.map((rest) => rest.restMs),
      rests.map((rest) => rest.parked),
    ],
  );
}
