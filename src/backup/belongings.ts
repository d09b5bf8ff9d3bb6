import type { Queryable } from '../db/database.ts';
import type { OwnNames } from './added-parts.ts';
import { RestoreRefusedError } from './backup-errors.ts';

/**
 * Whose the tables and functions are, who else may do what with them, and how their server is to store them: no backup
 * tells, and it goes with them. Keys name what stands in schema `engram`: `memories`, `memories.text`, `scope_of(text[])`.
 */
export interface Belongings {
  readonly owners: ReadonlyMap<string, string>;
  /** Of what was not there before, the schema among it. */
  readonly owner: string;
  readonly hadSchema: boolean;
  readonly statements: readonly { readonly key: string; readonly statement: string }[];
}

/** @param owner where nothing says whose it is; null: whoever asks */
export async function readBelongings(session: Queryable, own: OwnNames, owner: string | null): Promise<Belongings> {
  const owners = new Map((await readOwned(session, own)).map((row) => [row.key, row.owner]));
  const [first] = owners.values();
  const { rows } = await session.query<{ role: string; hadSchema: boolean }>(
    `select current_user::text as role, to_regnamespace('engram') is not null as "hadSchema"`,
  );
  const [row] = rows;
  if (!row) throw new Error('the server answered a query for one row with none');
  return {
    owners,
    owner: owners.get('migrations') ?? first ?? owner ?? row.role,
    hadSchema: row.hadSchema,
    statements: await readStatements(session, own),
  };
}

interface Owned {
  readonly key: string;
  readonly owner: string;
  /** As it stands in `ALTER`. */
  readonly name: string;
}

/** Sequences go with the tables whose columns they are for. */
async function readOwned(session: Queryable, own: OwnNames): Promise<Owned[]> {
  // A look into the catalog of one schema.
  const { rows } = await session.query<Owned>(
    `select relname::text as key, pg_get_userbyid(relowner)::text as owner, format('table engram.%I', relname) as name
     from pg_class where relnamespace = to_regnamespace('engram') and relkind = 'r' and relname = any($1::text[])
     union all
     select format('%s(%s)', proname, pg_get_function_identity_arguments(oid)), pg_get_userbyid(proowner),
       format('function %s', oid::regprocedure)
     from pg_proc where pronamespace = to_regnamespace('engram') and proname = any($2::text[])`,
    [own.tables, own.functions],
  );
  return rows;
}

async function readStatements(session: Queryable, own: OwnNames): Promise<Belongings['statements']> {
  // A look into the catalog of one schema. What the owner may is not granted; role 0 is everybody. Where a function says
  // who may call it, everybody may not unless it says so too.
  const { rows } = await session.query<{ key: string; statement: string }>(
    `with own as (
       select oid, relname, relacl, relowner, relkind, reloptions, reltoastrelid from pg_class c
       where relnamespace = to_regnamespace('engram') and (relkind = 'r' and relname = any($1::text[])
         or relkind = 'S' and exists (select from pg_depend d join pg_class t on t.oid = d.refobjid
           where d.classid = 'pg_class'::regclass and d.refclassid = 'pg_class'::regclass and d.objid = c.oid
             and d.deptype in ('a', 'i') and t.relnamespace = c.relnamespace and t.relname = any($1::text[])))),
     routines as (
       select oid, proacl, proowner, format('%s(%s)', proname, pg_get_function_identity_arguments(oid)) as key from pg_proc
       where pronamespace = to_regnamespace('engram') and proname = any($2::text[]) and proacl is not null),
     granted as (
       select relname::text as key, format('%s engram.%I', case relkind when 'S' then 'sequence' else 'table' end, relname) as target,
         a.privilege_type as privilege, a.grantee, a.is_grantable
       from own cross join lateral aclexplode(relacl) as a where a.grantee <> relowner
       union all
       select relname || '.' || attname, format('table engram.%I', relname), format('%s (%I)', a.privilege_type, attname),
         a.grantee, a.is_grantable
       from own join pg_attribute on attrelid = own.oid and attnum > 0 and not attisdropped
       cross join lateral aclexplode(attacl) as a where a.grantee <> relowner
       union all
       select key, format('function %s', routines.oid::regprocedure), a.privilege_type, a.grantee, a.is_grantable
       from routines cross join lateral aclexplode(proacl) as a where a.grantee <> proowner)
     select key, format('revoke all on function %s from public', oid::regprocedure) as statement, 0 as place from routines
     union all
     select key, format('grant %s on %s to %s%s', privilege, target,
       case grantee when 0 then 'public' else quote_ident(pg_get_userbyid(grantee)) end,
       case when is_grantable then ' with grant option' else '' end), 1
     from granted
     union all
     select relname, format('alter table engram.%I set (%s)', relname, (
       select string_agg(o.prefix || format('%I = %L', split_part(o.option, '=', 1), substr(o.option, strpos(o.option, '=') + 1)), ', ')
       from (select '' as prefix, unnest(reloptions) as option union all
             select 'toast.', unnest(t.reloptions) from pg_class t where t.oid = own.reltoastrelid) as o)), 2
     from own where relkind = 'r' and (reloptions is not null
       or exists (select from pg_class t where t.oid = own.reltoastrelid and t.reloptions is not null))
     order by place`,
    [own.tables, own.functions],
  );
  return rows;
}

