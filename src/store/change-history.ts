import type { Queryable } from '../db/database.ts';
import type {
  AfterImage,
  BeforeImage,
  ChangeOpKind,
  ChangeOpStatus,
  ChangeSetKind,
  ChangeSetStatus,
  ConflictResolution,
} from './change-ops.ts';
import type { PageEnd } from './memory-rows.ts';

export interface ChangeSetSummary {
  readonly id: string;
  readonly runId: string;
  readonly decider: string;
  readonly kind: ChangeSetKind;
  readonly status: ChangeSetStatus;
  /** The set that this one took back. */
  readonly undoes: string | null;
  readonly reason: string | null;
  readonly createdAt: Date;
  /** Ops by kind, those refused left out. */
  readonly ops: Readonly<Partial<Record<ChangeOpKind, number>>>;
  readonly rejected: number;
}

interface SetRow {
  id: string;
  run_id: string;
  decider: string;
  kind: ChangeSetKind;
  status: ChangeSetStatus;
  undoes: string | null;
  reason: string | null;
  created_at: Date;
  at: string;
  ops: Partial<Record<ChangeOpKind, number>>;
  rejected: number;
}

const toSummary = (row: SetRow): ChangeSetSummary => ({
  id: row.id,
  runId: row.run_id,
  decider: row.decider,
  kind: row.kind,
  status: row.status,
  undoes: row.undoes,
  reason: row.reason,
  createdAt: row.created_at,
  ops: row.ops,
  rejected: row.rejected,
});

/** Change sets of a bank, newest first. */
export async function listChangeSets(
  db: Queryable,
  bankId: string,
  options: {
    readonly status: ChangeSetStatus | null;
    readonly runId: string | null;
    readonly after: PageEnd | undefined;
    readonly limit: number;
  },
): Promise<{ sets: ChangeSetSummary[]; end: PageEnd | undefined }> {
  // Index change_sets_created (bank_id, created_at, id); the ops of a set by primary key.
  const { rows } = await db.query<SetRow>(
    `select s.id, s.run_id, s.decider, s.kind, s.status, s.undoes, s.reason, s.created_at,
       to_char(s.created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as at,
       coalesce(counted.ops, '{}') as ops, coalesce(counted.rejected, 0) as rejected
     from engram.change_sets s
     cross join lateral (
       select jsonb_object_agg(op, n) filter (where op is not null) as ops, sum(refused)::int as rejected from (
         select case when verdicts = '[]' or status <> 'rejected' then op end as op, count(*) as n,
           count(*) filter (where status = 'rejected' and verdicts <> '[]') as refused
         from engram.change_ops where bank_id = s.bank_id and change_set_id = s.id group by 1) as by_kind) as counted
     where s.bank_id = $1 and ($2::text is null or s.status = $2) and ($3::uuid is null or s.run_id = $3)
       and ($4::timestamptz is null or (s.created_at, s.id) < ($4, $5::uuid))
     order by s.created_at desc, s.id desc limit $6`,
    [bankId, options.status, options.runId, options.after?.at ?? null, options.after?.id ?? null, options.limit + 1],
  );
  const page = rows.slice(0, options.limit);
  const last = page.at(-1);
  return {
    sets: page.map(toSummary),
    end: rows.length > options.limit && last ? { at: last.at, id: last.id } : undefined,
  };
}

export async function findChangeSet(db: Queryable, bankId: string, id: string): Promise<ChangeSetSummary | undefined> {
  // Primary key.
  const { rows } = await db.query<SetRow>(
    `select s.id, s.run_id, s.decider, s.kind, s.status, s.undoes, s.reason, s.created_at, '' as at,
       coalesce(counted.ops, '{}') as ops, coalesce(counted.rejected, 0) as rejected
     from engram.change_sets s
     cross join lateral (
       select jsonb_object_agg(op, n) filter (where op is not null) as ops, sum(refused)::int as rejected from (
         select case when verdicts = '[]' or status <> 'rejected' then op end as op, count(*) as n,
           count(*) filter (where status = 'rejected' and verdicts <> '[]') as refused
         from engram.change_ops where bank_id = s.bank_id and change_set_id = s.id group by 1) as by_kind) as counted
     where s.bank_id = $1 and s.id = $2`,
    [bankId, id],
  );
  return rows[0] && toSummary(rows[0]);
}

