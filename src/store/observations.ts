import type { Queryable } from '../db/database.ts';
import type { LinkImage, ObservationImage } from './change-ops.ts';
import { decodeRealArray, encodeRealArray } from './vectors/vector-bytes.ts';

export interface NewObservation {
  readonly image: ObservationImage;
  readonly embedding: Float32Array;
}

/** Writes observations as their images say, all of one scope and one epoch. */
export async function insertObservations(
  tx: Queryable,
  options: {
    bankId: string;
    tags: readonly string[];
    scopeEpoch: number;
    embeddingModel: string;
    observations: readonly NewObservation[];
  },
): Promise<void> {
  if (options.observations.length === 0) return;
  await tx.query(
    `insert into engram.observations (bank_id, id, text, tags, embedding, embedding_model, version, scope_epoch,
       valid_from, valid_to, occurred_start, occurred_end, superseded_by)
     select $1, r.id, r.text, $2, e.embedding::real[], $3, r.version, $4,
       r."validFrom", r."validTo", r."occurredStart", r."occurredEnd", r."supersededBy"
     from jsonb_to_recordset($5::jsonb) as r(n int, id uuid, text text, version bigint, "validFrom" timestamptz,
       "validTo" timestamptz, "occurredStart" timestamptz, "occurredEnd" timestamptz, "supersededBy" uuid)
     join unnest($6::text[]) with ordinality as e(embedding, n) on e.n = r.n`,
    [
      options.bankId,
      options.tags,
      options.embeddingModel,
      options.scopeEpoch,
      JSON.stringify(options.observations.map((observation, index) => ({ ...observation.image, n: index + 1 }))),
      options.observations.map((observation) => encodeRealArray(observation.embedding)),
    ],
  );
}

export interface ChangedObservation {
  readonly image: ObservationImage;
  /** Null where the text stays. */
  readonly embedding: Float32Array | null;
  /** Nobody could lean on it before, being superseded or about to be written again, and now everybody can. */
  readonly surfaced: boolean;
}

/**
 * Brings rows to their images; `embedding` only where the text changed, and then always (law L6). The caller holds the
 * locks and has compared versions; the images carry the new ones.
 */
export async function updateObservations(
  tx: Queryable,
  options: {
    bankId: string;
    scopeEpoch: number;
    embeddingModel: string;
    observations: readonly ChangedObservation[];
  },
): Promise<void> {
  if (options.observations.length === 0) return;
  // Primary key. The scope epoch moves for a row whose text does, or is to be seen again: a create is compared with it.
  await tx.query(
    `update engram.observations o set
       text = r.text, version = r.version, valid_from = r."validFrom", valid_to = r."validTo",
       occurred_start = r."occurredStart", occurred_end = r."occurredEnd", superseded_by = r."supersededBy",
       canonical_id = r."canonicalId", retired_at = r."retiredAt", needs_replan_at = r."needsReplanAt",
       embedding = case when e.embedding is null then o.embedding else e.embedding::real[] end,
       embedding_model = case when e.embedding is null then o.embedding_model else $2 end,
       scope_epoch = case when e.embedding is not null or r.surfaced then $3 else o.scope_epoch end,
       updated_at = now()
     from jsonb_to_recordset($4::jsonb) as r(n int, id uuid, text text, version bigint, "validFrom" timestamptz,
       "validTo" timestamptz, "occurredStart" timestamptz, "occurredEnd" timestamptz, "supersededBy" uuid,
       "canonicalId" uuid, "retiredAt" timestamptz, "needsReplanAt" timestamptz, surfaced boolean)
     join unnest($5::text[]) with ordinality as e(embedding, n) on e.n = r.n
     where o.bank_id = $1 and o.id = r.id`,
    [
      options.bankId,
      options.embeddingModel,
      options.scopeEpoch,
      JSON.stringify(options.observations.map(({ image, surfaced }, index) => ({ ...image, surfaced, n: index + 1 }))),
      options.observations.map(({ embedding }) => (embedding === null ? null : encodeRealArray(embedding))),
    ],
  );
}

export type Link = LinkImage;