/**
 * Before anything is touched: what is made anew can be given to whom it belonged.
 *
 * @throws RestoreRefusedError
 */
export async function assertCanGiveBack(session: Queryable, { owners, owner, hadSchema }: Belongings): Promise<void> {
  // Index pg_authid_rolname_index. A superuser may all of it. Since version 16 a member may be one without more.
  const { rows } = await session.query<{ owner: string; role: string; place: string; isMember: boolean }>(
    `with roles as (
       select o.name, case when current_setting('server_version_num')::int >= 160000 then 'SET' else 'MEMBER' end as how,
         case when $2 then has_schema_privilege(o.name, to_regnamespace('engram'), 'CREATE')
           else has_database_privilege(o.name, current_database(), 'CREATE') end as may_own
       from unnest($1::text[]) as o(name))
     select quote_ident(r.name) as owner, quote_ident(current_user) as role,
       case when $2 then 'SCHEMA engram' else format('DATABASE %I', current_database()) end as place,
       pg_has_role(current_user, r.name, r.how) as "isMember"
     from roles r join pg_roles own on own.rolname = current_user
     where r.name <> current_user and not own.rolsuper and not (pg_has_role(current_user, r.name, r.how) and r.may_own)`,
    [[...new Set([owner, ...owners.values()])], hadSchema],
  );
  const [row] = rows;
  if (!row) return;
  const wish = row.isMember
    ? `${row.owner} may not own anything there: GRANT CREATE ON ${row.place} TO ${row.owner}`
    : `${row.role} may not give them back to it: GRANT ${row.owner} TO ${row.role}`;
  throw new RestoreRefusedError(
    `the tables of engramd belong to the role ${row.owner}, and the restore runs as ${row.role} (DATABASE_DIRECT_URL). ${wish}, or restore as ${row.owner}; nothing was changed`,
  );
}

/** Owners first: what they grant is theirs to grant. */
export async function giveBack(session: Queryable, own: OwnNames, belongings: Belongings): Promise<void> {
  const { owners, owner, hadSchema, statements } = belongings;
  const owned = await readOwned(session, own);
  const give = async (name: string, to: string) => {
    // Its own way to quote a name that is no literal of ours.
    const { rows } = await session.query<{ text: string }>(
      `select format('alter %s owner to %I', $1::text, $2::text) as text`,
      [name, to],
    );
    await session.query(rows[0]?.text ?? '');
  };
  if (!hadSchema) await give('schema engram', owner);
  for (const { key, name, owner: now } of owned) {
    const to = owners.get(key) ?? owner;
    if (to !== now) await give(name, to);
  }
  const present = new Set([...owned.map(({ key }) => key), ...(await readInside(session))]);
  for (const { key, statement } of statements) if (present.has(key)) await session.query(statement);
}

/** Sequences and columns. */
async function readInside(session: Queryable): Promise<string[]> {
  const { rows } = await session.query<{ key: string }>(
    `select relname::text as key from pg_class where relnamespace = to_regnamespace('engram') and relkind = 'S'
     union all
     select c.relname || '.' || a.attname from pg_class c join pg_attribute a on a.attrelid = c.oid
     where c.relnamespace = to_regnamespace('engram') and c.relkind = 'r' and a.attnum > 0 and not a.attisdropped`,
  );
  return rows.map(({ key }) => key);
}
