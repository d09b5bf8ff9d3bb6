import { execFileSync } from 'node:child_process';
import { closeSync, constants, mkdirSync, openSync, readdirSync, writeFileSync } from 'node:fs';
import { open, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { afterAll, afterEach, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import { openIngestSource } from '../../src/cli/ingest-source.ts';
import { spawnEngramd } from '../support/engramd-process.ts';
import { createScratchFolder, removeScratchFolder } from '../support/scratch-folder.ts';
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts';

// A command is a process or two, on a machine that may be busy.
vi.setConfig({ testTimeout: 120_000 });

const folder = createScratchFolder();
const pipe = join(folder, 'pipe');
const temporary = join(folder, 'tmp');
const file = join(folder, 'lines.jsonl');
const content = '{"text":"Mara likes paper"}\n'.repeat(10_000);
let database: TestDatabase;
beforeAll(async () => {
  execFileSync('mkfifo', [pipe]);
  mkdirSync(temporary);
  writeFileSync(file, content);
  database = await createTestDatabase();
});
// Whoever waits there for the other end has it then: a thread that did would keep the tests from ending.
const releasePipe = () => closeSync(openSync(pipe, constants.O_RDWR | constants.O_NONBLOCK));
afterEach(releasePipe);
afterAll(async () => {
  await database.drop();
  removeScratchFolder(folder);
});

describe('a source', () => {
  it('that is a pipe is read once, and can be read twice all the same', async () => {
    const plain = await openIngestSource(file, new PassThrough());
    const [source] = await Promise.all([openIngestSource(pipe, new PassThrough()), writeFile(pipe, content)]);
    expect(source).toMatchObject({ hash: plain.hash, bytes: content.length });
    expect(await text(source.chunks())).toBe(content);
    expect(await text(source.chunks())).toBe(content);
    await source.close();
  });

  it('is stdin by either of its names, and a device too', async () => {
    for (const name of ['-', '/dev/stdin']) {
      const stdin = new PassThrough();
      stdin.end(content);
      const source = await openIngestSource(name, stdin);
      expect(await text(source.chunks())).toBe(content);
      await source.close();
    }
    const nothing = await openIngestSource('/dev/null', new PassThrough());
    expect(nothing.bytes).toBe(0);
    await nothing.close();
  });

  it('that never ends is given up with the signal', async () => {
    const stdin = new PassThrough();
    stdin.write('{');
    for (const name of ['-', pipe]) {
      const over = new AbortController();
      const opening = openIngestSource(name, stdin, over.signal);
      over.abort();
      await expect(opening).rejects.toThrow();
    }
  });

  it.each(['SIGINT', 'SIGTERM'] as const)('that nobody writes to is given up by the command at %s', async (signal) => {
    for (const args of [
      ['ingest', pipe],
      ['import', pipe],
    ]) {
      const env = {
        DATABASE_URL: database.connectionString,
        ENGRAMD_DATA_DIR: join(folder, 'data'),
        TMPDIR: temporary,
      };
      const { child, ended } = spawnEngramd(args, env);
      // It is open as soon as the command reads there, or has ended, and then for this test alone.
      const opening = open(pipe, 'w');
      void ended.then(releasePipe);
      onTestFinished(() => void child.kill('SIGKILL'));
      const writer = await opening;
      child.kill(signal);
      const { code, stderr } = await ended;
      await writer.close();
      expect({ code, stderr }).toEqual({ code: signal === 'SIGINT' ? 130 : 143, stderr: '' });
      expect(readdirSync(temporary)).toEqual([]);
    }
  });
});
