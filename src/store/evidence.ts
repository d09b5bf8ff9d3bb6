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
