import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { Readable, Writable } from 'node:stream';
import { Command, CommanderError } from 'commander';
import { v7 as uuid } from 'uuid';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { addDigest } from '../../src/cli/digest.ts';
import { createTerminal } from '../../src/cli/terminal.ts';
import { localDay } from '../../src/models/local-day.ts';
import { type Digest, makeDigest } from '../../src/store/digests.ts';
import { systemClock } from '../../src/telemetry/clock.ts';
import { createScratchFolder, removeScratchFolder } from '../support/scratch-folder.ts';
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts';

const folder = createScratchFolder();
const dataDir = join(folder, 'data');
let database: TestDatabase;
let nights: Digest[];
beforeAll(async () => {
  mkdirSync(dataDir);
  database = await createTestDatabase();
  const instance = uuid();
  await database.db.query(
    "insert into engram.instances (id, role, host, pid, version) values ($1, 'daemon', 'here', 1, '0')",
    [instance],
  );
  nights = [];
  for (let n = 0; n < 2; n += 1) {
    const cycleId = uuid();
    await database.db.query(
      `insert into engram.sleep_cycles (id, trigger, is_forced, instance_id, finished_at, outcome)
       values ($1, 'idle', false, $2, now(), 'clean')`,
      [cycleId, instance],
    );
    nights.push(await makeDigest(database.db, { id: uuid(), cycleId }));
  }
});
afterAll(async () => {
  await database.drop();
  removeScratchFolder(folder);
});

/** The command in this process, which costs a tenth of a process of its own. */
async function run(...args: readonly string[]) {
  const written = { stdout: '', stderr: '' };
  const stream = (to: keyof typeof written) =>
    new Writable({
      write(chunk, _encoding, done) {
        written[to] += String(chunk);
        done();
      },
    });
  const stderr = stream('stderr');
  const program = new Command()
    .option('--json')
    .exitOverride()
    .configureOutput({ writeErr: (text) => void stderr.write(text) });
  addDigest(program, {
    terminal: createTerminal(stream('stdout'), stderr, {}),
    env: { DATABASE_URL: database.connectionString, ENGRAMD_DATA_DIR: dataDir },
    stdin: Readable.from([]),
    clock: systemClock,
    interruptible: (work) => work(new AbortController().signal),
    exitWith: () => undefined,
  });
  // Each command parses on its own, and ends the process by itself unless told not to.
  for (const command of program.commands) command.copyInheritedSettings(program);
  const thrown: unknown = await program.parseAsync(['node', 'engramd', 'digest', ...args]).then(
    () => null,
    (error: unknown) => error,
  );
  return { ...written, thrown };
}

it('prints the last night, those of a day, and a list', async () => {
  const day = localDay(nights[1]?.toAt ?? new Date());
  const ids = nights.map(({ id }) => id);
  expect(await run()).toEqual({ stdout: `Night of ${day}: nothing changed.\n`, stderr: '', thrown: null });
  const ofDay = JSON.parse((await run('--date', day, '--json')).stdout);
  expect(ofDay.digests.map(({ id }: { id: string }) => id)).toEqual(ids);
  const list = await run('--list');
  expect(list.stdout.split('\n').map((line) => ids.findIndex((id) => line.endsWith(id)))).toEqual([-1, 1, 0, -1]);
  const page = JSON.parse((await run('--list', '--limit', '1', '--json')).stdout);
  expect(page).toMatchObject({ digests: [{ id: ids[1], counts: { added: 0, usd: 0 } }] });
  expect(page.next_cursor).not.toBeNull();
});

it('says so where no night ended on the day, and refuses a day that is none', async () => {
  expect(await run('--date', '2001-02-03')).toEqual({
    stdout: '',
    stderr: 'no night ended on 2001-02-03\n',
    thrown: null,
  });
  expect((await run('--date', '2099-01-01', '--json')).stdout).toBe('{"digests":[]}\n');
  const { stderr, thrown } = await run('--date', '2026-02-30');
  expect(thrown).toBeInstanceOf(CommanderError);
  expect(stderr).toContain('expected a day, YYYY-MM-DD');
});
