import { existsSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { ColumnAddedError } from '../../src/backup/backup-errors.ts';
import { openDumpThread } from '../../src/backup/dump-thread.ts';
import { columnsOfSchema, ownColumns } from '../../src/backup/own-columns.ts';
import { exportBank } from '../../src/backup/transfer/export-bank.ts';
import { migrations, onSession } from './backup-bench.ts';
import { type BackupsRig, createBackupsRig, remember } from './backups-rig.ts';

/** Columns that somebody has put on our tables: nothing is written without them, and nothing with them either. */

let rig: BackupsRig;
beforeAll(async () => {
  rig = await createBackupsRig();
});
beforeEach(() => rig.reset());
afterEach(() => rig.database.db.query('alter table engram.memories drop column if exists ticket2'));
afterAll(() => rig.close());

const alter = (change: string) => rig.database.db.query(`alter table engram.memories ${change}`);

async function exported(): Promise<string[]> {
  return onSession(rig.database.connectionString, async (session) => {
    const lines: string[] = [];
    const options = { session, bankId: 'bank-1', schema: migrations.length, onProgress: () => undefined };
    for await (const line of exportBank({ ...options, signal: new AbortController().signal })) lines.push(line);
    return lines;
  });
}

test('the columns known as ours are those that migrations make', async () => {
  const { rows } = await rig.database.db.query<{ table: string; columns: string[] }>(
    `select c.relname as "table", array_agg(a.attname::text order by a.attnum) as columns
     from pg_attribute a join pg_class c on c.oid = a.attrelid
     where c.relnamespace = 'engram'::regnamespace and c.relname = any($1) and a.attnum > 0 and not a.attisdropped
       and a.attgenerated = '' group by 1`,
    [Object.keys(ownColumns)],
  );
  expect(Object.fromEntries(rows.map(({ table, columns }) => [table, columns]))).toEqual(ownColumns);
  expect(columnsOfSchema).toBe(migrations.length);
});

test('a backup is refused by the name of the column before anything is written, and taken without it', async () => {
  await alter('add column ticket2 text');
  await remember(rig, 'the ticket is elsewhere');
  for (const backups of [rig.backups, rig.with({ openDump: openDumpThread })]) {
    const failure = await rig.take(backups).catch((thrown: unknown) => thrown);
    expect(failure).toBeInstanceOf(ColumnAddedError);
    expect(failure).toMatchObject({ code: 'COLUMN_ADDED', exitCode: 4 });
    expect(String(failure)).toMatch(
      /: column ticket2 on memories\. Keep it .* drop it \(ALTER TABLE engram\.memories DROP COLUMN ticket2\); no backup/,
    );
  }
  expect(existsSync(rig.directory) ? rig.names() : []).toEqual([]);
  expect((await rig.rows()).map((row) => row.error_code)).toEqual(['COLUMN_ADDED', 'COLUMN_ADDED']);
  await alter('drop column ticket2');
  expect((await rig.take()).kind).toBe('verified');
});

test('an export is refused likewise', async () => {
  await alter('add column ticket2 text');
  await expect(exported()).rejects.toThrow(/column ticket2 on memories.*no export was written/);
  await alter('drop column ticket2');
  expect((await exported()).length).toBeGreaterThan(20);
});

test('what is computed from columns of ours is left to the database', async () => {
  await alter('add column ticket2 text generated always as (upper(text)) stored');
  expect((await rig.take()).kind).toBe('verified');
  const [header = ''] = await exported();
  expect(JSON.parse(header).columns.memories).not.toContain('ticket2');
});
