import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, test } from 'vitest';
import { RestoreRefusedError } from '../../src/backup/backup-errors.ts';
import { type BlankDatabase, createBlankDatabase } from '../db/blank-database.ts';
import { withAdmin } from '../support/admin-connection.ts';
import { createScratchFolder, removeScratchFolder } from '../support/scratch-folder.ts';
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts';
import { catalogOf, contentsOf, onSession, restore, type TakenBackup, takeBackup } from './backup-bench.ts';
import { seedStore } from './seeded-store.ts';

/** What people have put on the tables, whose the tables are, and what became of numbers that had run too far. */

let source: TestDatabase;
let folder: string;
let backup: TakenBackup;
let target: TestDatabase;
/** A role of a test's own; it is gone after it. */
let role: string;
beforeAll(async () => {
  source = await createTestDatabase();
  folder = createScratchFolder();
  await seedStore(source.db, { banks: 1, memories: 10 });
  backup = await takeBackup(source.connectionString, folder);
});
afterAll(async () => {
  removeScratchFolder(folder);
  await source.drop();
});
beforeEach(async () => {
  target = await createTestDatabase({ poolMax: 2 });
  role = `engramd_test_${randomUUID().replaceAll('-', '').slice(0, 12)}`;
  await onServer(`create role ${role} login password 'pw'`);
});
afterEach(async () => {
  await target.drop();
  await onServer(`drop role ${role}`);
});

const onServer = (text: string) => withAdmin(inject('postgres').adminUrl, (admin) => admin.query(text));
const restoreHere = (connectionString = target.connectionString) =>
  restore(backup, { connectionString, replace: true });

function asRole(connectionString: string): string {
  const url = new URL(connectionString);
  [url.username, url.password] = [role, 'pw'];
  return url.href;
}

const failureOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => expect.unreachable('it should have failed'),
    (thrown: unknown) => thrown,
  );

describe('what somebody has put on the tables', () => {
  test('is named, each of it, and nothing is changed', async () => {
    await onSession(target.connectionString, (session) =>
      session.script(
        `alter table engram.memories add column mood text;
         alter table engram.memories add constraint calm check (true);
         create index my_index on engram.memories (created_at);
         create function public.mine() returns trigger language plpgsql as $$ begin return new; end $$;
         create trigger "My own" after insert on engram.memories for each row execute function public.mine();
         alter table engram.memories enable row level security;
         create policy p on engram.memories using (true);
         create rule r as on delete to engram.events do also nothing;
         create statistics engram.s on bank_id, state from engram.memories;
         create publication pub for table engram.memories;
         alter table engram.memories replica identity full;
         create function engram.hold_store(text) returns void language sql as ''`,
      ),
    );
    const before = [await contentsOf(target.connectionString), await catalogOf(target.connectionString)];
    const failure = await failureOf(restoreHere());
    expect(failure).toBeInstanceOf(RestoreRefusedError);
    expect(failure).toMatchObject({ exitCode: 4 });
    const [, named = ''] =
      /stands on its tables, and would go with them: (.*)\. Drop it, and make it again/.exec(String(failure)) ?? [];
    expect(named.split(', ').sort()).toEqual(
      [
        'column mood on memories',
        'constraint calm on memories',
        'index my_index on memories',
        'trigger "My own" on memories',
        'row level security on memories',
        'policy p on memories',
        'rule r on events',
        'statistics s on memories',
        'publication pub on memories',
        'replica identity of memories',
        'function engram.hold_store(text)',
      ].sort(),
    );
    expect([await contentsOf(target.connectionString), await catalogOf(target.connectionString)]).toEqual(before);
  });

  test('stays where it only lies beside them in the schema, and an index of vectors is ours', async () => {
    await target.db.query('create index memories_vectors_0123456789abcdef on engram.memories (bank_id)');
    await onSession(target.connectionString, (session) =>
      session.script(
        `create table engram.notes (id bigint generated always as identity, text text); create index on engram.notes (text);
         insert into engram.notes (text) values ('mine'); grant select on engram.notes to ${role};
         create function engram.mine() returns int language sql as 'select 1'`,
      ),
    );
    await restoreHere();
    const { rows } = await target.db.query(
      `select text, engram.mine(), has_table_privilege($1, 'engram.notes', 'select') as may from engram.notes`,
      [role],
    );
    expect(rows).toEqual([{ text: 'mine', mine: 1, may: true }]);
  });

  test('rights and options of storage are carried over', async () => {
    await onSession(target.connectionString, (session) =>
      session.script(
        `grant usage on schema engram to ${role};
         grant select on engram.events to ${role} with grant option;
         grant select (id, text) on engram.memories to ${role};
         grant usage on sequence engram.events_id_seq to ${role};
         revoke execute on function engram.snapshot_lock(text) from public;
         grant execute on function engram.snapshot_lock(text) to ${role};
         alter table engram.memories set (autovacuum_vacuum_scale_factor = 0.01, toast.autovacuum_enabled = off)`,
      ),
    );
    const look = async () => {
      const { rows } = await target.db.query(
        `select has_column_privilege($1, 'engram.memories', 'text', 'select') as text,
           has_column_privilege($1, 'engram.memories', 'context', 'select') as context,
           has_table_privilege($1, 'engram.events', 'select with grant option') as events,
           has_sequence_privilege($1, 'engram.events_id_seq', 'usage') as sequence,
           (select proacl::text from pg_proc where oid = 'engram.snapshot_lock'::regproc) as function,
           c.reloptions::text as options, t.reloptions::text as toast
         from pg_class c join pg_class t on t.oid = c.reltoastrelid where c.oid = 'engram.memories'::regclass`,
        [role],
      );
      return rows[0];
    };
    const before = await look();
    expect(before).toMatchObject({ text: true, context: false, events: true, sequence: true });
    await restoreHere();
    expect(await look()).toEqual(before);
  });
});

