import fc from 'fast-check';
import { v7 as uuid } from 'uuid';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { exportBank } from '../../src/backup/transfer/export-bank.ts';
import { type ImportOptions, importBank } from '../../src/backup/transfer/import-bank.ts';
import type { ExportSource } from '../../src/backup/transfer/read-export.ts';
import { checkExport } from '../../src/backup/transfer/read-export.ts';
import { leftBehind, transferTables } from '../../src/backup/transfer/transfer-tables.ts';
import { openDirectSession } from '../../src/db/direct-session.ts';
import { insertInstance } from '../../src/store/instances.ts';
import { inertRacepoints } from '../../src/telemetry/racepoints.ts';
import { createVictim } from '../store/victim-bank.ts';
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts';

const schema = 7;
const never = new AbortController().signal;

let here: TestDatabase;
let there: TestDatabase;
beforeEach(async () => {
  here = await createTestDatabase();
  there = await createTestDatabase();
});
afterEach(async () => {
  await here.drop();
  await there.drop();
});

async function exported({ connectionString }: TestDatabase, bankId: string): Promise<string[]> {
  const session = await openDirectSession({ connectionString, applicationName: 'test' });
  try {
    const options = { session, bankId, schema, signal: never, onProgress: () => undefined };
    const lines: string[] = [];
    for await (const line of exportBank(options)) lines.push(line);
    return lines;
  } finally {
    await session.close();
  }
}

function sourceOf(lines: readonly string[], chunkBytes = 64 * 1024): ExportSource {
  const bytes = Buffer.from(lines.map((line) => `${line}\n`).join(''));
  return {
    async *chunks() {
      for (let at = 0; at < bytes.length; at += chunkBytes) yield bytes.subarray(at, at + chunkBytes);
    },
  };
}

async function imported(database: TestDatabase, lines: readonly string[], more: Partial<ImportOptions> = {}) {
  const { connectionString, db } = database;
  const instanceId = uuid();
  await insertInstance(db, { id: instanceId, role: 'cli', host: 'test', pid: process.pid, version: '0.0.0' });
  const session = await openDirectSession({ connectionString, applicationName: 'test' });
  try {
    return await importBank({
      session,
      source: sourceOf(lines),
      bankId: null,
      schema,
      instanceId,
      signal: never,
      onProgress: () => undefined,
      racepoints: inertRacepoints,
      ...more,
    });
  } finally {
    await session.close();
  }
}

/** All rows but what names the database they are in. */
function rowsOf(lines: readonly string[]): unknown[] {
  return lines.slice(1, -1).map((line) => {
    const { table, row } = JSON.parse(line);
    const { instance_id: _, bank_id: __, ...rest } = row;
    if (table === 'banks') rest.id = 'any';
    if (table === 'idempotency_keys') rest.scope = 'any';
    return { table, row: rest };
  });
}

it('names every table with a bank once: as part of an export, or with the reason why not', async () => {
  const { rows } = await here.db.query<{ name: string }>(
    `select c.relname as name from pg_class c join pg_namespace n on n.oid = c.relnamespace and n.nspname = 'engram'
     join pg_attribute a on a.attrelid = c.oid and a.attname = 'bank_id' where c.relkind = 'r'`,
  );
  const known = [...transferTables.map(({ name }) => name as string), ...Object.keys(leftBehind)];
  expect(rows.map(({ name }) => name).filter((name) => !known.includes(name))).toEqual([]);
  expect(new Set(known).size).toBe(known.length);
});

