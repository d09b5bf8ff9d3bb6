import type { Readable } from 'node:stream';
import type { Queryable } from '../db/database.ts';
import { type DirectSession, quoteName } from '../db/direct-session.ts';
import { createContentHash } from './content-hash.ts';
import { createCopyTuples } from './copy-tuples.ts';
import { keptTables } from './kept-tables.ts';

export type KeptTable = (typeof keptTables)[number];

/** A table as it is dumped and loaded. */
export interface TableColumns {
  readonly name: KeptTable;
  readonly columns: readonly string[];
}

/**
 * What is dumped of each kept table, in their order. Generated columns make themselves again; a transaction id means
 * nothing in another database, where it takes the one of the load.
 */
export async function keptColumns(db: Queryable): Promise<TableColumns[]> {
  // Index: pg_attribute_relid_attnum_index.
  const { rows } = await db.query<TableColumns>(
    `select c.relname as name, array_agg(a.attname::text order by a.attnum) as columns
     from pg_attribute a join pg_class c on c.oid = a.attrelid
     where c.relnamespace = 'engram'::regnamespace and c.relkind = 'r' and c.relname = any($1::text[])
       and a.attnum > 0 and not a.attisdropped and a.attgenerated = '' and a.atttypid <> 'xid8'::regtype
     group by c.relname order by array_position($1::text[], c.relname::text)`,
    [keptTables],
  );
  return rows;
}

export function copyOutStatement({ name, columns }: TableColumns): string {
  return `copy engram.${quoteName(name)} (${columns.map(quoteName).join(', ')}) to stdout with (format binary)`;
}

export interface TableContent {
  readonly rows: number;
  readonly contentHash: string;
}

/**
 * Reads the rows that pass by, once.
 *
 * @param onChunk gets the COPY as it is; awaited, so that whoever is slower holds the server up
 */
export async function readTable(
  session: DirectSession,
  table: TableColumns,
  onChunk: (chunk: Buffer, rows: number) => Promise<void> | void,
): Promise<TableContent> {
  const content = createContentHash();
  const tuples = createCopyTuples(content.add);
  const copy: Readable = session.copyOut(copyOutStatement(table));
  for await (const chunk of copy) {
    tuples.push(chunk);
    const passed = onChunk(chunk, content.rows);
    if (passed) await passed;
  }
  tuples.end();
  return { rows: content.rows, contentHash: content.digest() };
}