/** Of every table, sequence, column and function of ours: what each role may, whoever says so. */
async function rightsIn(connectionString: string): Promise<string[]> {
  return onSession(connectionString, async (session) => {
    const { rows } = await session.query<{ text: string }>(
      `select distinct concat_ws(' ', o.name, a.privilege_type, a.grantee::regrole, a.is_grantable) as text from (
         select relname::text as name, coalesce(relacl,
           acldefault(case relkind when 'S' then 's' else 'r' end::"char", relowner)) as acl
         from pg_class where relnamespace = 'engram'::regnamespace and relkind in ('r', 'S')
         union all select attrelid::regclass || '.' || attname, attacl from pg_attribute join pg_class c on c.oid = attrelid
         where relnamespace = 'engram'::regnamespace
         union all select oid::regprocedure::text, coalesce(proacl, acldefault('f', proowner))
         from pg_proc where pronamespace = 'engram'::regnamespace) as o cross join aclexplode(o.acl) as a order by 1`,
    );
    return rows.map(({ text }) => text);
  });
}

describe('default privileges', () => {
  test('neither give nor take what a restore brings back: rights are those from before', async () => {
    await onSession(target.connectionString, (session) =>
      session.script(
        `grant select on engram.events to ${role};
         alter default privileges in schema engram grant select, insert on tables to ${role} with grant option;
         alter default privileges in schema engram grant usage on sequences to ${role};
         alter default privileges in schema engram grant execute on functions to ${role};
         alter default privileges revoke execute on functions from public;
         revoke delete on engram.digests from current_user`,
      ),
    );
    const before = await rightsIn(target.connectionString);
    expect(before).toContain(`events SELECT ${role} f`);
    await restoreHere();
    expect(await rightsIn(target.connectionString)).toEqual(before);
    // And once more, now that they are written down.
    await restoreHere();
    expect(await rightsIn(target.connectionString)).toEqual(before);
  });
});

test('comments and the statistics of columns are carried over', async () => {
  await onSession(target.connectionString, (session) =>
    session.script(
      `comment on table engram.memories is 'it''s ours \\ theirs';
       comment on column engram.memories.text is 'what was said';
       comment on function engram.snapshot_lock(text) is 'of the night';
       alter table engram.memories alter column bank_id set statistics 500`,
    ),
  );
  const look = async () => {
    const { rows } = await target.db.query(
      `select obj_description('engram.memories'::regclass, 'pg_class') as "table", col_description(a.attrelid, a.attnum) as "column",
         obj_description('engram.snapshot_lock'::regproc, 'pg_proc') as function,
         (select attstattarget from pg_attribute where attrelid = a.attrelid and attname = 'bank_id') as statistics
       from pg_attribute a where a.attrelid = 'engram.memories'::regclass and a.attname = 'text'`,
    );
    return rows[0];
  };
  const before = await look();
  expect(before).toEqual({
    table: "it's ours \\ theirs",
    column: 'what was said',
    function: 'of the night',
    statistics: 500,
  });
  await restoreHere();
  expect(await look()).toEqual(before);
});

/** Of every table, sequence and function of ours, and of the schema. */
async function ownersIn(connectionString: string): Promise<string[]> {
  return onSession(connectionString, async (session) => {
    const { rows } = await session.query<{ owner: string }>(
      `select distinct pg_get_userbyid(owner)::text as owner from (
         select relowner as owner from pg_class where relnamespace = 'engram'::regnamespace
         union all select proowner from pg_proc where pronamespace = 'engram'::regnamespace
         union all select nspowner from pg_namespace where nspname = 'engram') as owned order by 1`,
    );
    return rows.map(({ owner }) => owner);
  });
}

