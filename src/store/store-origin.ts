import type { Queryable } from '../db/database.ts';
import { sqlState } from '../db/errors.ts';

/** Where transaction ids mean something: in another cluster, or in what pg_restore made of a database, they are others. */
export interface StoreOrigin {
  /** Null: this role may not know it. */
  readonly clusterId: string | null;
  readonly databaseOid: string;
}

export interface StoreIdentity {
  /** Of engram.store; null: this engramd has never migrated that database. */
  readonly store: string | null;
  readonly origin: StoreOrigin;
}

/** Of whatever database somebody is connected to. Not for a transaction: a store that is not there would end it. */
export async function readStoreIdentity(db: Queryable): Promise<StoreIdentity> {
  return { store: await findStoreId(db), origin: await readStoreOrigin(db) };
}

/** Whether both are the same database: a clone has the store of what it is one of. */
export function isSameDatabase(a: StoreIdentity, b: StoreIdentity): boolean {
  return a.store === b.store && a.origin.databaseOid === b.origin.databaseOid && !differ(a.origin, b.origin);
}

/** Where one of them is not known, nothing tells them apart. */
function differ(a: StoreOrigin, b: StoreOrigin): boolean {
  return a.clusterId !== null && b.clusterId !== null && a.clusterId !== b.clusterId;
}

const noTable = '42P01';
const noColumn = '42703';

async function findStoreId(db: Queryable): Promise<string | null> {
  try {
    return await readStoreId(db);
  } catch (thrown) {
    if ([noTable, noColumn].includes(sqlState(thrown) ?? '')) return null;
    throw thrown;
  }
}

/** What the backups are of: it goes with what is in the store, also into another database. */
export async function readStoreId(db: Queryable): Promise<string> {
  // One row.
  const { rows } = await db.query<{ id: string }>('select id from engram.store');
  const [row] = rows;
  if (!row) throw new Error('engram.store has lost its row');
  return row.id;
}

/** Whether nobody has remembered anything there yet. */
export async function isEmptyStore(db: Queryable): Promise<boolean> {
  // The first rows of two tables.
  const { rows } = await db.query<{ isEmpty: boolean }>(
    'select not exists (select from engram.banks) and not exists (select from engram.memories) as "isEmpty"',
  );
  return rows[0]?.isEmpty === true;
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
