import { randomUUID } from 'node:crypto';
import { afterEach, beforeEach, expect, inject, test } from 'vitest';
import { openDirectSession } from '../../src/db/direct-session.ts';
import { withAdmin } from '../support/admin-connection.ts';
import { type BlankDatabase, createBlankDatabase } from './blank-database.ts';

let blank: BlankDatabase;
beforeEach(async () => {
  blank = await createBlankDatabase();
});
afterEach(() => blank.drop());

const limits = [
  'statement_timeout',
  'lock_timeout',
  'transaction_timeout',
  'idle_in_transaction_session_timeout',
  'idle_session_timeout',
];

test('no limit of time that an operator has set holds for it', async () => {
  const role = `direct_${randomUUID().replaceAll('-', '').slice(0, 12)}`;
  const onServer = (text: string) => withAdmin(inject('postgres').adminUrl, (admin) => admin.query(text));
  await onServer(`create role ${role} login password 'pw'`);
  try {
    const known = await onServer('select name from pg_settings').then(({ rows }) => rows.map(({ name }) => name));
    const present = limits.filter((name) => known.includes(name));
    // Of the database and of the role, as an operator would.
    for (const name of present.slice(0, 2)) await onServer(`alter database ${blank.name} set ${name} = '5min'`);
    for (const name of present.slice(2)) await onServer(`alter role ${role} set ${name} = '5min'`);
    const url = new URL(blank.connectionString);
    [url.username, url.password] = [role, 'pw'];
    const session = await openDirectSession({ connectionString: url.href, applicationName: 'test' });
    const { rows } = await session.query<{ name: string; value: string }>(
      'select name, current_setting(name) as value from unnest($1::text[]) as name',
      [present],
    );
    await session.close();
    expect(rows).toEqual(present.map((name) => ({ name, value: '0' })));
  } finally {
    await onServer(`drop role ${role}`);
  }
});
