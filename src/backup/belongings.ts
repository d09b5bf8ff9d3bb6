import type { Queryable } from '../db/database.ts';
import type { OwnNames } from './added-parts.ts';
import { RestoreRefusedError } from './backup-errors.ts';

/**
 * Whose the tables and functions are, who may do what with them, how their server is to store them and what somebody
 * has noted of them: no backup tells, and it goes with them. Keys name what stands in schema `engram`: `memories`, `memories.text`, `scope_of(text[])`.
 */
export interface Belongings {
  readonly owners: ReadonlyMap<string, string>;
  /** Of what was not there before, the schema among it. */
  readonly owner: string;
  readonly hadSchema: boolean;
  readonly rights: readonly Right[];
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
    rights: await readRights(session, own),
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

/** What a role may do with a table, column, sequence or function, as it stands in `GRANT` and `REVOKE`. */
interface Right {
  readonly key: string;
  readonly privilege: string;
  readonly target: string;
  readonly role: string;
  readonly isGrantable: boolean;
}

/** Also what the owner may, and what everybody may unless it is said otherwise. */
async function readRights(session: Queryable, own: OwnNames): Promise<Right[]> {
  // A look into the catalog of one schema. Role 0 is everybody.
  const { rows } = await session.query<Right>(
    `with own as (
       select oid, relname, relacl, relowner, relkind from pg_class c
       where relnamespace = to_regnamespace('engram') and (relkind = 'r' and relname = any($1::text[])
         or relkind = 'S' and exists (select from pg_depend d join pg_class t on t.oid = d.refobjid
           where d.classid = 'pg_class'::regclass and d.refclassid = 'pg_class'::regclass and d.objid = c.oid
             and d.deptype in ('a', 'i') and t.relnamespace = c.relnamespace and t.relname = any($1::text[])))),
     granted as (
       select relname::text as key, format('%s engram.%I', case relkind when 'S' then 'sequence' else 'table' end, relname) as target,
         a.privilege_type as privilege, a.grantee, a.is_grantable
       from own cross join lateral aclexplode(
         coalesce(relacl, acldefault(case relkind when 'S' then 's' else 'r' end::"char", relowner))) as a
       union all
       select relname || '.' || attname, format('table engram.%I', relname), format('%s (%I)', a.privilege_type, attname),
         a.grantee, a.is_grantable
       from own join pg_attribute on attrelid = own.oid and attnum > 0 and not attisdropped
       cross join lateral aclexplode(attacl) as a
       union all
       select format('%s(%s)', proname, pg_get_function_identity_arguments(oid)), format('function %s', oid::regprocedure),
         a.privilege_type, a.grantee, a.is_grantable
       from pg_proc cross join lateral aclexplode(coalesce(proacl, acldefault('f', proowner))) as a
       where pronamespace = to_regnamespace('engram') and proname = any($2::text[]))
     select distinct key, privilege, target, is_grantable as "isGrantable",
       case grantee when 0 then 'public' else quote_ident(pg_get_userbyid(grantee)) end as role
     from granted`,
    [own.tables, own.functions],
  );
  return rows;
}

async function readStatements(session: Queryable, own: OwnNames): Promise<Belongings['statements']> {
  // A look into the catalog of one schema. Statistics of a column: -1 and nothing both mean that nobody has said a number.
  const { rows } = await session.query<{ key: string; statement: string }>(
    `with own as (
       select oid, relname, reloptions, reltoastrelid from pg_class
       where relnamespace = to_regnamespace('engram') and relkind = 'r' and relname = any($1::text[])),
     columns as (
       select own.oid, attnum, attstattarget, relname || '.' || attname as key, relname, attname
       from own join pg_attribute on attrelid = own.oid and attnum > 0 and not attisdropped)
     select relname::text as key, format('alter table engram.%I set (%s)', relname, (
       select string_agg(o.prefix || format('%I = %L', split_part(o.option, '=', 1), substr(o.option, strpos(o.option, '=') + 1)), ', ')
       from (select '' as prefix, unnest(reloptions) as option union all
             select 'toast.', unnest(t.reloptions) from pg_class t where t.oid = own.reltoastrelid) as o)) as statement
     from own where reloptions is not null
       or exists (select from pg_class t where t.oid = own.reltoastrelid and t.reloptions is not null)
     union all
     select key, format('alter table engram.%I alter column %I set statistics %s', relname, attname, attstattarget)
     from columns where attstattarget >= 0
     union all
     select relname, format('comment on table engram.%I is %L', relname, obj_description(oid, 'pg_class'))
     from own where obj_description(oid, 'pg_class') is not null
     union all
     select key, format('comment on column engram.%I.%I is %L', relname, attname, col_description(oid, attnum))
     from columns where col_description(oid, attnum) is not null
     union all
     select format('%s(%s)', proname, pg_get_function_identity_arguments(oid)),
       format('comment on function %s is %L', oid::regprocedure, obj_description(oid, 'pg_proc'))
     from pg_proc where pronamespace = to_regnamespace('engram') and proname = any($2::text[])
       and obj_description(oid, 'pg_proc') is not null`,
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
  const { owners, owner, hadSchema, rights, statements } = belongings;
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
  await giveRightsBack(session, own, { rights, present, hadBefore: new Set(owners.keys()) });
  for (const { key, statement } of statements) if (present.has(key)) await session.query(statement);
}

/**
 * What is made anew begins with what default privileges say now, which may be more or less than was granted. What was not
 * there before keeps that.
 */
async function giveRightsBack(
  session: Queryable,
  own: OwnNames,
  options: {
    readonly rights: readonly Right[];
    readonly present: ReadonlySet<string>;
    readonly hadBefore: ReadonlySet<string>;
  },
): Promise<void> {
  const { rights, present } = options;
  const now = await readRights(session, own);
  // Of a sequence the rights tell that it was there; of a table or a function also where nobody had any.
  const hadBefore = new Set([...options.hadBefore, ...rights.map(({ key }) => key)]);
  const before = new Set(rights.map(nameOfRight));
  const since = new Set(now.map(nameOfRight));
  for (const right of now) {
    if (!hadBefore.has(right.key) || before.has(nameOfRight(right))) continue;
    const { privilege, target, role } = right;
    await session.query(`revoke ${privilege} on ${target} from ${role}`);
  }
  for (const right of rights) {
    if (!present.has(right.key) || since.has(nameOfRight(right))) continue;
    const { privilege, target, role, isGrantable } = right;
    await session.query(`grant ${privilege} on ${target} to ${role}${isGrantable ? ' with grant option' : ''}`);
  }
}

const nameOfRight = ({ key, privilege, role, isGrantable }: Right) =>
  JSON.stringify([key, privilege, role, isGrantable]);

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