describe('a bank', () => {
  it('moves to another database with all that is in it, under its name or another', async () => {
    await createVictim(here.db, 'mine');
    const lines = await exported(here, 'mine');
    await imported(there, lines);
    expect(rowsOf(await exported(there, 'mine'))).toEqual(rowsOf(lines));
    await imported(there, lines, { bankId: 'copy' });
    expect(rowsOf(await exported(there, 'copy'))).toEqual(rowsOf(lines));
    expect(rowsOf(await exported(there, 'mine'))).toEqual(rowsOf(lines));
  });

  it('comes once, however often it is imported', async () => {
    await createVictim(here.db, 'mine');
    const lines = await exported(here, 'mine');
    const first = await imported(there, lines);
    expect(first.added.memories).toBeGreaterThan(0);
    expect(first.added.events).toBeGreaterThan(0);
    const before = await exported(there, 'mine');
    expect((await imported(there, lines)).added).toEqual({});
    expect((await exported(there, 'mine')).slice(1, -1)).toEqual(before.slice(1, -1));
    expect((await imported(here, lines)).added).toEqual({});
  });

  it('keeps numbers that this runtime would round, and vectors to the bit', async () => {
    const { consolidated } = await createVictim(here.db, 'mine');
    await here.db.query(
      `update engram.memories set metadata = '{"order": 123456789012345678901234567890, "third": 0.33333333333333333333}'
       where id = $1`,
      [consolidated],
    );
    await imported(there, await exported(here, 'mine'));
    const read = async ({ db }: TestDatabase) =>
      (
        await db.query(
          `select id, metadata::text as metadata, array_send(embedding) as vector from engram.memories order by id`,
        )
      ).rows;
    expect(await read(there)).toEqual(await read(here));
    expect(JSON.stringify(await read(there))).toContain('123456789012345678901234567890');
  });

  it('is exported as of one instant, whoever writes meanwhile', async () => {
    await createVictim(here.db, 'mine');
    const session = await openDirectSession({ connectionString: here.connectionString, applicationName: 'test' });
    const lines: string[] = [];
    try {
      const options = { session, bankId: 'mine', schema, signal: never, onProgress: () => undefined };
      for await (const line of exportBank(options)) {
        lines.push(line);
        if (lines.length === 2) await here.db.query("delete from engram.conflicts where bank_id = 'mine'");
      }
    } finally {
      await session.close();
    }
    expect(lines.some((line) => line.startsWith('{"table":"conflicts"'))).toBe(true);
    await expect(checkExport(sourceOf(lines), schema)).resolves.toMatchObject({ rows: lines.length - 2 });
  });

  it('that is not there cannot be exported', async () => {
    await expect(exported(here, 'nobody')).rejects.toMatchObject({ code: 'BANK_UNKNOWN' });
  });

  it('stays without what was forgotten here, and lists what came back with a whole bank', async () => {
    const { consolidated } = await createVictim(here.db, 'mine');
    const lines = await exported(here, 'mine');
    await imported(there, lines);
    await there.db.query(
      `insert into engram.erasures (bank_id, memory_id) values ('mine', $1), ('copy', $1) on conflict do nothing`,
      [consolidated],
    );
    await there.db.query("delete from engram.memories where bank_id = 'mine' and id = $1", [consolidated]);
    expect(await imported(there, lines)).toMatchObject({ added: {}, forgotten: 1 });
    expect(await imported(there, lines, { bankId: 'copy' })).toMatchObject({ forgotten: 1 });
    const { rows } = await there.db.query('select bank_id, memory_id from engram.erasures_due');
    expect(rows).toEqual([{ bank_id: 'copy', memory_id: consolidated }]);
  });

  it('does not take in an export of another time once it has gone on', async () => {
    const { live } = await createVictim(here.db, 'mine');
    await imported(there, await exported(here, 'mine'));
    await here.db.query(`insert into engram.memories (bank_id, id, text) values ('mine', $1, 'The kettle is blue.')`, [
      uuid(),
    ]);
    const before = await exported(there, 'mine');
    await expect(imported(there, await exported(here, 'mine'))).rejects.toMatchObject({
      code: 'IMPORT_CONFLICT',
      exitCode: 4,
    });
    expect((await exported(there, 'mine')).slice(1, -1)).toEqual(before.slice(1, -1));
    expect(before.join()).toContain(live);
  });

  it('numbers its later changes behind those that came', async () => {
    await createVictim(here.db, 'mine');
    await here.db.query("select setval(pg_get_serial_sequence('engram.change_ops', 'applied_no'), 5000)");
    await here.db.query("update engram.change_ops set applied_no = default where bank_id = 'mine'");
    await imported(there, await exported(here, 'mine'));
    const { rows } = await there.db.query<{ next: number }>(
      "select nextval(pg_get_serial_sequence('engram.change_ops', 'applied_no')) as next",
    );
    expect(rows[0]?.next).toBeGreaterThan(5000);
  });
});

