import type { Queryable } from '../db/database.ts';
import type { Link } from './observations.ts';

/** The links of observations and of all that is folded into them, by root. The caller holds the roots' locks. */
export async function linksOf(tx: Queryable, bankId: string, rootIds: readonly string[]): Promise<Map<string, Link[]>> {
  if (rootIds.length === 0) return new Map();
  // Primary keys and observations_canonical.
  const { rows } = await tx.query<{
    root_id: string;
    observation_id: string;
    memory_id: string;
    memory_version: number;
  }>(
    `select root.id as root_id, s.observation_id, s.memory_id, s.memory_version
     from engram.observations root
     join engram.observations o on o.bank_id = root.bank_id and (o.id = root.id or o.canonical_id = root.id)
     join engram.observation_sources s on s.bank_id = o.bank_id and s.observation_id = o.id
     where root.bank_id = $1 and root.id = any($2::uuid[])`,
    [bankId, rootIds],
  );
  const links = new Map<string, Link[]>(rootIds.map((id) => [id, []]));
  for (const row of rows) {
    links.get(row.root_id)?.push({
      observationId: row.observation_id,
      memoryId: row.memory_id,
      memoryVersion: row.memory_version,
    });
  }
  return links;
}

/** Those of the pairs that are linked, in the version that they are linked in. The caller holds the observations' locks. */
export async function linksBetween(
  tx: Queryable,
  bankId: string,
  pairs: readonly { readonly observationId: string; readonly memoryId: string }[],
): Promise<Link[]> {
  if (pairs.length === 0) return [];
  // Primary key (bank_id, observation_id, memory_id).
  const { rows } = await tx.query<Link>(
    `select distinct s.observation_id as "observationId", s.memory_id as "memoryId", s.memory_version as "memoryVersion"
     from engram.observation_sources s
     join unnest($2::uuid[], $3::uuid[]) as p(observation_id, memory_id)
       on p.observation_id = s.observation_id and p.memory_id = s.memory_id
     where s.bank_id = $1`,
    [bankId, pairs.map((pair) => pair.observationId), pairs.map((pair) => pair.memoryId)],
  );
  return rows;
}

/** Every link of the observations themselves, without what is folded into them. */
export async function linksOn(tx: Queryable, bankId: string, observationIds: readonly string[]): Promise<Link[]> {
  if (observationIds.length === 0) return [];
  // Primary key (bank_id, observation_id, memory_id).
  const { rows } = await tx.query<Link>(
    `select observation_id as "observationId", memory_id as "memoryId", memory_version as "memoryVersion"
     from engram.observation_sources where bank_id = $1 and observation_id = any($2::uuid[])`,
    [bankId, observationIds],
  );
  return rows;
}

/** Those of the roots that a valid pinned memory speaks for, itself or through what is folded into them. */
export async function restingOnPins(
  tx: Queryable,
  bankId: string,
  rootIds: readonly string[],
): Promise<ReadonlySet<string>> {
  if (rootIds.length === 0) return new Set();
  // Primary keys and observations_canonical.
  const { rows } = await tx.query<{ id: string }>(
    `select distinct root.id
     from engram.observations root
     join engram.observations o on o.bank_id = root.bank_id and (o.id = root.id or o.canonical_id = root.id)
     join engram.observation_sources s on s.bank_id = o.bank_id and s.observation_id = o.id
     join engram.memories m on m.bank_id = s.bank_id and m.id = s.memory_id
     where root.bank_id = $1 and root.id = any($2::uuid[]) and m.pin is not null and m.invalidated_at is null`,
    [bankId, rootIds],
  );
  return new Set(rows.map((row) => row.id));
}
