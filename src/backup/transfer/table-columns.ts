import type { Queryable } from '../../db/database.ts';
import type { TransferTableName } from './transfer-tables.ts';

/**
 * Columns that hold something of their own: not what is computed from others, nor transaction ids, which mean nothing in
 * another database. The id of an event is its place in the timeline of one database, and a memory waits for its score in each.
 */
export async function transferColumns(db: Queryable, tables: readonly TransferTableName[]) {
  // A look into the catalog: pg_attribute by its table.
  const { rows } = await db.query<{ table: TransferTableName; columns: string[] }>(
    `select c.relname as "table", array_agg(a.attname::text order by a.attnum) as columns
     from pg_class c join pg_namespace n on n.oid = c.relnamespace and n.nspname = 'engram'
     join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
     where c.relname = any($1::text[]) and a.attgenerated = '' and a.atttypid <> 'xid8'::regtype
       and (c.relname::text, a.attname::text) not in (('events', 'id'), ('memories', 'score_due_at'))
     group by c.relname`,
    [tables],
  );
  return new Map(rows.map(({ table, columns }) => [table, columns]));
}
