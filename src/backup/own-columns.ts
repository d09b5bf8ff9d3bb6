import type { Queryable } from '../db/database.ts';
import { ColumnAddedError } from './backup-errors.ts';
import type { keptTables } from './kept-tables.ts';

/** Of the schema whose columns stand here; nobody can tell of a newer one. A test compares them with the migrations. */
export const columnsOfSchema = 7;

/** What migrations have made in each kept table, and ever will have: a column that one drops stays here. */
export const ownColumns: Readonly<Record<(typeof keptTables)[number], readonly string[]>> = {
  banks: words`id mission created_at`,
  embedding_models: words`
    id provider dimensions is_active pinned_at repeat_similarity calibrated_at switch_started_at switch_worker
    switch_worker_until switch_problem`,
  instances: words`
    id role host pid version started_at seen_at stopped_at stop_reason last_activity_at requests_in_flight
    parked_at`,
  memories: words`
    bank_id id text context kind tags metadata dialogue occurred_start occurred_end mentioned_at source_ref
    ingest_key embedding embedding_model version state state_reason attempts next_attempt_at created_at
    edited_at invalidated_at change_xid decided_by significance scored_version score_attempts score_next_at
    score_due_at score_parked pin pinned_at unpinned_at`,
  entities: words`bank_id id name`,
  memory_entities: words`bank_id memory_id entity_id`,
  scopes: words`bank_id tags epoch`,
  observations: words`
    bank_id id text tags embedding embedding_model version scope_epoch valid_from valid_to occurred_start
    occurred_end superseded_by canonical_id retired_at trust needs_replan_at created_at updated_at change_xid
    text_changed_at`,
  observation_sources: words`bank_id observation_id memory_id memory_version added_at`,
  runs: words`bank_id id trigger instance_id started_at finished_at outcome counts`,
  change_sets: words`bank_id id run_id decider status reason created_at kind undoes decided_at shown_ids`,
  change_ops: words`
    bank_id change_set_id seq op status target_id base_version result_id memory_ids source_ids before after
    before_embedding before_embedding_model after_embedding after_embedding_model reason verdicts group_no plan
    erased_at applied_no observation_ids memory_versions applied_at`,
  conflicts: words`
    bank_id id left_id right_id status reason created_at resolved_at resolution change_set_id settled_at`,
  events: words`id bank_id at kind memory_id observation_id change_set_id detail change_xid`,
  attempts: words`
    bank_id id run_id instance_id memory_ids started_at finished_at outcome request_hash shown decided_by`,
  idempotency_keys: words`scope key request_hash status response created_at`,
  model_calls: words`
    id day bank_id instance_id purpose endpoint model request_hash memories consolidated prompt_bytes nano_usd
    tokens unpriced_tokens prompt_tokens cached_tokens output_tokens started_at settled_at latency_ms outcome`,
  budget_ledger: words`day nano_usd tokens unpriced_tokens calls`,
  model_answers: words`bank_id request_hash answer subject_ids created_at`,
  verdicts: words`bank_id key verdict reason subject_ids created_at used_at`,
  model_abilities: words`endpoint model abilities updated_at`,
  erasures: words`bank_id memory_id observation_ids erased_at`,
  erasures_due: words`bank_id memory_id erased_at`,
  next_embeddings: words`bank_id target row_id model content_hash embedding`,
  lifecycle_events: words`id at instance_id from_state to_state reason detail`,
  sleep_cycles: words`id trigger is_forced forced_at instance_id started_at touched_at finished_at outcome`,
  sleep_steps: words`
    cycle_id name position status runs started_at finished_at checkpoint done total note error`,
  digests: words`id cycle_id from_at to_at made_at counts`,
  snapshots: words`bank_id id made_at trigger applied_no seen_xid made_xid counts`,
  snapshot_rows: words`bank_id snapshot_id target row_id version state pin`,
};

function words(text: TemplateStringsArray): readonly string[] {
  return text.join('').trim().split(/\s+/);
}

/**
 * A column of somebody's own has no place where a backup is restored or an export imported: what is in it would be lost,
 * so nothing is written at all. What is computed from other columns loses nothing.
 *
 * @param what that is not taken
 * @throws ColumnAddedError
 */
export async function assertNoColumnAdded(
  db: Queryable,
  tables: readonly (keyof typeof ownColumns)[],
  what: 'backup' | 'export',
): Promise<void> {
  const pairs = tables.flatMap((table) => ownColumns[table].map((column) => [table, column] as const));
  // Index: pg_attribute_relid_attnum_index.
  const { rows } = await db.query<{ part: string; drop: string }>(
    `select format('column %I on %I', a.attname, c.relname) as part,
       format('ALTER TABLE engram.%I DROP COLUMN %I', c.relname, a.attname) as drop
     from pg_attribute a join pg_class c on c.oid = a.attrelid
     where c.relnamespace = 'engram'::regnamespace and c.relkind = 'r' and c.relname = any($1::text[])
       and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
       and (c.relname::text, a.attname::text) not in (select * from unnest($2::text[], $3::text[]))
       and (select max(version) from engram.migrations) <= $4
     order by 1`,
    [tables, pairs.map(([table]) => table), pairs.map(([, column]) => column), columnsOfSchema],
  );
  if (rows.length === 0) return;
  throw new ColumnAddedError(
    `something that is not engramd's stands on its tables, and no ${what} would hold what is in it: ${rows.map(({ part }) => part).join(', ')}. ` +
      `Keep it in a table of your own and drop it (${rows.map(({ drop }) => drop).join('; ')}); no ${what} was written`,
  );
}
