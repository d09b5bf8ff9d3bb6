import type { Queryable } from '../db/database.ts';
import { type DirectSession, quoteName } from '../db/direct-session.ts';

/** What of the tables is made after their rows are in them: one sort instead of a search a row. */
export interface SchemaParts {
  /** In the order in which they can be made; each names the table it belongs to. */
  readonly statements: readonly { readonly table: string; readonly sql: string }[];
}

interface Constraint {
  readonly table: string;
  readonly name: string;
  readonly isForeignKey: boolean;
  readonly definition: string;
}

/**
 * Takes keys, indexes and foreign keys off the tables of schema `engram`, and silences their triggers. Which there are and
 * how they are made the catalog says: those of an older schema are not those of this build.
 */
export async function takeApart(session: DirectSession): Promise<SchemaParts> {
  const tables = await engramTables(session);
  const constraints = await keysOf(session);
  const foreign = constraints.filter(({ isForeignKey }) => isForeignKey);
  const own = constraints.filter(({ isForeignKey }) => !isForeignKey);
  const indexes = await plainIndexes(session);
  // A key that another table refers to goes after that reference.
  for (const { table, name } of [...foreign, ...own]) {
    await session.query(`alter table ${nameOf(table)} drop constraint ${quoteName(name)}`);
  }
  for (const { name } of indexes) await session.query(`drop index ${nameOf(name)}`);
  for (const table of tables) await session.query(`alter table ${nameOf(table)} disable trigger user`);
  const made = ({ table, name, definition }: Constraint) => ({
    table,
    sql: `alter table ${nameOf(table)} add constraint ${quoteName(name)} ${definition}`,
  });
  return {
    statements: [
      ...own.map(made),
      ...indexes.map(({ table, definition }) => ({ table, sql: definition })),
      // Making one looks at every row: what does not fit together is found here.
      ...foreign.map(made),
      ...tables.map((table) => ({ table, sql: `alter table ${nameOf(table)} enable trigger user` })),
    ],
  };
}

export async function putTogether(
  session: Queryable,
  parts: SchemaParts,
  onStatement: (table: string, done: number) => void,
): Promise<void> {
  for (const [done, { table, sql }] of parts.statements.entries()) {
    onStatement(table, done);
    await session.query(sql);
  }
}

export async function engramTables(session: Queryable): Promise<string[]> {
  // Index pg_class_relname_nsp_index.
  const { rows } = await session.query<{ name: string }>(
    `select relname as name from pg_class
     where relnamespace = to_regnamespace('engram') and relkind = 'r' order by relname`,
  );
  return rows.map(({ name }) => name);
}

async function keysOf(session: Queryable): Promise<Constraint[]> {
  // A look into the catalog of one schema. By their oid: as they were made.
  const { rows } = await session.query<Constraint>(
    `select t.relname as "table", c.conname as name, c.contype = 'f' as "isForeignKey",
       pg_get_constraintdef(c.oid) as definition
     from pg_constraint c join pg_class t on t.oid = c.conrelid
     where t.relnamespace = to_regnamespace('engram') and c.contype in ('p', 'u', 'x', 'f') order by c.oid`,
  );
  return rows;
}

/** Those that no constraint brings along. */
async function plainIndexes(
  session: Queryable,
): Promise<{ readonly table: string; readonly name: string; readonly definition: string }[]> {
  const { rows } = await session.query<{ table: string; name: string; definition: string }>(
    `select t.relname as "table", c.relname as name, pg_get_indexdef(c.oid) as definition
     from pg_index i join pg_class c on c.oid = i.indexrelid join pg_class t on t.oid = i.indrelid
     where t.relnamespace = to_regnamespace('engram') and t.relkind = 'r'
       and not exists (select from pg_constraint k where k.conindid = i.indexrelid and k.conrelid = i.indrelid)
     order by c.oid`,
  );
  return rows;
}

const nameOf = (name: string) => `engram.${quoteName(name)}`;
