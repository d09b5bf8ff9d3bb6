import { afterAll, beforeAll, expect, test } from 'vitest';
import { keptTables, leftOutTables } from '../../src/backup/kept-tables.ts';
import { keptColumns } from '../../src/backup/table-copy.ts';
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase({ poolMax: 1 });
});
afterAll(() => database.drop());

test('every table of the schema is kept or left out, and named once', async () => {
  const { rows } = await database.db.query<{ name: string }>(
    "select relname as name from pg_class where relnamespace = 'engram'::regnamespace and relkind in ('r', 'p')",
  );
  const named = [...keptTables, ...Object.keys(leftOutTables)];
  expect(named.toSorted()).toEqual(rows.map(({ name }) => name).sort());
});

test('tables stand after those that their foreign keys name', async () => {
  const { rows } = await database.db.query<{ child: string; parent: string }>(
    `select c.relname as child, p.relname as parent from pg_constraint f
     join pg_class c on c.oid = f.conrelid join pg_class p on p.oid = f.confrelid
     where f.contype = 'f' and c.relnamespace = 'engram'::regnamespace and c.oid <> p.oid`,
  );
  const place = new Map<string, number>(keptTables.map((name, index) => [name, index]));
  const kept = rows.filter(({ child }) => place.has(child));
  expect(kept.length).toBeGreaterThan(20);
  for (const { child, parent } of kept) {
    expect(place.get(parent) ?? Infinity, `${child} names ${parent}`).toBeLessThan(place.get(child) ?? 0);
  }
});

test('columns left out are generated, or a transaction id that takes its default', async () => {
  const tables = await keptColumns(database.db);
  expect(tables.map(({ name }) => name)).toEqual([...keptTables]);
  const { rows } = await database.db.query<{
    table: string;
    name: string;
    generated: boolean;
    type: string;
    hasDefault: boolean;
  }>(
    `select c.relname as table, a.attname as name, a.attgenerated <> '' as generated, a.atttypid::regtype::text as type,
       a.atthasdef as "hasDefault"
     from pg_attribute a join pg_class c on c.oid = a.attrelid
     where c.relnamespace = 'engram'::regnamespace and c.relkind = 'r' and c.relname = any($1) and a.attnum > 0
       and not a.attisdropped`,
    [keptTables],
  );
  const dumped = new Set(tables.flatMap(({ name, columns }) => columns.map((column) => `${name}.${column}`)));
  const left = rows.filter(({ table, name }) => !dumped.has(`${table}.${name}`));
  expect(dumped.size + left.length).toBe(rows.length);
  expect(left).toEqual(rows.filter(({ generated, type }) => generated || type === 'xid8'));
  for (const { table, name, generated, hasDefault } of left) {
    expect(generated || hasDefault, `${table}.${name}`).toBe(true);
  }
});
