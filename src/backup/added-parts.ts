import type { Queryable } from '../db/database.ts';
import { applyMigrations, createMigrationsTable, type Migration } from '../db/migrate.ts';
import { isVectorIndexName } from '../store/vectors/pgvector-statements.ts';
import { RestoreRefusedError } from './backup-errors.ts';

/** What would be dropped: tables of engramd, and functions, by their names in schema `engram`. */
export interface OwnNames {
  readonly tables: readonly string[];
  readonly functions: readonly string[];
}

/**
 * All that stands on these tables and goes with them, each by what it is and its name. Not what is carried over (rights,
 * options of storage), and not indexes of vectors, which whoever searches makes anew.
 */
export async function readParts(session: Queryable, own: OwnNames): Promise<string[]> {
  // A look into the catalog of one schema. Constraints of kind n are what columns say themselves, in newer servers.
  const { rows } = await session.query<{ part: string; index: string | null }>(
    `with own as (
       select oid, relname, relrowsecurity or relforcerowsecurity as has_policies, relreplident from pg_class
       where relnamespace = to_regnamespace('engram') and relkind = 'r' and relname = any($1::text[])),
     parts as (
       select 'column' as kind, a.attname as name, a.attrelid as relation, null::name as index
       from pg_attribute a where a.attnum > 0 and not a.attisdropped
       union all select 'constraint', conname, conrelid, null from pg_constraint where contype <> 'n'
       union all select 'index', c.relname, i.indrelid, c.relname
         from pg_index i join pg_class c on c.oid = i.indexrelid
         where not exists (select from pg_constraint k where k.conindid = c.oid and k.conrelid = i.indrelid)
       union all select 'trigger', tgname, tgrelid, null from pg_trigger where not tgisinternal
       union all select 'policy', polname, polrelid, null from pg_policy
       union all select 'rule', rulename, ev_class, null from pg_rewrite
       union all select 'statistics', stxname, stxrelid, null from pg_statistic_ext
       union all select 'publication', p.pubname, r.prrelid, null
         from pg_publication_rel r join pg_publication p on p.oid = r.prpubid)
     select format('%s %I on %I', p.kind, p.name, o.relname) as part, p.index::text
     from own o join parts p on p.relation = o.oid
     union all select format('row level security on %I', relname), null from own where has_policies
     union all select format('replica identity of %I', relname), null from own where relreplident <> 'd'
     union all select format('function %s', oid::regprocedure), null from pg_proc
       where pronamespace = to_regnamespace('engram') and proname = any($2::text[])
     order by 1`,
    [own.tables, own.functions],
  );
  return rows.flatMap(({ part, index }) => (index !== null && isVectorIndexName(index) ? [] : [part]));
}

/**
 * Compares what stood on the tables with what the migrations make of nothing: the rest is somebody's, and no backup has
 * it. In the transaction of the restore, where the tables are gone already.
 *
 * @throws RestoreRefusedError
 */
export async function assertNothingAdded(
  session: Queryable,
  found: { readonly parts: readonly string[]; readonly own: OwnNames },
  migrations: readonly Migration[],
): Promise<void> {
  await session.query('savepoint as_made');
  await createMigrationsTable(session);
  await applyMigrations(session, migrations);
  const made = new Set(await readParts(session, found.own));
  await session.query('rollback to savepoint as_made; release savepoint as_made');
  const added = found.parts.filter((part) => !made.has(part));
  if (added.length === 0) return;
  throw new RestoreRefusedError(
    `something that is not engramd's stands on its tables, and would go with them: ${added.join(', ')}. Drop it, and make it again after the restore; nothing was changed`,
  );
}
