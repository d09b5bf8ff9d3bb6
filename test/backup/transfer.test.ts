import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { v7 as uuid } from 'uuid';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { exportBank } from '../../src/backup/transfer/export-bank.ts';
import type { ExportSource } from '../../src/backup/transfer/export-lines.ts';
import { linesOf } from '../../src/backup/transfer/export-lines.ts';
import { type ImportOptions, importBank } from '../../src/backup/transfer/import-bank.ts';
import { checkExport } from '../../src/backup/transfer/read-export.ts';
import { Renumbering } from '../../src/backup/transfer/renumbering.ts';
import { leftBehind, transferTables } from '../../src/backup/transfer/transfer-tables.ts';
import { carryOutDueErasures } from '../../src/curation/due-erasures.ts';
import { forget } from '../../src/curation/forget.ts';
import { openDirectSession } from '../../src/db/direct-session.ts';
import { insertInstance } from '../../src/store/instances.ts';
import { systemClock } from '../../src/telemetry/clock.ts';
import { silentLog } from '../../src/telemetry/log.ts';
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

/** An export with other lines, and an end that holds for them. */
function sealed(lines: readonly string[], change: (line: string, at: number) => string): string[] {
  const body = lines.slice(0, -1).map(change);
  const { end } = JSON.parse(lines.at(-1) ?? '');
  const sha256 = createHash('sha256')
    .update(body.map((line) => `${line}\n`).join(''))
    .digest('hex');
  return [...body, JSON.stringify({ end: { ...end, sha256 } })];
}

/** With each row of a table as `change` makes it. */
function withRows(lines: readonly string[], table: string, change: (row: Record<string, unknown>) => object): string[] {
  return sealed(lines, (line) => {
    const value = JSON.parse(line);
    return value.table === table ? JSON.stringify({ table, row: { ...value.row, ...change(value.row) } }) : line;
  });
}

async function hands({ db }: TestDatabase) {
  const instanceId = uuid();
  await insertInstance(db, { id: instanceId, role: 'cli', host: 'test', pid: process.pid, version: '0.0.0' });
  const hint = async () => undefined;
  return { db, instanceId, clock: systemClock, log: silentLog, racepoints: inertRacepoints, newId: uuid, hint };
}

/** Tables that hold a word. */
async function tablesWith({ db }: TestDatabase, word: string): Promise<string[]> {
  const { rows: tables } = await db.query<{ name: string }>(
    `select relname as name from pg_class where relnamespace = 'engram'::regnamespace and relkind = 'r' order by 1`,
  );
  const found: string[] = [];
  for (const { name } of tables) {
    // Names from the catalogue of a test database.
    const { rowCount } = await db.query(
      `select from engram.${name} t where position(lower($1) in lower(to_jsonb(t)::text)) > 0`,
      [word],
    );
    if (rowCount > 0) found.push(name);
  }
  return found;
}

