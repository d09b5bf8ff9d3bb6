import type { Queryable } from '../db/database.ts';
import { lockSets } from './change-review.ts';
import { setsBeside } from './lineage.ts';
import { eraseVerdicts } from './verdicts.ts';

/** What stands where a text was erased. */
export const erasedText = '[erased]';

interface Erased {
  readonly memoryId: string;
  /** Its lineage, those that are gone included. */
  readonly observationIds: readonly string[];
}

export interface ScrubbedHistory {
  readonly ops: number;
  /** Change sets that waited for a person and can no longer be approved. */
  readonly conflicted: readonly string[];
}

/**
 * Locks the change sets whose words may quote what is erased. To be called after the locks of rows and before anything is
 * written: an approval, a rejection and an undo hold their sets before they write to ops (law L4). Returns the ids.
 */
export async function lockSetsBeside(tx: Queryable, bankId: string, erased: Erased): Promise<string[]> {
  let locked: readonly string[] = [];
  for (;;) {
    const ids = await setsBeside(tx, bankId, erased);
    const known = new Set(locked);
    // Whoever was waited for may have taken one of them back, in a set of its own.
    if (ids.every((id) => known.has(id))) return ids;
    await lockSets(tx, bankId, ids);
    locked = ids;
  }
}

/**
 * Takes the texts of the lineage out of the history. Ops that cite the memory or hold a text of the lineage lose images,
 * plans and vectors, and cannot be undone any more. All of `setIds` lose their reasons: whoever gave them had read it.
 *
 * @param setIds of {@link lockSetsBeside}
 */
export async function scrubHistory(
  tx: Queryable,
  bankId: string,
  erased: Erased,
  setIds: readonly string[],
): Promise<ScrubbedHistory> {
  if (setIds.length === 0) return { ops: 0, conflicted: [] };
  // Primary key.
  const { rows } = await tx.query<{
    set_id: string;
    seq: number;
    before: unknown;
    after: unknown;
    reason: string;
    happened: boolean;
    holds_text: boolean;
  }>(
    `select o.change_set_id as set_id, o.seq, o.before, o.after, o.reason, o.status in ('applied', 'undone') as happened,
       o.memory_ids @> array[$2::uuid] or o.observation_ids && $3::uuid[] or o.status = 'proposed' and exists (
         select from unnest($3::uuid[] || $2::uuid) as t(id) where position(t.id::text in o.plan::text) > 0) as holds_text
     from engram.change_ops o where o.bank_id = $1 and o.change_set_id = any($4::uuid[])
     order by o.change_set_id, o.seq for update`,
    [bankId, erased.memoryId, erased.observationIds, setIds],
  );
  const ids = new Set(erased.observationIds);
  // Primary key.
  await tx.query(
    `update engram.change_ops o set before = r.before, after = r.after,
       plan = case when r."holdsText" or o.status = 'proposed' then null else o.plan end,
       before_embedding = case when r."holdsText" then null else o.before_embedding end,
       before_embedding_model = case when r."holdsText" then null else o.before_embedding_model end,
       after_embedding = case when r."holdsText" or o.status = 'proposed' then null else o.after_embedding end,
       after_embedding_model = case when r."holdsText" or o.status = 'proposed' then null else o.after_embedding_model end,
       erased_at = case when r."holdsText" then coalesce(o.erased_at, now()) else o.erased_at end,
       reason = case when o.reason = '' then '' else $3 end,
       verdicts = (select coalesce(jsonb_agg(jsonb_build_object('validator', v->'validator', 'reason', $3::text)), '[]')
         from jsonb_array_elements(o.verdicts) as v)
     from jsonb_to_recordset($2::jsonb) as r("setId" uuid, seq int, before jsonb, after jsonb, "holdsText" boolean)
     where o.bank_id = $1 and o.change_set_id = r."setId" and o.seq = r.seq`,
    [
      bankId,
      JSON.stringify(
        rows.map((row) => {
          // What never happened has written its text into no row: the observation that it names is not of the lineage.
          const from = row.holds_text && !row.happened ? 'all' : ids;
          return {
            setId: row.set_id,
            seq: row.seq,
            before: scrubbed(row.before, from),
            after: scrubbed(row.after, from),
            holdsText: row.holds_text,
          };
        }),
      ),
      erasedText,
    ],
  );
  // Index events_bank. The timeline repeats the reasons of skips that were taken back.
  await tx.query(
    `update engram.events set detail = jsonb_set(detail, '{reason}', to_jsonb($3::text))
     where bank_id = $1 and detail->>'reason' = any($2)`,
    [bankId, [...new Set(rows.map((row) => row.reason))].filter((reason) => reason !== ''), erasedText],
  );
  // Primary key. What an op flagged keeps the op's reason.
  await tx.query(
    `update engram.conflicts set reason = $3
     where bank_id = $1 and reason <> '' and id in (
       select (found #>> '{}')::uuid from engram.change_ops o, unnest(array[o.before, o.after]) as image,
         unnest(array['$.conflictId', '$.conflicts[*].id']::jsonpath[]) as path, jsonb_path_query(image, path) as found
       where o.bank_id = $1 and o.change_set_id = any($2::uuid[]) and found <> 'null')`,
    [bankId, setIds, erasedText],
  );
  const conflicted = await scrubSets(tx, bankId, setIds);
  return { ops: rows.filter((row) => row.holds_text).length, conflicted };
}

