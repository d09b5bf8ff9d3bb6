import type { Database, Queryable } from '../db/database.ts';

/* What the laws make impossible, looked for all the same, bank by bank: a restore, a hand-written statement or a bug. */

/** Marked in one transaction; what is more is marked in the next night. */
const markedAtOnce = 1000;

/**
 * Live observations that rest on no valid memory and that nobody was told to write again: marks them, so that they are
 * written from what is left or retired, as ever (law L6). Returns how many.
 */
export async function markUnsupported(db: Database, bankId: string): Promise<number> {
  return db.tx({ label: 'mark unsupported' }, async (tx) => {
    // The bank's observations once, then indexes observations_canonical and the primary keys. Locked in order (law L4).
    const { rows } = await tx.query<{ id: string }>(
      `select o.id from engram.observations o
       where o.bank_id = $1 and o.is_live and o.needs_replan_at is null
         and not exists (select from engram.observation_sources s
           join engram.memories m on m.bank_id = s.bank_id and m.id = s.memory_id and m.invalidated_at is null
           where s.bank_id = o.bank_id and s.observation_id = o.id)
         and not exists (select from engram.observations f
           join engram.observation_sources s on s.bank_id = f.bank_id and s.observation_id = f.id
           join engram.memories m on m.bank_id = s.bank_id and m.id = s.memory_id and m.invalidated_at is null
           where f.bank_id = o.bank_id and f.canonical_id = o.id)
       order by o.id limit $2 for no key update of o`,
      [bankId, markedAtOnce],
    );
    if (rows.length === 0) return 0;
    const { rowCount } = await tx.query(
      `update engram.observations set needs_replan_at = now()
       where bank_id = $1 and id = any($2::uuid[]) and is_live and needs_replan_at is null`,
      [bankId, rows.map(({ id }) => id)],
    );
    return rowCount;
  });
}

/** Observations folded into one that is folded itself: recall follows one step. */
export async function countFoldedChains(db: Queryable, bankId: string): Promise<number> {
  // Index observations_canonical, primary key.
  return count(
    db,
    `select count(*) as n from engram.observations o
     join engram.observations c on c.bank_id = o.bank_id and c.id = o.canonical_id
     where o.bank_id = $1 and o.canonical_id is not null and c.canonical_id is not null`,
    bankId,
  );
}

/** Vectors that are not of the length of their model: compared with others they are noise, or an error. */
export async function countMisfitVectors(db: Queryable, bankId: string): Promise<number> {
  // The bank's rows once. Vectors of more than 2 kB lie outside their rows, uncompressed (0001-memories.sql), where n reals
  // are 20 + 4n bytes: the length of what is kept says how many, without reading 200 MB as array_length() would.
  return count(
    db,
    `select (
       select count(*) from engram.memories r join engram.embedding_models m on m.id = r.embedding_model
       where r.bank_id = $1 and r.embedding is not null and case
         when 4 * m.dimensions >= 2000 then pg_column_size(r.embedding) <> 20 + 4 * m.dimensions
         else array_length(r.embedding, 1) is distinct from m.dimensions end) + (
       select count(*) from engram.observations r join engram.embedding_models m on m.id = r.embedding_model
       where r.bank_id = $1 and r.embedding is not null and case
         when 4 * m.dimensions >= 2000 then pg_column_size(r.embedding) <> 20 + 4 * m.dimensions
         else array_length(r.embedding, 1) is distinct from m.dimensions end) as n`,
    bankId,
  );
}

/** Pending memories that rest for more than a week, which no rest of ours is: the longest is a day. */
export async function countFarAttempts(db: Queryable, bankId: string): Promise<number> {
  // Index memories_pending.
  return count(
    db,
    `select count(*) as n from engram.memories where bank_id = $1 and state = 'pending' and invalidated_at is null
       and next_attempt_at > now() + interval '7 days'`,
    bankId,
  );
}

/** Memories that wait for a person's word on a change set that is not there to be decided. */
export async function countStrandedProposals(db: Queryable, bankId: string): Promise<number> {
  // Indexes memories_state and change_ops_memories.
  return count(
    db,
    `select count(*) as n from engram.memories m where m.bank_id = $1 and m.state = 'proposed'
       and m.invalidated_at is null and not exists (
         select from engram.change_ops o join engram.change_sets s on s.bank_id = o.bank_id and s.id = o.change_set_id
         where o.bank_id = m.bank_id and o.memory_ids @> array[m.id] and s.status = 'proposed')`,
    bankId,
  );
}

async function count(db: Queryable, sql: string, bankId: string): Promise<number> {
  const { rows } = await db.query<{ n: number }>(sql, [bankId]);
  return rows[0]?.n ?? 0;
}