describe('a restore by another role than the one that owns the tables', () => {
  let blank: BlankDatabase;
  let own: string;
  beforeEach(async () => {
    blank = await createBlankDatabase();
    await onServer(`grant create on database ${blank.name} to ${role}`);
    own = asRole(blank.connectionString);
  });
  afterEach(() => blank.drop());

  test('gives all of it to the role of the daemons where there is nothing yet, and back to it from then on', async () => {
    await restore(backup, { connectionString: blank.connectionString, owner: role });
    expect(await ownersIn(own)).toEqual([role]);
    await expect(blank.open(own).query(`insert into engram.banks (id) values ('new')`)).resolves.toMatchObject({
      rowCount: 1,
    });
    // As the superuser, who has another role for what is not there.
    await restore(backup, { connectionString: blank.connectionString, replace: true });
    expect(await ownersIn(own)).toEqual([role]);
  });

  test('is refused to whom may not give them back, and carried out by a member', async () => {
    await restore(backup, { connectionString: own });
    const admin = `${role}_admin`;
    await onServer(`create role ${admin} login password 'pw'`);
    try {
      const url = new URL(own);
      url.username = admin;
      const asAdmin = () => restore(backup, { connectionString: url.href, replace: true });
      await blank.admin((here) =>
        here.query(`grant all on schema engram to ${admin}; grant all on all tables in schema engram to ${admin}`),
      );
      const refused = await failureOf(asAdmin());
      expect(refused).toBeInstanceOf(RestoreRefusedError);
      expect(String(refused)).toContain(`GRANT ${role} TO ${admin}, or restore as ${role}; nothing was changed`);
      await onServer(`grant ${role} to ${admin}`);
      await asAdmin();
      expect(await ownersIn(own)).toEqual([role]);
    } finally {
      await blank.admin((here) => here.query(`drop owned by ${admin}`));
      await onServer(`drop role ${admin}`);
    }
  });

  test('is refused where that role may own nothing there', async () => {
    await onServer(`revoke create on database ${blank.name} from ${role}`);
    const admin = `${role}_admin`;
    await onServer(
      `create role ${admin} login password 'pw' in role ${role}; grant create on database ${blank.name} to ${admin}`,
    );
    try {
      const url = new URL(own);
      url.username = admin;
      const refused = await failureOf(restore(backup, { connectionString: url.href, owner: role }));
      expect(String(refused)).toContain(
        `${role} may not own anything there: GRANT CREATE ON DATABASE ${blank.name} TO`,
      );
      expect(refused).toBeInstanceOf(RestoreRefusedError);
    } finally {
      await onServer(`revoke create on database ${blank.name} from ${admin}; drop role ${admin}`);
    }
  });
});

describe('numbers and the name of the store', () => {
  test('that have run beyond what a number holds go on from those of the backup, and that is said', async () => {
    await target.db.query('update engram.store set id = gen_random_uuid()');
    await target.db.query(`select setval('engram.events_id_seq', 9223372036854775807)::text`);
    await target.db.query(`select setval('engram.lifecycle_events_id_seq', 9007199254740991)::text`);
    const report = await restoreHere();
    expect(report.sequencesLeft).toEqual(['events_id_seq']);
    const { rows } = await target.db.query<{ name: string; value: string }>(
      `select sequencename as name, last_value::text as value from pg_sequences
       where sequencename in ('events_id_seq', 'lifecycle_events_id_seq') order by 1`,
    );
    expect(rows).toEqual([
      {
        name: 'events_id_seq',
        value: backup.manifest.sequences.find(({ name }) => name === 'events_id_seq')?.lastValue,
      },
      { name: 'lifecycle_events_id_seq', value: '9007199254740991' },
    ]);
    // And the store as the one that was backed up: the backups that there are of it are its own.
    expect((await target.db.query('select id from engram.store')).rows).toEqual([{ id: backup.manifest.store }]);
  });

  test('of a backup go to the end of what a sequence holds', async () => {
    const largest = '9223372036854775806';
    const sequences = [{ name: 'events_id_seq', lastValue: largest }];
    await restore(
      { ...backup, manifest: { ...backup.manifest, sequences } },
      { connectionString: target.connectionString, replace: true },
    );
    const { rows } = await target.db.query(`select last_value::text as value from engram.events_id_seq`);
    expect(rows).toEqual([{ value: largest }]);
  });
});
