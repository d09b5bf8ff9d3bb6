import type { Queryable } from '../db/database.ts';
import type {
  AfterImage,
  BeforeImage,
  ChangeOpKind,
  ChangeOpStatus,
  ChangeSetKind,
  ChangeSetStatus,
} from './change-ops.ts';

/** Change sets and ops as a person's decision needs them: with plans, vectors and versions. */
export interface ReviewedSet {
  readonly id: string;
  readonly runId: string;
  readonly decider: string;
  readonly kind: ChangeSetKind;
  readonly status: ChangeSetStatus;
  readonly undoes: string | null;
}

/** The change set of this id, or all of the run of this id, in the order in which they were made. */
export async function setsNamed(db: Queryable, bankId: string, id: string): Promise<ReviewedSet[]> {
  // Primary key; change_sets_run.
  const { rows } = await db.query<ReviewedSet>(
    `select id, run_id as "runId", decider, kind, status, undoes from engram.change_sets
     where bank_id = $1 and (id = $2 or run_id = $2) order by created_at, id`,
    [bankId, id],
  );
  return rows;
}

/** Keeps the statuses of the sets, and of their ops, from changing. To be called after the locks of rows (law L4). */
export async function lockSets(tx: Queryable, bankId: string, setIds: readonly string[]): Promise<void> {
  // Primary key.
  await tx.query(
    'select 1 from engram.change_sets where bank_id = $1 and id = any($2::uuid[]) order by id for no key update',
    [bankId, setIds],
  );
}

export interface ReviewedOp {
  readonly changeSetId: string;
  readonly setKind: ChangeSetKind;
  readonly seq: number;
  readonly op: ChangeOpKind;
  readonly status: ChangeOpStatus;
  readonly groupNo: number;
  readonly appliedNo: number;
  readonly targetId: string | null;
  readonly resultId: string | null;
  readonly observationIds: readonly string[];
  readonly memoryIds: readonly string[];
  readonly memoryVersions: readonly number[];
  readonly sourceIds: readonly string[];
  readonly before: BeforeImage | null;
  readonly after: AfterImage | null;
  readonly beforeEmbedding: Buffer | null;
  readonly beforeEmbeddingModel: string | null;
  readonly afterEmbedding: Buffer | null;
  readonly afterEmbeddingModel: string | null;
  readonly plan: unknown;
  readonly reason: string;
  readonly at: Date;
  readonly isErased: boolean;
}

/** Every op of the sets, in order. */
export async function opsOfSets(db: Queryable, bankId: string, setIds: readonly string[]): Promise<ReviewedOp[]> {
  // Primary keys. Versions as JSON: an array of bigint would come as texts.
  const { rows } = await db.query<ReviewedOp>(
    `select o.change_set_id as "changeSetId", s.kind as "setKind", o.seq, o.op, o.status, o.group_no as "groupNo",
       o.applied_no as "appliedNo", o.target_id as "targetId", o.result_id as "resultId",
       o.observation_ids as "observationIds", o.memory_ids as "memoryIds", to_jsonb(o.memory_versions) as "memoryVersions",
       o.source_ids as "sourceIds", o.before, o.after, o.before_embedding as "beforeEmbedding",
       o.before_embedding_model as "beforeEmbeddingModel", o.after_embedding as "afterEmbedding",
       o.after_embedding_model as "afterEmbeddingModel", o.plan, o.reason, s.created_at as at,
       o.erased_at is not null as "isErased"
     from engram.change_ops o join engram.change_sets s on s.bank_id = o.bank_id and s.id = o.change_set_id
     where o.bank_id = $1 and o.change_set_id = any($2::uuid[]) order by s.created_at, s.id, o.seq`,
    [bankId, setIds],
  );
  return rows;
}

/** An op that stands, and which touches something that an undo is about to take back. */
export interface LaterOp {
  readonly changeSetId: string;
  readonly seq: number;
  readonly op: ChangeOpKind;
  readonly appliedNo: number;
  readonly at: Date;
  readonly observationIds: readonly string[];
  /** Memories that it took out of `pending`. */
  readonly settledIds: readonly string[];
  readonly text: string | null;
}

