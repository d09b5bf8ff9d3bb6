import type { Queryable } from '../db/database.ts';
import type { MemoryState } from './memories.ts';
import type { ObservationState } from './recall-rows.ts';

export interface StoreCounts {
  readonly banks: number;
  readonly memories: Readonly<Record<MemoryState, number>>;
  /** Pending memories that could be worked on now. */
  readonly due: number;
  /** Age of the oldest of them; 0 when none is due. */
  readonly oldestDueSeconds: number;
  readonly unembedded: number;
  /** Neither folded, superseded nor retired. */
  readonly observations: number;
  readonly openConflicts: number;
  /** Change sets that wait for a person. */
  readonly proposed: number;
}

const noMemories: Readonly<Record<MemoryState, number>> = {
  pending: 0,
  consolidated: 0,
  proposed: 0,
  held: 0,
  parked: 0,
};

/** What stands in the whole store. */
export async function countStore(db: Queryable): Promise<StoreCounts> {
  // memories_state, memories_pending, memories_unembedded and conflicts_pair are read as indexes; observations in full.
  const { rows } = await db.query<{
    banks: number;
    states: Partial<Record<MemoryState, number>> | null;
    due: number;
    oldest_due_seconds: number;
    unembedded: number;
    observations: number;
    open_conflicts: number;
    proposed: number;
  }>(
    `select
       (select count(*) from engram.banks) as banks,
       (select jsonb_object_agg(state, n) from (
         select state, count(*) as n from engram.memories group by state) as by_state) as states,
       due.n as due,
       coalesce(extract(epoch from now() - due.oldest), 0)::float8 as oldest_due_seconds,
       (select count(*) from engram.memories where embedding is null and invalidated_at is null and state <> 'parked')
         as unembedded,
       (select count(*) from engram.observations where is_live) as observations,
       (select count(*) from engram.conflicts where status = 'open') as open_conflicts,
       (select count(*) from engram.change_sets where status = 'proposed') as proposed
     from (
       select count(*) as n, min(created_at) as oldest from engram.memories
       where state = 'pending' and invalidated_at is null and next_attempt_at <= now()) as due`,
  );
  const [row] = rows;
  if (!row) throw new Error('an aggregate answered with no row');
  return {
    banks: row.banks,
    memories: { ...noMemories, ...row.states },
    due: row.due,
    oldestDueSeconds: Math.max(0, row.oldest_due_seconds),
    unembedded: row.unembedded,
    observations: row.observations,
    openConflicts: row.open_conflicts,
    proposed: row.proposed,
  };
}

export interface BankCounts {
  readonly memories: Readonly<Record<MemoryState, number>>;
  readonly due: number;
  readonly unembedded: number;
  readonly observations: Readonly<Record<ObservationState, number>>;
  readonly openConflicts: number;
  readonly proposed: number;
}

const noObservations: Readonly<Record<ObservationState, number>> = { live: 0, superseded: 0, folded: 0, retired: 0 };

/** What stands in each of the banks. */
export async function countBanks(db: Queryable, bankIds: readonly string[]): Promise<Map<string, BankCounts>> {
  // Bank by bank over the indexes that start with bank_id.
  const { rows } = await db.query<{
    bank_id: string;
    states: Partial<Record<MemoryState, number>> | null;
    due: number;
    unembedded: number;
    observations: Partial<Record<ObservationState, number>> | null;
    open_conflicts: number;
    proposed: number;
  }>(
    `select b.id as bank_id,
       (select jsonb_object_agg(state, n) from (
         select state, count(*) as n from engram.memories m where m.bank_id = b.id group by state) as s) as states,
       (select count(*) from engram.memories m where m.bank_id = b.id and m.state = 'pending'
         and m.invalidated_at is null and m.next_attempt_at <= now()) as due,
       (select count(*) from engram.memories m where m.bank_id = b.id and m.embedding is null
         and m.invalidated_at is null and m.state <> 'parked') as unembedded,
       (select jsonb_object_agg(state, n) from (
         select case when retired_at is not null then 'retired' when canonical_id is not null then 'folded'
           when superseded_by is not null then 'superseded' else 'live' end as state, count(*) as n
         from engram.observations o where o.bank_id = b.id group by 1) as s) as observations,
       (select count(*) from engram.conflicts c where c.bank_id = b.id and c.status = 'open') as open_conflicts,
       (select count(*) from engram.change_sets s where s.bank_id = b.id and s.status = 'proposed') as proposed
     from engram.banks b where b.id = any($1::text[])`,
    [bankIds],
  );
  return new Map(
    rows.map((row) => [
      row.bank_id,
      {
        memories: { ...noMemories, ...row.states },
        due: row.due,
        unembedded: row.unembedded,
        observations: { ...noObservations, ...row.observations },
        openConflicts: row.open_conflicts,
        proposed: row.proposed,
      },
    ]),
  );
}
