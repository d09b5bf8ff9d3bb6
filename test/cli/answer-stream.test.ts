import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, mkdirSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { PassThrough, Writable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { AnswerError, watchAnswer } from '../../src/cli/answer-stream.ts';
import { spawnEngramd } from '../support/engramd-process.ts';
import { createScratchFolder, removeScratchFolder } from '../support/scratch-folder.ts';
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts';

// A command is a process or two, on a machine that may be busy.
vi.setConfig({ testTimeout: 120_000 });

const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url));
const folder = createScratchFolder();
const dataDir = join(folder, 'data');
let database: TestDatabase;
let env: Record<string, string>;
beforeAll(async () => {
  mkdirSync(dataDir);
  database = await createTestDatabase();
  env = { DATABASE_URL: database.connectionString, ENGRAMD_DATA_DIR: dataDir };
  await database.db.query(`insert into engram.banks (id) values ('default')`);
  await database.db.query(
    `insert into engram.memories (bank_id, id, text)
     select 'default', gen_random_uuid(), n || repeat(' and so on', 100) from generate_series(1, 1000) n`,
  );
});
afterAll(async () => {
  await database.drop();
  removeScratchFolder(folder);
});

/** What commands left open behind them. */
async function leftOpen(): Promise<number> {
  const { rows } = await database.db.query<{ all: number; open: number }>(
    'select count(*)::int as all, count(*) filter (where stopped_at is null)::int as open from engram.instances',
  );
  expect(rows[0]?.all).toBeGreaterThan(0);
  return rows[0]?.open ?? Number.NaN;
}

describe('an answer that nobody takes', () => {
  it('ends an export whose reader has gone without a word, and closes what was open', async () => {
    const { child, ended } = spawnEngramd(['export'], env);
    child.stdout?.destroy();
    expect(await ended).toMatchObject({ code: 0, stderr: '' });
    expect(await leftOpen()).toBe(0);
  });

  it.runIf(existsSync('/dev/full'))(
    'is told on stderr where the disk is full, of a long answer and a short one',
    async () => {
      for (const args of [['export'], ['banks', 'list', '--json'], ['--version']]) {
        const full = openSync('/dev/full', 'w');
        const child = spawn(process.execPath, [main, ...args], {
          // Nothing of this machine's settings: one that engramd does not know is an error of its own.
          env: { PATH: process.env.PATH, HOME: process.env.HOME, ...env },
          stdio: ['ignore', full, 'pipe'],
        });
        closeSync(full);
        const [stderr, [code]] = await Promise.all([child.stderr ? text(child.stderr) : '', once(child, 'close')]);
        expect(stderr).toMatch(/^engramd: the answer cannot be written to stdout: ENOSPC.*\n$/);
        expect(code).toBe(1);
      }
      expect(await leftOpen()).toBe(0);
    },
  );

  it('is told from one whose reader has gone, and is told but once', async () => {
    const failing = (code: string) =>
      new Writable({ write: (_chunk, _encoding, done) => done(Object.assign(new Error('no'), { code })) });
    for (const [code, isReaderGone] of [
      ['EPIPE', true],
      ['EIO', false],
    ] as const) {
      const stdout = failing(code);
      const answer = watchAnswer(stdout);
      stdout.write('x');
      await answer.flush();
      expect(answer.failed.reason).toBeInstanceOf(AnswerError);
      expect(answer.failed.reason).toMatchObject({ isReaderGone, code: 'ANSWER_UNWRITABLE' });
    }
    const well = watchAnswer(new PassThrough());
    await well.flush();
    expect(well.failed.aborted).toBe(false);
  });
});
