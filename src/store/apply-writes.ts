import type { Queryable } from '../db/database.ts';

/**
 * Batch members leave `pending`, or `proposed` once approved: the caller holds their locks and has seen state and version.
 * `decidedBy` names what decided them, so that it is not decided again alike.
 */
export async function settleMemories(
  tx: Queryable,
  bankId: string,
  memories: readonly {
    readonly id: string;
    readonly state: 'consolidated' | 'proposed';
    readonly reason: string | null;
  }[],
  decidedBy: string,
): Promise<void> {
  if (memories.length === 0) return;
  // Primary key.
  await tx.query(
    `update engram.memories m set state = s.state, state_reason = s.reason, attempts = 0, decided_by = $5
     from unnest($2::uuid[], $3::text[], $4::text[]) as s(id, state, reason)
     where m.bank_id = $1 and m.id = s.id`,
    [bankId, memories.map((m) => m.id), memories.map((m) => m.state), memories.map((m) => m.reason), decidedBy],
  );
}

/** An open conflict of a pair is one row, however often it is found. */
export async function insertConflicts(
  tx: Queryable,
  bankId: string,
  conflicts: readonly { readonly id: string; readonly left: string; readonly right: string; readonly reason: string }[],
): Promise<void> {
  if (conflicts.length === 0) return;
  // Unique index conflicts_pair; the lower id stands left.
  await tx.query(
    `insert into engram.conflicts (bank_id, id, left_id, right_id, reason)
     select $1, c.id, least(c.a, c.b), greatest(c.a, c.b), c.reason
     from unnest($2::uuid[], $3::uuid[], $4::uuid[], $5::text[]) as c(id, a, b, reason)
     on conflict (bank_id, left_id, right_id) where status = 'open' do nothing`,
    [
      bankId,
      conflicts.map((c) => c.id),
      conflicts.map((c) => c.left),
      conflicts.map((c) => c.right),
      conflicts.map((c) => c.reason),
    ],
  );
}

export interface TimelineEvent {
  readonly kind: string;
  readonly memoryId: string | null;
  readonly observationId: string | null;
  readonly changeSetId: string | null;
  readonly detail: Readonly<Record<string, unknown>>;
}

/** Appends to the timeline, in the transaction of the change that it tells of. */
export async function insertEvents(tx: Queryable, bankId: string, events: readonly TimelineEvent[]): Promise<void> {
  if (events.length === 0) return;
  await tx.query(
    `insert into engram.events (bank_id, kind, memory_id, observation_id, change_set_id, detail)
     select $1, r.kind, r."memoryId", r."observationId", r."changeSetId", r.detail
     from jsonb_to_recordset($2::jsonb) as r(kind text, "memoryId" uuid, "observationId" uuid, "changeSetId" uuid, detail jsonb)`,
    [bankId, JSON.stringify(events)],
  );
}