/** An open change set cannot be approved without its plans. */
async function scrubSets(tx: Queryable, bankId: string, setIds: readonly string[]): Promise<string[]> {
  // Primary keys.
  const { rows } = await tx.query<{ id: string }>(
    `with open as materialized (
       select id from engram.change_sets where bank_id = $1 and id = any($2::uuid[]) and status = 'proposed'),
     ended as (
       update engram.change_ops o set status = 'conflicted' from open
       where o.bank_id = $1 and o.change_set_id = open.id and o.status = 'proposed'),
     scrubbed as (
       update engram.change_sets s set
         reason = case when s.status = 'proposed' or s.reason is not null then $3 end,
         status = case when s.status = 'proposed' then 'conflicted' else s.status end,
         decided_at = case when s.status = 'proposed' then now() else s.decided_at end
       where s.bank_id = $1 and s.id = any($2::uuid[]))
     select id from open order by id`,
    [bankId, setIds, erasedText],
  );
  return rows.map((row) => row.id);
}

/** A copy without the texts of these observations, wherever their images stand in it, and without any reason. */
function scrubbed(value: unknown, ids: ReadonlySet<string> | 'all'): unknown {
  if (Array.isArray(value)) return value.map((inner) => scrubbed(inner, ids));
  if (typeof value !== 'object' || value === null) return value;
  const isErased = 'id' in value && typeof value.id === 'string' && (ids === 'all' || ids.has(value.id));
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => {
      const isText = (isErased && key === 'text') || (key === 'reason' && inner !== null && inner !== '');
      return [key, isText ? erasedText : scrubbed(inner, ids)];
    }),
  );
}

/** Takes away what was said over these texts beside the history: by models, as reasons of conflicts and of skips. */
export async function scrubByproducts(
  tx: Queryable,
  bankId: string,
  /** `explainedIds`: memories, locked, that keep the reason of a skip that had read the text. */
  erased: Erased & { readonly explainedIds: readonly string[] },
): Promise<void> {
  const ids = [erased.memoryId, ...erased.observationIds];
  // Primary key.
  await tx.query(
    `update engram.memories set state_reason = $3
     where bank_id = $1 and id = any($2::uuid[]) and state_reason is not null`,
    [bankId, erased.explainedIds, erasedText],
  );
  // One pass over the bank's conflicts, which are few.
  await tx.query(
    `update engram.conflicts set reason = $3
     where bank_id = $1 and (left_id = any($2::uuid[]) or right_id = any($2::uuid[])) and reason <> ''`,
    [bankId, erased.observationIds, erasedText],
  );
  // Index events_words. What was named in it were its words, and what was said of it may have repeated them.
  await tx.query(
    `update engram.events set detail = detail - 'entities' - 'reason'
     where bank_id = $1 and memory_id = $2 and detail ?| array['entities', 'reason']`,
    [bankId, erased.memoryId],
  );
  // Index attempts_memories (gin).
  await tx.query(
    `update engram.attempts set shown = null, request_hash = null
     where bank_id = $1 and memory_ids @> array[$2::uuid] and (shown is not null or request_hash is not null)`,
    [bankId, erased.memoryId],
  );
  // Index model_answers_subjects (gin).
  await tx.query('delete from engram.model_answers where bank_id = $1 and subject_ids && $2::uuid[]', [bankId, ids]);
  await eraseVerdicts(tx, bankId, ids);
  // Primary key (bank_id, target, row_id).
  await tx.query(
    `delete from engram.next_embeddings where bank_id = $1
       and (target = 'memories' and row_id = $2 or target = 'observations' and row_id = any($3::uuid[]))`,
    [bankId, erased.memoryId, erased.observationIds],
  );
}
