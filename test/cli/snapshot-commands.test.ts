import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { v7 as uuid } from 'uuid';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { CommandContext } from '../../src/cli/command-context.ts';
import { addRecall } from '../../src/cli/recall.ts';
import { addSnapshot } from '../../src/cli/snapshot.ts';
import { systemClock } from '../../src/telemetry/clock.ts';
import { createScratchFolder, removeScratchFolder } from '../support/scratch-folder.ts';
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts';
import { runCommand } from './run-command.ts';

const folder = createScratchFolder();
const dataDir = join(folder, 'data');
let database: TestDatabase;
const tea = uuid();
beforeAll(async () => {
  mkdirSync(dataDir);
  database = await createTestDatabase();
  await database.db.query(`insert into engram.banks (id) values ('default')`);
  await database.db.query(`insert into engram.memories (bank_id, id, text) values ('default', $1, 'Ana drinks tea.')`, [
    tea,
  ]);
});
afterAll(async () => {
  await database.drop();
  removeScratchFolder(folder);
});

const run = (add: (program: Command, context: CommandContext) => void, ...args: readonly string[]) =>
  runCommand(add, args, {
    env: { DATABASE_URL: database.connectionString, ENGRAMD_DATA_DIR: dataDir },
    clock: systemClock,
  });
const snapshot = (...args: readonly string[]) => run(addSnapshot, 'snapshot', ...args);
const recall = (...args: readonly string[]) => run(addRecall, 'recall', ...args);

it('snapshot now, list and diff; recall --as-of answers as then, and its errors are of the user', async () => {
  const [{ at } = { at: '' }] = (
    await database.db.query<{ at: string }>(
      `select to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as at`,
    )
  ).rows;
  expect((await snapshot('now')).stdout).toContain('1 memories, 0 observations (0 live)');
  await database.db.query(`update engram.memories set text = 'Ana drinks green tea.' where id = $1`, [tea]);

  expect(JSON.parse((await snapshot('list', '--json')).stdout).snapshots).toHaveLength(1);
  const diff = await snapshot('diff', 'latest');
  expect(diff.stdout).toContain('memories: 1 changed\nobservations: nothing\n');
  expect(diff.stdout).toContain('Ana drinks green tea. (what it said on the other side was not kept)');
  expect((await snapshot('diff', 'latest~4')).error).toMatchObject({ exitCode: 1, code: 'SNAPSHOT_NOT_FOUND' });
  expect((await snapshot('diff', 'now', 'latest')).error).toMatchObject({
    code: 'USAGE',
    exitCode: 2,
    message: 'the first of the two has to be a snapshot; only the second may be "now"',
  });

  const then = await recall('tea', '--as-of', at);
  expect(then).toMatchObject({ stdout: 'nothing found\n', error: undefined });
  expect(then.stderr).toContain('1 memory was edited since');
  expect((await recall('tea', '--as-of', '2999-01-01T00:00:00Z')).error).toMatchObject({
    exitCode: 2,
    code: 'AS_OF_IN_THE_FUTURE',
  });
});
