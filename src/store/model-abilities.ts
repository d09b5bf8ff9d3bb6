import type { Queryable } from '../db/database.ts';

/** What is known of an endpoint and model; undefined where that is nothing, or a month old: servers learn. */
export async function readModelAbilities(db: Queryable, endpoint: string, model: string): Promise<unknown> {
  // The primary key of model_abilities.
  const { rows } = await db.query<{ abilities: unknown }>(
    `select abilities from engram.model_abilities
      where endpoint = $1 and model = $2 and updated_at > now() - interval '30 days'`,
    [endpoint, model],
  );
  return rows[0]?.abilities;
}

/** @param abilities JSON */
export async function saveModelAbilities(
  db: Queryable,
  endpoint: string,
  model: string,
  abilities: unknown,
): Promise<void> {
  // The primary key of model_abilities. Of two daemons the later one wins; both found out what holds.
  await db.query(
    `insert into engram.model_abilities (endpoint, model, abilities) values ($1, $2, $3::jsonb)
     on conflict (endpoint, model) do update set abilities = excluded.abilities, updated_at = now()`,
    [endpoint, model, JSON.stringify(abilities)],
  );
}
