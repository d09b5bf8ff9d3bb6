import type { Queryable } from '../db/database.ts';

/** The row of an observation as a change found or left it. Times are ISO 8601, as JSON keeps them. */
export interface ObservationImage {
  readonly id: string;
  readonly text: string;
  readonly version: number;
  readonly validFrom: string | null;
  readonly validTo: string | null;
  readonly occurredStart: string | null;
  readonly occurredEnd: string | null;
  readonly supersededBy: string | null;
  readonly canonicalId: string | null;
  readonly retiredAt: string | null;
  readonly needsReplanAt: string | null;
}

export interface LinkImage {
  readonly observationId: string;
  readonly memoryId: string;
  readonly memoryVersion: number;
}

/** The row of a conflict. `createdAt` is null until the database has given it one. */
export interface ConflictImage {
  readonly id: string;
  readonly left: string;
  readonly right: string;
  readonly status: 'open' | 'resolved';
  readonly reason: string;
  readonly resolution: ConflictResolution | null;
  readonly createdAt: string | null;
  readonly resolvedAt: string | null;
  readonly changeSetId: string | null;
}

export type ConflictResolution = 'left' | 'right' | 'both';

/** A memory that an undo moved, or moved back. */
export interface MemoryImage {
  readonly id: string;
  readonly version: number;
  readonly state: 'consolidated' | 'held';
  readonly reason: string | null;
}

/** What an op found: the target, and whatever else it changed. */
export interface BeforeImage {
  readonly target: ObservationImage | null;
  /** Further observations whose row the op changed. */
  readonly repointed: readonly ObservationImage[];
  /** Links that the op removed or whose memory version it moved; of an undo that marked a row, all that it rested on. */
  readonly links: readonly LinkImage[];
  /** Conflicts that the op changed or took away. */
  readonly conflicts?: readonly ConflictImage[];
  /** Of an undo: the memories that it moved, as it found them. */
  readonly memories?: readonly MemoryImage[];
}

/**
 * What an op left. `created` is the observation that a create, supersede or conflict brought into being. Links are
 * those written, not all there are: an observation with a thousand sources would store a million links otherwise.
 */
export interface AfterImage {
  readonly target: ObservationImage | null;
  readonly created: ObservationImage | null;
  readonly repointed: readonly ObservationImage[];
  readonly links: readonly LinkImage[];
  /** Set by a conflict. */
  readonly conflictId: string | null;
  /** Conflicts that the op made or changed. */
  readonly conflicts?: readonly ConflictImage[];
  readonly memories?: readonly MemoryImage[];
  /** Of an undo: the op that it took back. */
  readonly undid?: { readonly changeSetId: string; readonly seq: number };
}

export type ChangeOpKind = 'create' | 'revise' | 'reinforce' | 'supersede' | 'fold' | 'conflict' | 'retire' | 'skip';
export type ChangeOpStatus = 'proposed' | 'applied' | 'rejected' | 'conflicted' | 'undone';
export type ChangeSetStatus = ChangeOpStatus;
export type ChangeSetKind = 'consolidation' | 'undo' | 'curation' | 'contradictions' | 'sweep';

export interface ChangeOpRow {
  readonly op: ChangeOpKind;
  readonly status: 'applied' | 'rejected' | 'proposed';
  /** From 1; ops of one group stand or fall together (law L2). */
  readonly groupNo: number;
  readonly targetId: string | null;
  readonly baseVersion: number | null;
  readonly resultId: string | null;
  /** Every observation whose row or links the op changed or leaned on. */
  readonly observationIds: readonly string[];
  readonly memoryIds: readonly string[];
  /** Of `memoryIds`, in their order. */
  readonly memoryVersions: readonly number[];
  /** Those of `memoryIds` that the op only cites; the others it takes out of `pending`. */
  readonly sourceIds: readonly string[];
  readonly before: BeforeImage | null;
  readonly after: AfterImage | null;
  /** `array_send` bytes of the vector that the old text had, where the op replaced it, with its model. */
  readonly beforeEmbedding: Buffer | null;
  readonly beforeEmbeddingModel: string | null;
  /** The vector that the op wrote: as it stands in its row by now, or, where no row has it, its bytes. */
  readonly afterVector: 'in-row' | { readonly bytes: Buffer; readonly model: string } | null;
  /** Of a proposal: all that is needed to apply it later. */
  readonly plan: unknown;
  readonly reason: string;
  /** Validators that spoke against it: `[{ validator, reason }]`. For a rejected op also the text it wanted. */
  readonly verdicts: readonly { readonly validator: string; readonly reason: string }[];
}

export interface ChangeSetRow {
  readonly bankId: string;
  readonly id: string;
  readonly runId: string;
  readonly decider: string;
  readonly status: 'proposed' | 'applied' | 'rejected';
  readonly reason: string | null;
  /** Default `consolidation`. */
  readonly kind?: ChangeSetKind;
  /** The set that this one took back. */
  readonly undoes?: string | null;
  /** Memories and observations that whoever decided had read: the reasons may quote them. Default: those that ops name. */
  readonly shownIds?: readonly string[];
}

