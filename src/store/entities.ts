import type { Queryable } from '../db/database.ts';

/**
 * Links memories to entities by name, making those that are missing. A name is the same in any case; the first spelling
 * stays.
 */
export async function linkEntities(
  tx: Queryable,
  bankId: string,
  links: readonly { readonly memoryId: string; readonly name: string }[],
  newId: () => string,
): Promise<void> {
  if (links.length === 0) return;
  const names = [...new Set(links.map((link) => link.name))];
  // Unique index entities_name. Inserted in its order: two transactions with the same names in another order would each
  // hold what the other waits for (law L4).
  await tx.query(
    `insert into engram.entities (bank_id, id, name)
     select $1, n.id, n.name from (
       select distinct on (lower(name)) id, name from unnest($2::uuid[], $3::text[]) with ordinality as u(id, name, n)
       order by lower(name), n) as n
     order by lower(n.name)
     on conflict do nothing`,
    [bankId, names.map(() => newId()), names],
  );
  await tx.query(
    `insert into engram.memory_entities (bank_id, memory_id, entity_id)
     select distinct $1, l.memory_id, e.id
     from unnest($2::uuid[], $3::text[]) as l(memory_id, name)
     join engram.entities e on e.bank_id = $1 and lower(e.name) = lower(l.name)
     on conflict do nothing`,
    [bankId, links.map((link) => link.memoryId), links.map((link) => link.name)],
  );
}