/** One step of a change set, as it was recorded. */
export interface RecordedOp {
  readonly changeSetId: string;
  readonly seq: number;
  /** Ops of one group stand or fall together (law L2). */
  readonly groupNo: number;
  readonly op: ChangeOpKind;
  readonly status: ChangeOpStatus;
  readonly at: Date;
  readonly decider: string;
  readonly targetId: string | null;
  readonly resultId: string | null;
  readonly baseVersion: number | null;
  readonly memoryIds: readonly string[];
  readonly sourceIds: readonly string[];
  readonly before: BeforeImage | null;
  readonly after: AfterImage | null;
  readonly reason: string;
  readonly verdicts: readonly { readonly validator: string; readonly reason: string }[];
}

interface OpRow {
  change_set_id: string;
  seq: number;
  group_no: number;
  op: ChangeOpKind;
  status: ChangeOpStatus;
  created_at: Date;
  decider: string;
  target_id: string | null;
  result_id: string | null;
  base_version: number | null;
  memory_ids: string[];
  source_ids: string[];
  before: BeforeImage | null;
  after: AfterImage | null;
  reason: string;
  verdicts: { validator: string; reason: string }[];
}

const toOp = (row: OpRow): RecordedOp => ({
  changeSetId: row.change_set_id,
  seq: row.seq,
  groupNo: row.group_no,
  op: row.op,
  status: row.status,
  at: row.created_at,
  decider: row.decider,
  targetId: row.target_id,
  resultId: row.result_id,
  baseVersion: row.base_version,
  memoryIds: row.memory_ids,
  sourceIds: row.source_ids,
  before: row.before,
  after: row.after,
  reason: row.reason,
  verdicts: row.verdicts,
});

/** The ops of a change set in order. */
export async function opsOfChangeSet(db: Queryable, bankId: string, changeSetId: string): Promise<RecordedOp[]> {
  // Primary key.
  const { rows } = await db.query<OpRow>(
    `select o.change_set_id, o.seq, o.group_no, o.op, o.status, s.created_at, s.decider, o.target_id,
       o.result_id, o.base_version, o.memory_ids, o.source_ids, o.before, o.after, o.reason, o.verdicts
     from engram.change_ops o join engram.change_sets s on s.bank_id = o.bank_id and s.id = o.change_set_id
     where o.bank_id = $1 and o.change_set_id = $2 order by o.seq`,
    [bankId, changeSetId],
  );
  return rows.map(toOp);
}

/** Every op that touched a memory or an observation, oldest first; the newest 500 of them. */
export async function opsTouching(db: Queryable, bankId: string, id: string): Promise<RecordedOp[]> {
  // Indexes change_ops_memories and change_ops_observations (gin).
  const { rows } = await db.query<OpRow>(
    `select o.change_set_id, o.seq, o.group_no, o.op, o.status, s.created_at, s.decider, o.target_id,
       o.result_id, o.base_version, o.memory_ids, o.source_ids, o.before, o.after, o.reason, o.verdicts
     from engram.change_ops o join engram.change_sets s on s.bank_id = o.bank_id and s.id = o.change_set_id
     where o.bank_id = $1 and (o.observation_ids @> array[$2::uuid] or o.memory_ids @> array[$2::uuid])
     order by s.created_at desc, s.id desc, o.seq desc limit 500`,
    [bankId, id],
  );
  return rows.map(toOp).reverse();
}

export interface Excerpt {
  readonly id: string;
  readonly text: string;
  readonly mentionedAt: Date | null;
}

/** Texts of memories that ops name, those that are still there. */
export async function excerptsOf(db: Queryable, bankId: string, memoryIds: readonly string[]): Promise<Excerpt[]> {
  if (memoryIds.length === 0) return [];
  // Primary key.
  const { rows } = await db.query<{ id: string; text: string; mentioned_at: Date | null }>(
    'select id, text, mentioned_at from engram.memories where bank_id = $1 and id = any($2::uuid[])',
    [bankId, memoryIds],
  );
  return rows.map((row) => ({ id: row.id, text: row.text, mentionedAt: row.mentioned_at }));
}

export interface RunSummary {
  readonly id: string;
  readonly trigger: string;
  readonly startedAt: Date;
  readonly finishedAt: Date | null;
  readonly outcome: string | null;
  readonly counts: Readonly<Record<string, unknown>>;
}