/** An op that touches no observation yet; the others are this one with more in it. */
export const emptyOp: ChangeOpRow = {
  op: 'skip',
  status: 'rejected',
  groupNo: 1,
  targetId: null,
  baseVersion: null,
  resultId: null,
  observationIds: [],
  memoryIds: [],
  memoryVersions: [],
  sourceIds: [],
  before: null,
  after: null,
  beforeEmbedding: null,
  beforeEmbeddingModel: null,
  afterVector: null,
  plan: null,
  reason: '',
  verdicts: [],
};

/** Writes a change set with its ops, numbered from 1 in the order given. */
export async function insertChangeSet(tx: Queryable, set: ChangeSetRow, ops: readonly ChangeOpRow[]): Promise<void> {
  await tx.query(
    `insert into engram.change_sets (bank_id, id, run_id, decider, status, reason, kind, undoes, decided_at, shown_ids)
     values ($1, $2, $3, $4, $5, $6, $7, $8, case when $7 <> 'consolidation' and $5 <> 'proposed' then now() end, $9)`,
    [
      set.bankId,
      set.id,
      set.runId,
      set.decider,
      set.status,
      set.reason,
      set.kind ?? 'consolidation',
      set.undoes ?? null,
      set.shownIds ?? [],
    ],
  );
  if (ops.length === 0) return;
  // Bytes travel as hex inside the one JSON parameter: a parameter a column would be twenty arrays, three of them ragged.
  // A new vector is read back from its row (primary key) where it is there already, in this transaction.
  // Ordered, so that applied_no follows seq.
  await tx.query(
    `insert into engram.change_ops (bank_id, change_set_id, seq, op, status, group_no, target_id, base_version, result_id,
       observation_ids, memory_ids, memory_versions, source_ids, before, after, before_embedding, before_embedding_model,
       after_embedding, after_embedding_model, plan, reason, verdicts)
     select $1, $2, r.seq, r.op, r.status, r."groupNo", r."targetId", r."baseVersion", r."resultId",
       r."observationIds", r."memoryIds", r."memoryVersions", r."sourceIds", r.before, r.after,
       decode(r."beforeEmbedding", 'hex'), r."beforeEmbeddingModel",
       coalesce(decode(r."afterBytes", 'hex'), array_send(o.embedding)), coalesce(r."afterModel", o.embedding_model),
       r.plan, r.reason, r.verdicts
     from jsonb_to_recordset($3::jsonb) as r(seq int, op text, status text, "groupNo" int, "targetId" uuid,
       "baseVersion" bigint, "resultId" uuid, "observationIds" uuid[], "memoryIds" uuid[], "memoryVersions" bigint[],
       "sourceIds" uuid[], before jsonb, after jsonb, "beforeEmbedding" text, "beforeEmbeddingModel" text,
       "afterBytes" text, "afterModel" text, "inRow" boolean, plan jsonb, reason text, verdicts jsonb)
     left join engram.observations o
       on r."inRow" and o.bank_id = $1 and o.id = coalesce(r."resultId", r."targetId")
     order by r.seq`,
    [set.bankId, set.id, JSON.stringify(ops.map((op, index) => ({ ...toJson(op), seq: index + 1 })))],
  );
}

/** Proposals that have been applied: what they found and left takes the place of what they meant to. */
export async function writeAppliedProposals(
  tx: Queryable,
  bankId: string,
  changeSetId: string,
  ops: readonly { readonly seq: number; readonly row: ChangeOpRow }[],
): Promise<void> {
  if (ops.length === 0) return;
  // Primary key (bank_id, change_set_id, seq). One row at a time, so that applied_no follows the order of the ops.
  for (const { seq, row } of ops) {
    await tx.query(
      `update engram.change_ops c set status = 'applied', plan = null, applied_no = default,
         applied_at = default,
         base_version = r."baseVersion", observation_ids = r."observationIds", before = r.before, after = r.after,
         before_embedding = decode(r."beforeEmbedding", 'hex'), before_embedding_model = r."beforeEmbeddingModel",
         after_embedding = coalesce(decode(r."afterBytes", 'hex'), (select array_send(o.embedding) from engram.observations o
           where r."inRow" and o.bank_id = $1 and o.id = coalesce(r."resultId", r."targetId"))),
         after_embedding_model = coalesce(r."afterModel", (select o.embedding_model from engram.observations o
           where r."inRow" and o.bank_id = $1 and o.id = coalesce(r."resultId", r."targetId")))
       from jsonb_to_record($4::jsonb) as r("targetId" uuid, "baseVersion" bigint, "resultId" uuid,
         "observationIds" uuid[], before jsonb, after jsonb, "beforeEmbedding" text, "beforeEmbeddingModel" text,
         "afterBytes" text, "afterModel" text, "inRow" boolean)
       where c.bank_id = $1 and c.change_set_id = $2 and c.seq = $3`,
      [bankId, changeSetId, seq, JSON.stringify(toJson(row))],
    );
  }
}

function toJson(op: ChangeOpRow) {
  const { afterVector, ...row } = op;
  const bytes = afterVector === null || afterVector === 'in-row' ? null : afterVector;
  return {
    ...row,
    beforeEmbedding: op.beforeEmbedding?.toString('hex') ?? null,
    afterBytes: bytes?.bytes.toString('hex') ?? null,
    afterModel: bytes?.model ?? null,
    inRow: afterVector === 'in-row',
  };
}
