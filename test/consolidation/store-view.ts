import type { AfterImage, BeforeImage } from '../../src/store/change-ops.ts';
import type { Workbench } from './workbench.ts';

/** What a test sees of the store: rows of the workbench's bank, as they stand. */

export interface ObservationView {
  readonly id: string;
  readonly text: string;
  readonly version: number;
  readonly tags: readonly string[];
  readonly isLive: boolean;
  readonly validFrom: string | null;
  readonly validTo: string | null;
  readonly supersededBy: string | null;
  readonly canonicalId: string | null;
  readonly isRetired: boolean;
  readonly needsReplan: boolean;
  readonly scopeEpoch: number;
  /** A digest of the bytes, here and below: the bytes themselves would fill a screen. */
  readonly vector: string;
  /** Memory ids with the version linked, e.g. `{ id, version: 1 }`, by id. */
  readonly sources: readonly { readonly id: string; readonly version: number }[];
}

/** Every observation of the bank, oldest first. */
export function observations(bench: Workbench): Promise<ObservationView[]> {
  return bench.rows<ObservationView>(
    `select o.id, o.text, o.version, o.tags, o.is_live as "isLive", o.scope_epoch as "scopeEpoch",
       to_char(o.valid_from at time zone 'UTC', 'YYYY-MM-DD') as "validFrom",
       to_char(o.valid_to at time zone 'UTC', 'YYYY-MM-DD') as "validTo",
       o.superseded_by as "supersededBy", o.canonical_id as "canonicalId", o.retired_at is not null as "isRetired",
       o.needs_replan_at is not null as "needsReplan", md5(array_send(o.embedding)) as vector,
       coalesce((select jsonb_agg(jsonb_build_object('id', s.memory_id, 'version', s.memory_version) order by s.memory_id)
         from engram.observation_sources s where s.bank_id = o.bank_id and s.observation_id = o.id), '[]') as sources
     from engram.observations o where o.bank_id = $1 order by o.id`,
    [bench.bankId],
  );
}

/** The texts of the live ones, sorted. */
export async function liveTexts(bench: Workbench): Promise<string[]> {
  return (await observations(bench))
    .filter((row) => row.isLive)
    .map((row) => row.text)
    .sort();
}

/** The only observation of this text. */
export async function observation(bench: Workbench, text: string): Promise<ObservationView> {
  const all = await observations(bench);
  const found = all.filter((row) => row.text === text);
  const [row] = found;
  if (!row || found.length > 1) {
    throw new Error(
      `${found.length} observations say "${text}"; there are ${JSON.stringify(all.map((one) => one.text))}`,
    );
  }
  return row;
}

export interface MemoryView {
  readonly id: string;
  readonly text: string;
  readonly version: number;
  readonly state: string;
  readonly stateReason: string | null;
  readonly attempts: number;
  /** Whether a run that starts now would take it. */
  readonly isDue: boolean;
}

/** Every memory of the bank, oldest first. */
export function memories(bench: Workbench): Promise<MemoryView[]> {
  return bench.rows<MemoryView>(
    `select id, text, version, state, state_reason as "stateReason", attempts,
       state = 'pending' and invalidated_at is null and next_attempt_at <= now() as "isDue"
     from engram.memories where bank_id = $1 order by created_at, id`,
    [bench.bankId],
  );
}

/** `{ text: state }` of all memories. */
export async function states(bench: Workbench): Promise<Record<string, string>> {
  return Object.fromEntries((await memories(bench)).map((row) => [row.text, row.state]));
}

export interface ChangeView {
  readonly op: string;
  readonly status: string;
  readonly setStatus: string;
  readonly targetId: string | null;
  readonly baseVersion: number | null;
  readonly resultId: string | null;
  readonly memoryIds: readonly string[];
  readonly before: BeforeImage | null;
  readonly after: AfterImage | null;
  readonly beforeVector: string | null;
  readonly beforeModel: string | null;
  readonly afterVector: string | null;
  readonly afterModel: string | null;
  readonly reason: string;
  readonly verdicts: readonly { readonly validator: string }[];
}

/** The history of the bank, op by op, oldest first. */
export function changes(bench: Workbench): Promise<ChangeView[]> {
  return bench.rows<ChangeView>(
    `select o.op, o.status, s.status as "setStatus", o.target_id as "targetId", o.base_version as "baseVersion",
       o.result_id as "resultId", o.memory_ids as "memoryIds", o.before, o.after,
       md5(o.before_embedding) as "beforeVector", o.before_embedding_model as "beforeModel",
       md5(o.after_embedding) as "afterVector", o.after_embedding_model as "afterModel", o.reason, o.verdicts
     from engram.change_sets s join engram.change_ops o on o.bank_id = s.bank_id and o.change_set_id = s.id
     where s.bank_id = $1 order by s.created_at, s.id, o.seq`,
    [bench.bankId],
  );
}

/** The newest change of the bank. */
export async function lastChange(bench: Workbench): Promise<ChangeView> {
  const change = (await changes(bench)).at(-1);
  if (!change) throw new Error('nothing was changed');
  return change;
}

/** Kinds of the bank's events, oldest first. */
export async function eventKinds(bench: Workbench): Promise<string[]> {
  const rows = await bench.rows<{ kind: string }>('select kind from engram.events where bank_id = $1 order by id', [
    bench.bankId,
  ]);
  return rows.map((row) => row.kind);
}

/** Outcomes of the bank's attempts, oldest first; null where one has no end. */
export async function attemptOutcomes(bench: Workbench): Promise<(string | null)[]> {
  const rows = await bench.rows<{ outcome: string | null }>(
    'select outcome from engram.attempts where bank_id = $1 order by started_at, id',
    [bench.bankId],
  );
  return rows.map((row) => row.outcome);
}

/** Makes every postponed memory of the bank due, as if its pause were over. */
export async function passTheTime(bench: Workbench): Promise<void> {
  await bench.rows(`update engram.memories set next_attempt_at = now() where bank_id = $1 and state = 'pending'`, [
    bench.bankId,
  ]);
}