/** Consolidation runs of a bank, newest first. */
export async function listRuns(
  db: Queryable,
  bankId: string,
  options: { readonly after: PageEnd | undefined; readonly limit: number },
): Promise<{ runs: RunSummary[]; end: PageEnd | undefined }> {
  // Index runs_started (bank_id, started_at).
  const { rows } = await db.query<{
    id: string;
    trigger: string;
    started_at: Date;
    finished_at: Date | null;
    outcome: string | null;
    counts: Record<string, unknown>;
    at: string;
  }>(
    `select id, trigger, started_at, finished_at, outcome, counts,
       to_char(started_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as at
     from engram.runs
     where bank_id = $1 and ($2::timestamptz is null or (started_at, id) < ($2, $3::uuid))
     order by started_at desc, id desc limit $4`,
    [bankId, options.after?.at ?? null, options.after?.id ?? null, options.limit + 1],
  );
  const page = rows.slice(0, options.limit);
  const last = page.at(-1);
  return {
    runs: page.map((row) => ({
      id: row.id,
      trigger: row.trigger,
      startedAt: row.started_at,
      finishedAt: row.finished_at,
      outcome: row.outcome,
      counts: row.counts,
    })),
    end: rows.length > options.limit && last ? { at: last.at, id: last.id } : undefined,
  };
}

export interface ConflictSide {
  readonly id: string;
  readonly text: string;
  readonly validFrom: string | null;
}

export interface ConflictRow {
  readonly id: string;
  readonly status: 'open' | 'resolved';
  readonly reason: string;
  readonly createdAt: Date;
  readonly resolvedAt: Date | null;
  /** Which side was kept, and the change set that undoes it. */
  readonly resolution: ConflictResolution | null;
  readonly changeSetId: string | null;
  readonly left: ConflictSide;
  readonly right: ConflictSide;
}

/** Pairs of observations that cannot both hold, newest first; `observationId` narrows to those of one. */
export async function listConflicts(
  db: Queryable,
  bankId: string,
  options: {
    readonly status: 'open' | 'resolved' | null;
    readonly observationId: string | null;
    readonly limit: number;
  },
): Promise<ConflictRow[]> {
  // One pass over the bank's conflicts, which are few.
  const { rows } = await db.query<{
    id: string;
    status: 'open' | 'resolved';
    reason: string;
    created_at: Date;
    resolved_at: Date | null;
    resolution: ConflictResolution | null;
    change_set_id: string | null;
    left: ConflictSide;
    right: ConflictSide;
  }>(
    `select c.id, c.status, c.reason, c.created_at, c.resolved_at, c.resolution, c.change_set_id,
       jsonb_build_object('id', l.id, 'text', l.text, 'validFrom', l.valid_from) as left,
       jsonb_build_object('id', r.id, 'text', r.text, 'validFrom', r.valid_from) as right
     from engram.conflicts c
     join engram.observations l on l.bank_id = c.bank_id and l.id = c.left_id
     join engram.observations r on r.bank_id = c.bank_id and r.id = c.right_id
     where c.bank_id = $1 and ($2::text is null or c.status = $2)
       and ($3::uuid is null or c.left_id = $3 or c.right_id = $3)
     order by c.created_at desc, c.id desc limit $4`,
    [bankId, options.status, options.observationId, options.limit],
  );
  return rows.map((row) => ({
    id: row.id,
    status: row.status,
    reason: row.reason,
    createdAt: row.created_at,
    resolvedAt: row.resolved_at,
    resolution: row.resolution,
    changeSetId: row.change_set_id,
    left: row.left,
    right: row.right,
  }));
}

/** Observations that point at one: folded into it, or superseded by it. */
export async function pointersTo(
  db: Queryable,
  bankId: string,
  observationId: string,
): Promise<{ folded: string[]; superseded: string[] }> {
  // Indexes observations_canonical and observations_superseded.
  const { rows } = await db.query<{ id: string; is_folded: boolean }>(
    `select id, canonical_id is not distinct from $2 as is_folded from engram.observations
     where bank_id = $1 and (canonical_id = $2 or superseded_by = $2) order by id`,
    [bankId, observationId],
  );
  const ids = (isFolded: boolean) => rows.filter((row) => row.is_folded === isFolded).map((row) => row.id);
  return { folded: ids(true), superseded: ids(false) };
}