/**
 * Ops in force that took effect after `appliedNo` and touch one of the observations, or settled one of the memories,
 * without those of `except`. Those of undos are left out: they only bring back what was there.
 */
export async function opsSince(
  tx: Queryable,
  bankId: string,
  options: {
    readonly appliedNo: number;
    readonly observationIds: readonly string[];
    readonly memoryIds: readonly string[];
    readonly except: readonly { readonly changeSetId: string; readonly seq: number }[];
  },
): Promise<LaterOp[]> {
  // Indexes change_ops_observations and change_ops_memories (gin).
  const { rows } = await tx.query<LaterOp>(
    `select o.change_set_id as "changeSetId", o.seq, o.op, o.applied_no as "appliedNo", s.created_at as at,
       o.observation_ids as "observationIds",
       array(select m from unnest(o.memory_ids) as m where m <> all (o.source_ids)) as "settledIds",
       coalesce(o.after -> 'created' ->> 'text', o.after -> 'target' ->> 'text') as text
     from engram.change_ops o join engram.change_sets s on s.bank_id = o.bank_id and s.id = o.change_set_id
     where o.bank_id = $1 and o.status = 'applied' and s.kind <> 'undo' and o.applied_no > $2
       and (o.observation_ids && $3::uuid[] or o.memory_ids && $4::uuid[])
       and not exists (select from unnest($5::uuid[], $6::int[]) as e(set_id, seq)
         where e.set_id = o.change_set_id and e.seq = o.seq)
     order by o.applied_no`,
    [
      bankId,
      options.appliedNo,
      options.observationIds,
      options.memoryIds,
      options.except.map((op) => op.changeSetId),
      options.except.map((op) => op.seq),
    ],
  );
  return rows;
}

/** Says what became of ops, and of the sets that they belong to; what they needed to be applied goes. */
export async function setOpStatuses(
  tx: Queryable,
  bankId: string,
  ops: readonly { readonly changeSetId: string; readonly seq: number }[],
  status: Exclude<ChangeOpStatus, 'proposed'>,
): Promise<void> {
  if (ops.length === 0) return;
  // Primary key.
  await tx.query(
    `update engram.change_ops o set status = $4, plan = null
     from unnest($2::uuid[], $3::int[]) as w(set_id, seq)
     where o.bank_id = $1 and o.change_set_id = w.set_id and o.seq = w.seq`,
    [bankId, ops.map((op) => op.changeSetId), ops.map((op) => op.seq), status],
  );
}

/** Numbers ops anew, so that they have taken effect in this order: those of several sets may be mixed. */
export async function orderOps(
  tx: Queryable,
  bankId: string,
  ops: readonly { readonly changeSetId: string; readonly seq: number }[],
): Promise<void> {
  for (const op of ops) {
    // Primary key. One at a time: a statement over many promises no order.
    await tx.query(
      'update engram.change_ops set applied_no = default where bank_id = $1 and change_set_id = $2 and seq = $3',
      [bankId, op.changeSetId, op.seq],
    );
  }
}

/** A set is what its ops are: waiting while one waits, else in force while one is. The caller holds the sets' locks. */
export async function refreshSetStatuses(
  tx: Queryable,
  bankId: string,
  setIds: readonly string[],
): Promise<Map<string, ChangeSetStatus>> {
  // Primary keys.
  const { rows } = await tx.query<{ id: string; status: ChangeSetStatus }>(
    `update engram.change_sets s set status = d.status, decided_at = now()
     from (select change_set_id, case
         when bool_or(status = 'proposed') then 'proposed'
         when bool_or(status = 'applied') then 'applied'
         when bool_or(status = 'undone') then 'undone'
         when bool_or(status = 'conflicted') then 'conflicted'
         else 'rejected' end as status
       from engram.change_ops where bank_id = $1 and change_set_id = any($2::uuid[]) group by change_set_id) as d
     where s.bank_id = $1 and s.id = d.change_set_id returning s.id, s.status`,
    [bankId, setIds],
  );
  return new Map(rows.map((row) => [row.id, row.status]));
}
