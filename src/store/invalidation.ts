import type { Queryable } from '../db/database.ts';

export interface Invalidated {
  readonly invalidatedAt: Date;
  /** It was invalid before. */
  readonly already: boolean;
}

/**
 * Marks a memory as not to be believed; the triggers mark what cites it. Undefined where there is none. Once is enough: the
 * time of the first stays.
 */
export async function invalidateMemory(
  tx: Queryable,
  bankId: string,
  memoryId: string,
): Promise<Invalidated | undefined> {
  // Primary key.
  const { rows } = await tx.query<{ invalidated_at: Date; already: boolean }>(
    `with before as (
       select id, invalidated_at from engram.memories where bank_id = $1 and id = $2 for no key update),
     done as (
       update engram.memories m set invalidated_at = now() from before
       where m.bank_id = $1 and m.id = before.id and before.invalidated_at is null returning m.invalidated_at)
     select coalesce(before.invalidated_at, done.invalidated_at) as invalidated_at, done.invalidated_at is null as already
     from before left join done on true`,
    [bankId, memoryId],
  );
  const [row] = rows;
  return row && { invalidatedAt: row.invalidated_at, already: row.already };
}

/** An observation that rests on a memory, itself or through what is folded into it, and what else it rests on. */
export interface Dependent {
  readonly id: string;
  readonly text: string;
  readonly isLive: boolean;
  /** Other memories behind it that are valid and unchanged. */
  readonly otherSources: number;
}

/** Roots that rest on a memory, by id. */
export async function dependentsOf(db: Queryable, bankId: string, memoryId: string): Promise<Dependent[]> {
  // Indexes observation_sources_memory and observations_canonical, primary keys.
  const { rows } = await db.query<{ id: string; text: string; is_live: boolean; others: number }>(
    `select root.id, root.text, root.is_live, (
       select count(distinct s.memory_id)::int
       from engram.observations o
       join engram.observation_sources s on s.bank_id = o.bank_id and s.observation_id = o.id
       join engram.memories m on m.bank_id = s.bank_id and m.id = s.memory_id
       where o.bank_id = root.bank_id and (o.id = root.id or o.canonical_id = root.id) and s.memory_id <> $2
         and m.invalidated_at is null and m.version = s.memory_version and m.tags = root.tags) as others
     from engram.observations root
     where root.bank_id = $1 and root.id in (
       select coalesce(o.canonical_id, o.id) from engram.observation_sources s
       join engram.observations o on o.bank_id = s.bank_id and o.id = s.observation_id
       where s.bank_id = $1 and s.memory_id = $2)
     order by root.id`,
    [bankId, memoryId],
  );
  return rows.map((row) => ({ id: row.id, text: row.text, isLive: row.is_live, otherSources: row.others }));
}