/** Adds links; one that is there moves to the newer version of its memory. */
export async function upsertLinks(tx: Queryable, bankId: string, links: readonly Link[]): Promise<void> {
  if (links.length === 0) return;
  // Primary key (bank_id, observation_id, memory_id).
  await tx.query(
    `insert into engram.observation_sources (bank_id, observation_id, memory_id, memory_version)
     select $1, * from unnest($2::uuid[], $3::uuid[], $4::bigint[])
     on conflict (bank_id, observation_id, memory_id) do update
       set memory_version = greatest(observation_sources.memory_version, excluded.memory_version)`,
    [
      bankId,
      links.map((link) => link.observationId),
      links.map((link) => link.memoryId),
      links.map((link) => link.memoryVersion),
    ],
  );
}

/** Brings links to the versions given, older ones too: what an undo restores was so. */
export async function restoreLinks(tx: Queryable, bankId: string, links: readonly Link[]): Promise<void> {
  if (links.length === 0) return;
  // Primary key (bank_id, observation_id, memory_id).
  await tx.query(
    `insert into engram.observation_sources (bank_id, observation_id, memory_id, memory_version)
     select $1, * from unnest($2::uuid[], $3::uuid[], $4::bigint[])
     on conflict (bank_id, observation_id, memory_id) do update set memory_version = excluded.memory_version`,
    [
      bankId,
      links.map((link) => link.observationId),
      links.map((link) => link.memoryId),
      links.map((link) => link.memoryVersion),
    ],
  );
}

/** Removes links of observations that the caller has locked. */
export async function deleteLinks(tx: Queryable, bankId: string, links: readonly Link[]): Promise<void> {
  if (links.length === 0) return;
  // Primary key (bank_id, observation_id, memory_id).
  await tx.query(
    `delete from engram.observation_sources s using unnest($2::uuid[], $3::uuid[]) as gone(observation_id, memory_id)
     where s.bank_id = $1 and s.observation_id = gone.observation_id and s.memory_id = gone.memory_id`,
    [bankId, links.map((link) => link.observationId), links.map((link) => link.memoryId)],
  );
}

/** The scopes of observations, those that are there: which never change. */
export async function scopesOf(db: Queryable, bankId: string, ids: readonly string[]): Promise<string[][]> {
  if (ids.length === 0) return [];
  // Primary key.
  const { rows } = await db.query<{ tags: string[] }>(
    'select distinct tags from engram.observations where bank_id = $1 and id = any($2::uuid[])',
    [bankId, ids],
  );
  return rows.map((row) => row.tags);
}

/** Live observations of a scope whose text was written after the epoch: what a create prepared at that epoch has not seen. */
export async function writtenSince(
  tx: Queryable,
  options: { bankId: string; tags: readonly string[]; epoch: number; embeddingModel: string },
): Promise<{ id: string; text: string; embedding: Float32Array }[]> {
  // Index observations_scope (bank_id, tags, scope_epoch).
  const { rows } = await tx.query<{ id: string; text: string; embedding: Buffer }>(
    `select id, text, array_send(embedding) as embedding from engram.observations
     where bank_id = $1 and tags = $2::text[] and scope_epoch > $3 and embedding_model = $4 and is_live`,
    [options.bankId, options.tags, options.epoch, options.embeddingModel],
  );
  return rows.map((row) => ({ id: row.id, text: row.text, embedding: decodeRealArray(row.embedding) }));
}

/**
 * Live observations of a bank, and those retired by consolidation within the last 90 days: what the loss budget weighs.
 * Folded and superseded ones had been reachable through another, and do not count (law L18).
 */
export async function lossFigures(
  tx: Queryable,
  bankId: string,
  runId: string,
): Promise<{ live: number; retiredByRun: number; retiredIn90Days: number }> {
  // One pass over the bank's observations and its retire ops; only read when something is about to be retired.
  const { rows } = await tx.query<{ live: number; by_run: number; in_90_days: number }>(
    `select
       (select count(*) from engram.observations where bank_id = $1 and is_live) as live,
       count(*) filter (where s.run_id = $2) as by_run,
       count(*) as in_90_days
     from engram.change_ops o join engram.change_sets s on s.bank_id = o.bank_id and s.id = o.change_set_id
     where o.bank_id = $1 and o.op = 'retire' and o.status = 'applied' and s.kind = 'consolidation'
       and o.before -> 'target' ->> 'canonicalId' is null and o.before -> 'target' ->> 'supersededBy' is null
       and s.created_at > now() - interval '90 days'`,
    [bankId, runId],
  );
  const row = rows[0];
  return { live: row?.live ?? 0, retiredByRun: row?.by_run ?? 0, retiredIn90Days: row?.in_90_days ?? 0 };
}
