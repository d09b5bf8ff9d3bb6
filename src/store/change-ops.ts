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
  readonly memoryId: string;
  readonly memoryVersion: number;
}

/** What an op found: the target, and whatever else it re-pointed. */
export interface BeforeImage {
  readonly target: ObservationImage | null;
  /** Observations whose `canonicalId` or `supersededBy` the op moved. */
  readonly repointed: readonly ObservationImage[];
  /** Links that the op removed or whose memory version it moved. */
  readonly links: readonly LinkImage[];
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
}

export type ChangeOpKind = 'create' | 'revise' | 'reinforce' | 'supersede' | 'fold' | 'conflict' | 'retire' | 'skip';

export interface ChangeOpRow {
  readonly op: ChangeOpKind;
  readonly status: 'applied' | 'rejected' | 'proposed';
  readonly targetId: string | null;
  readonly baseVersion: number | null;
  readonly resultId: string | null;
  readonly memoryIds: readonly string[];
  readonly sourceIds: readonly string[];
  readonly before: BeforeImage | null;
  readonly after: AfterImage | null;
  /** `array_send` bytes of the vector that the old text had, where the op replaced it, with its model. */
  readonly beforeEmbedding: Buffer | null;
  readonly beforeEmbeddingModel: string | null;
  /** Whether the op wrote a vector: it is then kept as it stands in the row by now. */
  readonly wroteVector: boolean;
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
}

/** Writes a change set with its ops, numbered from 1 in the order given. */
export async function insertChangeSet(tx: Queryable, set: ChangeSetRow, ops: readonly ChangeOpRow[]): Promise<void> {
  await tx.query(
    `insert into engram.change_sets (bank_id, id, run_id, decider, status, reason) values ($1, $2, $3, $4, $5, $6)`,
    [set.bankId, set.id, set.runId, set.decider, set.status, set.reason],
  );
  if (ops.length === 0) return;
  // Bytes travel as hex inside the one JSON parameter: a parameter a column would be fifteen arrays, two of them ragged.
  // The new vector is read back from its row (primary key): it is there already, in this transaction.
  await tx.query(
    `insert into engram.change_ops (bank_id, change_set_id, seq, op, status, target_id, base_version, result_id,
       memory_ids, source_ids, before, after, before_embedding, before_embedding_model, after_embedding,
       after_embedding_model, reason, verdicts)
     select $1, $2, r.seq, r.op, r.status, r."targetId", r."baseVersion", r."resultId",
       r."memoryIds", r."sourceIds", r.before, r.after,
       decode(r."beforeEmbedding", 'hex'), r."beforeEmbeddingModel",
       array_send(o.embedding), o.embedding_model, r.reason, r.verdicts
     from jsonb_to_recordset($3::jsonb) as r(seq int, op text, status text, "targetId" uuid, "baseVersion" bigint,
       "resultId" uuid, "memoryIds" uuid[], "sourceIds" uuid[], before jsonb, after jsonb, "beforeEmbedding" text,
       "beforeEmbeddingModel" text, "wroteVector" boolean, reason text, verdicts jsonb)
     left join engram.observations o
       on r."wroteVector" and o.bank_id = $1 and o.id = coalesce(r."resultId", r."targetId")`,
    [
      set.bankId,
      set.id,
      JSON.stringify(
        ops.map((op, index) => ({
          ...op,
          seq: index + 1,
          beforeEmbedding: op.beforeEmbedding?.toString('hex') ?? null,
        })),
      ),
    ],
  );
}