describe('a bad file', () => {
  let lines: string[];
  beforeEach(async () => {
    await createVictim(here.db, 'mine');
    lines = await exported(here, 'mine');
  });

  async function refusal(changed: readonly string[]) {
    const thrown = await imported(there, changed).catch((error: unknown) => error);
    const { rows } = await there.db.query('select id from engram.banks');
    expect(rows).toEqual([]);
    return thrown as Error & { code: string };
  }

  it('says which line and what is wrong with it, and leaves nothing', async () => {
    const at = lines.findIndex((line) => line.startsWith('{"table":"observations"'));
    const withLine = (line: string) => lines.map((old, index) => (index === at ? line : old));
    const row = JSON.parse(lines[at] ?? '');
    const { text: _, ...without } = row.row;
    const cases: [string, readonly string[]][] = [
      ['not JSON', withLine('{"table":"observations",')],
      ['not an object', withLine('7')],
      ['neither a row of a known table nor the end of the export', withLine('{"table":"secrets","row":{}}')],
      ['a row of observations without text', withLine(JSON.stringify({ table: 'observations', row: without }))],
      ['a row of another bank than mine', withLine(JSON.stringify({ ...row, row: { ...row.row, bank_id: 'other' } }))],
    ];
    for (const [reason, changed] of cases) {
      const thrown = await refusal(changed);
      expect(thrown).toMatchObject({ code: 'IMPORT_LINE', line: at + 1 });
      expect(thrown.message).toBe(`line ${at + 1}: ${reason}; nothing was imported`);
    }
  });

  it('that was cut, changed, reordered or lengthened is told by its end', async () => {
    expect((await refusal(lines.slice(0, -1))).message).toContain('its last line is missing');
    expect((await refusal(lines.toSpliced(-2, 1))).message).toMatch(/rows of \w+ were written/);
    expect(
      (await refusal(lines.map((line) => line.replace(':"live"', ':"lives"').replace('consolidated', 'held')))).message,
    ).toContain('the checksum does not hold');
    expect((await refusal([...lines, lines[1] ?? ''])).message).toContain('something follows the end');
    expect((await refusal([])).message).toContain('the file is empty');
    expect((await refusal(['{"text":"a memory"}'])).message).toContain('not the beginning of an export');
  });

  it('of a newer engramd asks for an upgrade', async () => {
    const header = JSON.parse(lines[0] ?? '');
    for (const newer of [
      { ...header, schema: schema + 1 },
      { ...header, format: 2, more: true },
    ]) {
      expect(await refusal([JSON.stringify(newer), ...lines.slice(1)])).toMatchObject({ code: 'IMPORT_NEWER' });
    }
  });

  it('whose rows the database refuses says which line that was', async () => {
    const { createHash } = await import('node:crypto');
    const at = lines.findIndex((line) => line.startsWith('{"table":"memories"'));
    const body = lines
      .slice(0, -1)
      .map((line, index) => (index === at ? line.replace('"kind":"world"', '"kind":"dream"') : line));
    const end = JSON.parse(lines.at(-1) ?? '');
    end.end.sha256 = createHash('sha256')
      .update(body.map((line) => `${line}\n`).join(''))
      .digest('hex');
    const thrown = await refusal([...body, JSON.stringify(end)]);
    expect(thrown.message).toMatch(new RegExp(`^line ${at + 1}: the database does not take this row of memories: `));
  });

  it('is read alike however it comes in pieces', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 4000 }), async (bytes) => {
        await expect(checkExport(sourceOf(lines, bytes), schema)).resolves.toMatchObject({ rows: lines.length - 2 });
      }),
      { numRuns: 10 },
    );
  });
});

it('an import that is cut off before its commit leaves nothing', async () => {
  await createVictim(here.db, 'mine');
  const lines = await exported(here, 'mine');
  const cut = { reach: () => Promise.reject(new Error('gone')) };
  await expect(imported(there, lines, { racepoints: cut })).rejects.toThrow('gone');
  expect((await there.db.query('select id from engram.banks')).rows).toEqual([]);
});