/** All rows but what names the database they are in. Numbers of ops are counted from one. */
function rowsOf(lines: readonly string[]): unknown[] {
  const numbers: number[] = [];
  return lines.slice(1, -1).map((line) => {
    const { table, row } = JSON.parse(line);
    if (table === 'change_ops') row.applied_no = numbers.push(row.applied_no);
    if (table === 'snapshots') row.applied_no = numbers.indexOf(row.applied_no) + 1;
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

  it('waits for its scores from the import on, and keeps what a person has unpinned', async () => {
    const { pending } = await createVictim(here.db, 'mine');
    await here.db.query(
      `update engram.memories set score_due_at = now() - interval '100 days', scored_version = null, unpinned_at = now()
       where id = $1`,
      [pending],
    );
    await imported(there, await exported(here, 'mine'));
    const { rows } = await there.db.query(
      `select score_due_at > now() - interval '1 hour' as waits_anew, unpinned_at is not null as is_unpinned
       from engram.memories where id = $1`,
      [pending],
    );
    expect(rows).toEqual([{ waits_anew: true, is_unpinned: true }]);
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

  it('does not take in what its timeline alone tells, nor a row that went on, and takes itself for what it was', async () => {
    const { live, pending } = await createVictim(here.db, 'mine');
    const first = await exported(here, 'mine');
    await imported(there, first);
    await here.db.query("insert into engram.events (bank_id, kind, memory_id) values ('mine', 'memory.pinned', $1)", [
      pending,
    ]);
    await expect(imported(there, await exported(here, 'mine'))).rejects.toThrow(/\(memory\.pinned at .*Z\)/);
    await here.db.query('update engram.observations set version = version + 1 where id = $1', [live]);
    await expect(imported(there, await exported(here, 'mine'))).rejects.toThrow(
      new RegExp(`\\(line \\d+, observation ${live}\\)`),
    );
    expect((await imported(here, first)).added).toEqual({});
  });

  it('has its changes numbered behind those of the database, in their order, and its snapshots with them', async () => {
    const { changeSetId, snapshotId } = await createVictim(here.db, 'mine');
    await here.db.query("select setval(pg_get_serial_sequence('engram.change_ops', 'applied_no'), 5000)");
    await here.db.query("update engram.change_ops set applied_no = default where bank_id = 'mine'");
    await here.db.query("update engram.snapshots set applied_no = 5001 where bank_id = 'mine'");
    await there.db.query("select setval(pg_get_serial_sequence('engram.change_ops', 'applied_no'), 70)");
    await imported(there, await exported(here, 'mine'));
    const { rows } = await there.db.query(
      `select (select applied_no from engram.change_ops where change_set_id = $1) as op,
         (select applied_no from engram.snapshots where id = $2) as snapshot,
         nextval(pg_get_serial_sequence('engram.change_ops', 'applied_no')) as next`,
      [changeSetId, snapshotId],
    );
    expect(rows).toEqual([{ op: 71, snapshot: 71, next: 72 }]);
  });

  it('comes into one that is empty, with what it is for unless that was said there', async () => {
    await createVictim(here.db, 'mine');
    const lines = await exported(here, 'mine');
    await there.db.query("insert into engram.banks (id) values ('mine')");
    await there.db.query("insert into engram.banks (id, mission) values ('told', 'kites')");
    expect((await imported(there, lines)).added.memories).toBe(4);
    await imported(there, lines, { bankId: 'told' });
    const { rows } = await there.db.query('select id, mission from engram.banks order by id');
    expect(rows).toEqual([
      { id: 'mine', mission: 'secret mission' },
      { id: 'told', mission: 'kites' },
    ]);
  });
});

describe('what was forgotten here', () => {
  it('brings nothing back into the bank that stands: neither names nor what models said', async () => {
    const { consolidated, pending } = await createVictim(here.db, 'mine');
    await here.db.query("update engram.verdicts set reason = 'both say Zebulon'");
    await here.db.query("update engram.entities set name = 'Zebulon'");
    const lines = await exported(here, 'mine');
    const deps = await hands(here);
    for (const memoryId of [consolidated, pending]) await forget(deps, { bankId: 'mine', memoryId, signal: never });
    const before = await exported(here, 'mine');
    expect(await imported(here, lines)).toMatchObject({ added: {}, forgotten: 2 });
    expect(await tablesWith(here, 'zebulon')).toEqual([]);
    expect((await exported(here, 'mine')).slice(1, -1)).toEqual(before.slice(1, -1));
  });

  it('goes from a copy under another name too', async () => {
    const { pending } = await createVictim(here.db, 'mine');
    await here.db.query("update engram.memories set text = 'Zebulon waits' where id = $1", [pending]);
    const lines = await exported(here, 'mine');
    const deps = await hands(here);
    await forget(deps, { bankId: 'mine', memoryId: pending, signal: never });
    expect(await imported(here, lines, { bankId: 'copy' })).toMatchObject({ forgotten: 1 });
    await carryOutDueErasures(deps);
    expect(await tablesWith(here, 'zebulon')).toEqual([]);
    // Again: it stands, and knows what it has forgotten.
    expect(await imported(here, lines, { bankId: 'copy' })).toMatchObject({ added: {}, forgotten: 1 });
  });

  it('does not come back by another file of it, whatever each bank is called here', async () => {
    const { pending } = await createVictim(here.db, 'mine');
    await here.db.query("update engram.memories set text = 'Zebulon waits' where id = $1", [pending]);
    const lines = await exported(here, 'mine');
    const deps = await hands(there);
    await imported(there, lines, { bankId: 'first' });
    await forget(deps, { bankId: 'first', memoryId: pending, signal: never });
    expect(await imported(there, lines, { bankId: 'second' })).toMatchObject({ forgotten: 1 });
    // Not erased there yet, and out of the bank that it is listed for.
    await there.db.query("delete from engram.erasures where bank_id = 'first'");
    expect(await imported(there, lines)).toMatchObject({ bankId: 'mine', forgotten: 1 });
    await carryOutDueErasures(deps);
    expect(await tablesWith(there, 'zebulon')).toEqual([]);
    // One that stands is compared alike.
    await there.db.query("delete from engram.erasures where bank_id <> 'second'");
    expect(await imported(there, lines)).toMatchObject({ added: {}, forgotten: 1 });
  });

  it('is in nobody’s sight from the commit on, whoever dies before it is erased', async () => {
    const { consolidated, live } = await createVictim(here.db, 'mine');
    const lines = await exported(here, 'mine');
    await forget(await hands(here), { bankId: 'mine', memoryId: consolidated, signal: never });
    await here.db.query("delete from engram.banks where id = 'mine'");
    await imported(here, lines);
    const { rows } = await here.db.query(
      `select (select invalidated_at is not null from engram.memories where id = $1) as "isInvalid",
         (select needs_replan_at is not null from engram.observations where id = $2) as "isHidden",
         (select count(*) from engram.erasures_due) as due`,
      [consolidated, live],
    );
    expect(rows).toEqual([{ isInvalid: true, isHidden: true, due: 1 }]);
  });

  it('is due where only the history of a file tells of it, and not where the file had forgotten it too', async () => {
    const { consolidated } = await createVictim(here.db, 'mine');
    await here.db.query('delete from engram.memories where id = $1', [consolidated]);
    const before = await exported(here, 'mine');
    await here.db.query("insert into engram.erasures (bank_id, memory_id) values ('mine', $1)", [consolidated]);
    const after = await exported(here, 'mine');
    await imported(here, before, { bankId: 'old' });
    await imported(here, after, { bankId: 'new' });
    const { rows } = await here.db.query('select bank_id, memory_id from engram.erasures_due');
    expect(rows).toEqual([{ bank_id: 'old', memory_id: consolidated }]);
  });

  it('is taken out of a history that came without the memory', async () => {
    const { consolidated, live } = await createVictim(here.db, 'mine');
    await here.db.query(`update engram.change_ops set before = jsonb_set(before, '{target,text}', '"Zebulon"')`);
    await here.db.query("update engram.observations set text = 'Zebulon' where id = $1", [live]);
    await here.db.query('delete from engram.memories where id = $1', [consolidated]);
    const lines = await exported(here, 'mine');
    await here.db.query("delete from engram.banks where id = 'mine'");
    await here.db.query("insert into engram.erasures (bank_id, memory_id) values ('mine', $1)", [consolidated]);
    await imported(here, lines);
    expect(await tablesWith(here, 'zebulon')).toEqual(['change_ops', 'observations']);
    const deps = await hands(here);
    expect(await carryOutDueErasures(deps)).toBe(1);
    expect(await tablesWith(here, 'zebulon')).toEqual([]);
    const { rowCount } = await here.db.query('select from engram.erasures_due');
    expect(rowCount).toBe(0);
    // Once more, as after a death in between: nothing is left to do.
    await here.db.query("insert into engram.erasures_due values ('mine', $1, now())", [consolidated]);
    expect(await carryOutDueErasures(deps)).toBe(0);
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

  it('of a bank whose name nobody could ask for is taken under another only', async () => {
    for (const bank of ['My Bank / ../x', '-x', 'x'.repeat(129), 'Bu\u0308ro']) {
      const renamed = sealed(lines, (line, at) => {
        const value = JSON.parse(line);
        if (at === 0) return JSON.stringify({ ...value, bank });
        const key = { banks: 'id', idempotency_keys: 'scope', embedding_models: null }[value.table as string];
        if (key !== null) value.row[key ?? 'bank_id'] = bank;
        return JSON.stringify(value);
      });
      const thrown = await refusal(renamed);
      expect(thrown).toMatchObject({ code: 'IMPORT_LINE', line: 1 });
      expect(thrown.message).toMatch(/^line 1: the name of its bank must .*--bank; nothing was imported$/);
      expect(await imported(there, renamed, { bankId: 'named' })).toMatchObject({ bankId: 'named' });
      await there.db.query("delete from engram.banks where id = 'named'");
    }
  });

  it('whose rows the database refuses says which line that was', async () => {
    const at = lines.findIndex((line) => line.startsWith('{"table":"memories"'));
    const changed = sealed(lines, (line, index) =>
      index === at ? line.replace('"kind":"world"', '"kind":"dream"') : line,
    );
    const thrown = await refusal(changed);
    expect(thrown.message).toMatch(new RegExp(`^line ${at + 1}: the database does not take this row of memories: `));
  });

  it('whose lines are written another way is the same file', async () => {
    const turned = sealed(lines, (line, at) => {
      if (at === 0) return line;
      const { table, row } = JSON.parse(line);
      return ` ${JSON.stringify({ row, table })}`;
    });
    expect((await imported(there, turned)).added).toMatchObject({ memories: 4, observations: 5 });
    expect(rowsOf(await exported(there, 'mine'))).toEqual(rowsOf(lines));
  });

  it('with numbers at the end of what a number can be is refused', async () => {
    const huge = (table: string, column: string) =>
      sealed(lines, (line) =>
        line.startsWith(`{"table":"${table}"`)
          ? line.replace(new RegExp(`"${column}":\\d+`), `"${column}":9223372036854775807`)
          : line,
      );
    expect((await refusal(huge('change_ops', 'applied_no'))).message).toMatch(
      /^line \d+: applied_no is larger than 4503599627370496;/,
    );
    expect((await refusal(huge('observations', 'version'))).message).toContain('version is larger than');
    expect((await refusal(huge('snapshots', 'applied_no'))).message).toContain('applied_no is larger than');
  });

  it('with vectors that are not of their model’s length is refused', async () => {
    for (const table of ['memories', 'observations']) {
      const short = withRows(lines, table, ({ embedding }) => ({ embedding: embedding && [1, 2, 3] }));
      expect((await refusal(short)).message).toMatch(
        /^line \d+: a vector of 3 numbers, where local\/fake-512 makes 512;/,
      );
    }
    const text = withRows(lines, 'observations', () => ({ embedding: '{1,2,3}' }));
    expect((await refusal(text)).message).toContain('a vector that is no list of numbers');
    const strange = withRows(lines, 'observations', () => ({ embedding_model: 'other' }));
    expect((await refusal(strange)).message).toContain('a vector of other, a model that the file does not hold');
  });

  it('with another length of a model than this database has is refused', async () => {
    await there.db.query(
      `insert into engram.embedding_models (id, provider, dimensions, is_active) values ('local/fake-512', 'local', 3, false)`,
    );
    expect((await refusal(lines)).message).toMatch(
      /^line 2: vectors of local\/fake-512 have 3 numbers in this database and 512 in the file;/,
    );
  });

  it('with columns that are none, or that the database makes by itself, is refused by its first line', async () => {
    for (const column of ['nonsense', 'content_hash', 'change_xid', 'text']) {
      const changed = sealed(lines, (line, at) => {
        const value = JSON.parse(line);
        if (at === 0) value.columns.memories.push(column);
        else if (value.table === 'memories') value.row[column] ??= null;
        return JSON.stringify(value);
      });
      expect((await refusal(changed)).message).toMatch(
        new RegExp(`^line 1: ${column} of memories is no column that an import writes, or stands there twice;`),
      );
    }
    const without = sealed(lines, (line, at) => {
      if (at > 0) return line;
      const { columns, ...header } = JSON.parse(line);
      const { memories: _, ...rest } = columns;
      return JSON.stringify({ ...header, columns: rest });
    });
    expect((await refusal(without)).message).toContain('a row of memories, whose columns the first line does not name');
  });

  it('with ops out of their order, or a row twice, is refused', async () => {
    const at = lines.findIndex((line) => line.startsWith('{"table":"change_ops"'));
    const counted = (table: string, rows: readonly string[]) => {
      const { end } = JSON.parse(rows.at(-1) ?? '');
      return [
        ...rows.slice(0, -1),
        JSON.stringify({ end: { ...end, rows: { ...end.rows, [table]: end.rows[table] + 1 } } }),
      ];
    };
    const twice = counted('change_ops', lines.toSpliced(at, 0, lines[at] ?? ''));
    expect((await refusal(sealed(twice, (line) => line))).message).toContain(
      'stands behind one that took effect later',
    );
    const memory = lines.findIndex((line) => line.startsWith('{"table":"memories"'));
    const again = counted('memories', lines.toSpliced(memory, 0, lines[memory] ?? ''));
    expect((await refusal(sealed(again, (line) => line))).message).toMatch(
      new RegExp(`^line ${memory + 2}: the database does not take this row of memories: `),
    );
  });

  it('that is written to while it is read is refused', async () => {
    const other = withRows(lines, 'verdicts', () => ({ reason: 'another' }));
    let reads = 0;
    const source: ExportSource = { chunks: () => sourceOf(reads++ === 0 ? lines : other).chunks() };
    await expect(imported(there, [], { source })).rejects.toThrow('the file was changed while it was read');
    expect((await there.db.query('select id from engram.banks')).rows).toEqual([]);
  });

  it('with a line that is longer than any row, or not UTF-8, is refused before it is held', async () => {
    const read = async (bytes: Uint8Array) => {
      const all: string[] = [];
      for await (const line of linesOf(
        {
          chunks: async function* () {
            yield* [bytes];
          },
        },
        8,
      ))
        all.push(line);
      return all;
    };
    expect(await read(Buffer.from('12345678\n1\u2028\r\n\nx'))).toEqual(['12345678', '1\u2028', '', 'x']);
    await expect(read(Buffer.from('1\n123456789'))).rejects.toMatchObject({ code: 'IMPORT_LINE', line: 2 });
    await expect(read(Buffer.from([0x31, 0x0a, 0xff, 0x0a]))).rejects.toThrow('line 2: not UTF-8');
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

it('numbers ops of a file anew, and what counts up to one of them alike', () => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.nat({ max: 1000 })), fc.nat({ max: 1000 }), (picked, upTo) => {
      const theirs = picked.toSorted((a, b) => a - b);
      const ours = theirs.map((_, at) => 50 + 2 * at);
      const numbers = new Renumbering();
      numbers.add(theirs, ours);
      const isUpTo = (number: number) => number <= numbers.upTo(upTo);
      expect(ours.map(isUpTo)).toEqual(theirs.map((number) => number <= upTo));
    }),
  );
});
