import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { addExport } from '../../src/cli/export.ts';
import { addImport } from '../../src/cli/import.ts';
import { pour, writeWhole } from '../../src/cli/write-whole.ts';
import { createVictim } from '../store/victim-bank.ts';
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts';
import { runCommand } from './run-command.ts';

let here: TestDatabase;
let there: TestDatabase;
let folder: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'engramd-test-'));
  here = await createTestDatabase();
  there = await createTestDatabase();
  await createVictim(here.db, 'mine');
});
afterAll(async () => {
  rmSync(folder, { recursive: true, force: true });
  await here.drop();
  await there.drop();
});

const envOf = ({ connectionString }: TestDatabase) => ({
  DATABASE_URL: connectionString,
  ENGRAMD_DATA_DIR: join(folder, 'data'),
});
const exports = (...args: string[]) => runCommand(addExport, ['export', ...args], { env: envOf(here) });
const imports = (...args: string[]) => runCommand(addImport, ['import', ...args], { env: envOf(there) });

it('moves a bank through a file that nobody else may read, whole or not at all', async () => {
  const file = join(folder, 'mine.jsonl');
  const out = await exports(file, '--bank', 'mine');
  expect(out).toMatchObject({ exitCode: 0, error: undefined });
  expect(out.stdout).toMatch(/^\d+ rows of bank mine written to /);
  expect(statSync(file).mode & 0o777).toBe(0o600);
  expect(readdirSync(folder)).toEqual(['mine.jsonl']);

  const first = await imports(file, '--json');
  expect(JSON.parse(first.stdout)).toMatchObject({ bankId: 'mine', added: { memories: 4, observations: 5 } });
  expect((await imports(file)).stdout).toMatch(/^bank mine has all \d+ rows already\n$/);
  expect((await imports(file, '--bank', 'copy')).stdout).toMatch(/^bank copy: .*4 memories/);
});

it('takes the place of a file that all may read, and leaves what others called a part of it', async () => {
  const file = join(folder, 'own.jsonl');
  writeFileSync(file, 'old');
  chmodSync(file, 0o666);
  writeFileSync(`${file}.part`, 'of others');
  await exports(file, '--bank', 'mine');
  expect(statSync(file).mode & 0o777).toBe(0o600);
  expect(readFileSync(`${file}.part`, 'utf8')).toBe('of others');
  rmSync(`${file}.part`);
});

it('two writers of one file each write the whole of it, and the last has the name', async () => {
  const file = join(folder, 'both.txt');
  const begun = Promise.withResolvers<void>();
  const half = Promise.withResolvers<void>();
  const slow = async function* () {
    yield 'slow 1';
    begun.resolve();
    await half.promise;
    yield 'slow 2';
  };
  const quick = async function* () {
    yield 'quick';
  };
  const first = writeWhole(file, slow());
  await begun.promise;
  await writeWhole(file, quick());
  expect(readFileSync(file, 'utf8')).toBe('quick\n');
  half.resolve();
  await first;
  expect(readFileSync(file, 'utf8')).toBe('slow 1\nslow 2\n');
  expect(readdirSync(folder).filter((name) => name.startsWith('both'))).toEqual(['both.txt']);
});

it('writes far more than fits in a buffer, and leaves nobody listening', async () => {
  let mostListeners = 0;
  const to = new Writable({
    highWaterMark: 1,
    write(_chunk, _encoding, done) {
      mostListeners = Math.max(mostListeners, to.listenerCount('error'), to.listenerCount('close'));
      setImmediate(done);
    },
  });
  const lines = async function* () {
    for (let n = 0; n < 30; n += 1) yield String(n);
  };
  await pour(lines(), to);
  expect(mostListeners).toBeLessThan(5);
});

it('writes to where a link points, and into a pipe', async () => {
  const link = join(folder, 'link.jsonl');
  symlinkSync('pointed-at.jsonl', link);
  await exports(link, '--bank', 'mine');
  await exports(link, '--bank', 'mine');
  expect(lstatSync(link).isSymbolicLink()).toBe(true);
  const written = readFileSync(join(folder, 'pointed-at.jsonl'), 'utf8');
  expect(written).toContain('"sha256"');

  const pipe = join(folder, 'pipe');
  execFileSync('mkfifo', [pipe]);
  const [read, out] = await Promise.all([readFile(pipe, 'utf8'), exports(pipe, '--bank', 'mine')]);
  expect(out).toMatchObject({ exitCode: 0, error: undefined });
  expect(read.split('\n').slice(1)).toEqual(
    written
      .split('\n')
      .slice(1)
      .with(-2, read.split('\n').at(-2) ?? ''),
  );
  expect(lstatSync(pipe).isFIFO()).toBe(true);
  expect(readdirSync(folder).filter((name) => name.endsWith('.part'))).toEqual([]);
});

it('erases again what was forgotten here and came back with a whole bank', async () => {
  const file = join(folder, 'again.jsonl');
  await exports(file, '--bank', 'mine');
  const { rows } = await there.db.query<{ id: string }>(
    "select id from engram.memories where bank_id = 'mine' and state = 'consolidated'",
  );
  await there.db.query('insert into engram.erasures (bank_id, memory_id) values ($1, $2)', ['third', rows[0]?.id]);
  expect((await imports(file, '--bank', 'third')).stdout).toContain('1 memories were forgotten here and stay so');
  const left = await there.db.query("select from engram.memories where bank_id = 'third' and state = 'consolidated'");
  expect(left.rowCount).toBe(0);
  expect((await there.db.query('select from engram.erasures_due')).rowCount).toBe(0);
});

it('says what is wrong: no such bank, a file that cannot be written or read, a bad name, a bad line', async () => {
  expect((await exports(join(folder, 'x.jsonl'), '--bank', 'nobody')).error).toMatchObject({ code: 'BANK_UNKNOWN' });
  expect((await exports(join(folder, 'no', 'x.jsonl'), '--bank', 'mine')).error).toMatchObject({ exitCode: 2 });
  expect((await exports('--bank', 'mine', '--json')).error).toMatchObject({ exitCode: 2 });
  expect((await imports(join(folder, 'nothing.jsonl'))).error).toMatchObject({ exitCode: 2 });
  const file = join(folder, 'bad.jsonl');
  writeFileSync(file, `${readFileSync(join(folder, 'mine.jsonl'), 'utf8').split('\n').slice(0, 5).join('\n')}\n`);
  expect((await imports(file, '--bank', 'a b')).error).toMatchObject({ exitCode: 2 });
  expect((await imports(file)).error).toMatchObject({ code: 'IMPORT_LINE', line: 5 });
  expect(readdirSync(folder).filter((name) => name.startsWith('x.jsonl'))).toEqual([]);
});
