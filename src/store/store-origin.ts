import type { Queryable } from '../db/database.ts';

/** Where transaction ids mean something: in another cluster, or in what pg_restore made of a database, they are others. */
export interface StoreOrigin {
  /** Null: this role may not know it. */
  readonly clusterId: string | null;
  readonly databaseOid: string;
}

export async function readStoreOrigin(db: Queryable): Promise<StoreOrigin> {
  // Two looks into the catalog. Everybody may ask a cluster for its id where nobody has forbidden it, and a statement that
  // names a function that may not be called fails, whatever it would do with it.
  const { rows } = await db.query<{ databaseOid: string; mayAsk: boolean }>(
    `select (select oid::text from pg_database where datname = current_database()) as "databaseOid",
       has_function_privilege('pg_control_system()', 'execute') as "mayAsk"`,
  );
  const [row] = rows;
  if (!row) throw new Error('the server answered a query for one row with none');
  const { databaseOid, mayAsk } = row;
  return { databaseOid, clusterId: mayAsk ? await readClusterId(db) : null };
}

async function readClusterId(db: Queryable): Promise<string | null> {
  const { rows } = await db.query<{ id: string }>('select system_identifier::text as id from pg_control_system()');
  return rows[0]?.id ?? null;
}
