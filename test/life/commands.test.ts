import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { writeDaemonFile } from '../../src/daemon/daemon-file.ts';
import { type Ended, engramd, type RunningDaemon, spawnEngramd, startDaemon } from '../support/engramd-process.ts';
import { createScratchFolder, removeScratchFolder } from '../support/scratch-folder.ts';
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts';

// A command is a process or two, on a machine that may be busy.
vi.setConfig({ testTimeout: 120_000 });

const folder = createScratchFolder();
const withoutDaemon = join(folder, 'nobody');
let database: TestDatabase;

beforeAll(async () => {
  mkdirSync(withoutDaemon);
  database = await createTestDatabase();
});
afterAll(async () => {
  await database.drop();
  removeScratchFolder(folder);
});

function file(name: string, lines: readonly string[]): string {
  const path = join(folder, name);
  writeFileSync(path, `${lines.join('\n')}\n`);
  return path;
}

const json = (ended: Ended) => JSON.parse(ended.stdout) as Record<string, unknown>;

describe('without a daemon, on DATABASE_URL', () => {
  const run = (args: readonly string[], stdin = '') =>
    engramd([...args, '--data-dir', withoutDaemon], { DATABASE_URL: database.connectionString }, stdin);

  it('keeps good lines, lists bad ones with their reason, and adds nothing the second time', async () => {
    const path = file('mixed.jsonl', [
      '{"text": "Priti packs the orders.", "mentioned_at": "2026-03-02T08:11:00Z"}',
      '{"text": "Priti packs the orders."',
      '',
      '{"text": "Anna Berg does the accounting.", "tag": ["x"]}',
      '{"text": "Anna Lind is the designer."}',
    ]);
    const first = await run(['ingest', path, '--bank', 'lines', '--json']);
    expect(first.code).toBe(1);
    expect(json(first)).toMatchObject({
      added: 2,
      duplicates: 0,
      bad: [
        { line: 2, reason: expect.stringContaining('not valid JSON') },
        { line: 4, reason: 'tag: unknown field' },
      ],
    });

    const second = await run(['ingest', path, '--bank', 'lines']);
    expect(second).toMatchObject({ code: 1, stdout: '0 added, 2 there already, 2 bad lines\n' });
    expect(second.stderr).toContain(`${path}:4: tag: unknown field`);
  });

  it('takes the same lines from stdin twice and adds them once', async () => {
    const lines = '{"text": "The kiln is booked on Fridays."}\n{"text": "The kiln is booked on Fridays."}\n';
    expect(json(await run(['ingest', '-', '--json'], lines))).toMatchObject({ added: 2, duplicates: 0, bad: [] });
    expect(json(await run(['ingest', '-', '--json'], lines))).toMatchObject({ added: 0, duplicates: 2, bad: [] });
  });

  it('sends a file larger than one request may be', async () => {
    const text = 'x'.repeat(15_000);
    const lines = Array.from({ length: 120 }, (_, index) => JSON.stringify({ text: `${index} ${text}` }));
    const ended = await run(['ingest', file('large.jsonl', lines), '--bank', 'large', '--json']);
    expect(json(ended)).toMatchObject({ added: 120 });
    // Nobody should have to embed that.
    expect((await run(['banks', 'delete', 'large'])).code).toBe(0);
  });

  it('remembers, and works off by itself what no daemon would', async () => {
    const bank = ['--bank', 'alone'];
    for (const text of ['The standup is at 9:30.', 'THE STANDUP IS AT 9:30!']) {
      expect((await run(['remember', text, ...bank])).code).toBe(0);
    }
    const consolidated = await run(['consolidate', ...bank, '--json']);
    expect(json(consolidated)).toMatchObject({ memories: 2, ops: { create: 1, reinforce: 1 }, pending: 0 });
    expect((await run(['jobs', 'list'])).stdout).toContain('consolidate');
  });

  it('says what it ignores once, on stderr, and shows no key', async () => {
    const ended = await engramd(['banks', 'list', '--json', '--data-dir', withoutDaemon], {
      DATABASE_URL: database.connectionString,
      OPENAI_API_KEY: 'sk-hunter2',
      ENGRAMD_HTPP_PORT: '1',
    });
    expect(ended.code).toBe(0);
    expect(() => json(ended)).not.toThrow();
    expect(ended.stderr.match(/did you mean ENGRAMD_HTTP_PORT\?/g)).toHaveLength(1);
    expect(ended.stderr).not.toContain('hunter2');
  });

  it.each([
    ['an unknown command', ['nonsense'], 2],
    ['no command', [], 2],
    ['an unknown option', ['recall', 'x', '--nonsense'], 2],
    ['a missing argument', ['recall'], 2],
    ['a number out of range', ['recall', 'x', '--limit', '0'], 2],
    ['a choice that is none', ['remember', 'x', '--kind', 'dream'], 2],
    ['an impossible date', ['remember', 'x', '--at', '2026-02-30'], 2],
    ['an empty text', ['remember', ' '], 2],
    ['an empty bank name', ['remember', 'x', '--bank', ''], 2],
    ['a file that is not there', ['ingest', '/no/such/file'], 2],
    ['a bad setting', ['banks', 'list', '--log-level', 'loud'], 2],
    ['an id that is none', ['explain', 'x', '--bank', 'lines'], 2],
    ['a bank that is not there', ['changes', 'list', '--bank', 'nowhere'], 1],
    ['a daemon that is not there', ['status'], 3],
    ['help', ['help'], 0],
    ['help for a command', ['recall', '--help'], 0],
    ['the version', ['--version'], 0],
  ])('ends with its code after %s', async (_, args, code) => {
    const ended = await run(args);
    expect(ended.code, ended.stderr).toBe(code);
    if (code !== 0) expect(ended.stderr).not.toBe('');
  });

  it('lists what can be done with changes in one style', async () => {
    const { stdout } = await run(['changes', '--help']);
    const lines = stdout.split('\n').filter((line) => /^ {2}(list|show|diff|approve|reject|undo)\b/.test(line));
    expect(lines).toHaveLength(6);
    for (const line of lines) expect(line).toMatch(/ {2}[a-z][^.]*$/);
  });

  it('makes and deletes banks, and refuses one that is there', async () => {
    expect(await run(['banks', 'create', 'größe:1', '--mission', 'a name to escape'])).toMatchObject({
      code: 0,
      stdout: 'größe:1\n',
    });
    expect((await run(['banks', 'create', 'größe:1'])).code).toBe(4);
    expect((await run(['banks', 'list'])).stdout).toContain('größe:1');
    expect((await run(['banks', 'delete', 'größe:1'])).code).toBe(0);
    expect((await run(['banks', 'delete', 'größe:1'])).code).toBe(1);
  });

  it('ends quietly when nobody reads the answer', async () => {
    const { child, ended } = spawnEngramd(['help']);
    child.stdout?.destroy();
    expect(await ended).toMatchObject({ code: 0, stderr: '' });
  });

  it('shows the settings without their secrets', async () => {
    const ended = await run(['config', 'print', '--json']);
    expect(JSON.parse(ended.stdout)).toMatchObject({ ENGRAMD_DATA_DIR: { source: 'flag --data-dir' } });
    expect(ended.stdout).not.toContain(new URL(database.connectionString).password || 'no password to show');
  });

  it('finds nothing wrong', async () => {
    const ended = await run(['doctor', '--json']);
    expect(ended.code, ended.stdout).toBe(0);
    const { findings } = json(ended) as { findings: { check: string; status: string }[] };
    expect(findings.map(({ check }) => check)).toEqual([
      'node',
      'settings',
      'data directory',
      'backup directory',
      'daemon',
      'database',
      'rights',
      'pgvector',
      'clock',
      'migrations',
      'queue',
      'backups',
      'decider',
      'budget',
      'embedder',
    ]);
  });
});

it('sends nothing to a stranger who listens where a daemon once did', async () => {
  const dataDir = join(folder, 'stale');
  mkdirSync(dataDir);
  const asked: string[] = [];
  const stranger = createServer((request, response) => {
    asked.push(request.url ?? '');
    response.end('{"status":"alive"}');
  }).listen(0, '127.0.0.1');
  await once(stranger, 'listening');
  const address = stranger.address();
  await writeDaemonFile(dataDir, {
    url: `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}`,
    pid: 1,
    instanceId: '0198c1f0-0000-7000-8000-000000000001',
    version: '0.1.0',
    startedAt: '2026-03-02T07:58:00.000Z',
  });
  const ended = await engramd(['status', '--data-dir', dataDir], { ENGRAMD_API_TOKEN: 'sesame' });
  stranger.close();
  expect(ended.code).toBe(3);
  expect(asked).toEqual(['/healthz']);
});

describe('with a daemon', () => {
  let daemon: RunningDaemon;
  const dataDir = join(folder, 'daemon');
  const token = { ENGRAMD_API_TOKEN: 'sesame' };

  beforeAll(async () => {
    daemon = await startDaemon(dataDir, { ...token, DATABASE_URL: database.connectionString });
  });
  afterAll(async () => {
    daemon.child.kill('SIGTERM');
    expect((await daemon.ended).code).toBe(0);
  });

  // Without DATABASE_URL: what is found there is found through the daemon.
  const run = (args: readonly string[], env: Record<string, string> = token) =>
    engramd([...args, '--data-dir', dataDir], env);

  it('goes through it: what was remembered is consolidated, recalled and explained', async () => {
    const bank = ['--bank', 'story'];
    for (const text of ['Tom cooks on Saturdays.', 'On Saturdays Tom cooks.']) {
      expect(json(await run(['remember', text, ...bank, '--json']))).toMatchObject({ added: 1 });
    }
    expect(json(await run(['consolidate', '--dry-run', ...bank, '--json']))).toMatchObject({ memories: 2 });
    expect((await run(['consolidate', '--wait', ...bank])).stdout).toMatch(
      /^2 memories consolidated: 1 create, 1 reinforce/,
    );

    const recalled = json(await run(['recall', 'when does Tom cook', '--only', 'observations', ...bank, '--json']));
    const [item] = recalled.items as { id: string; evidence: number }[];
    expect(item).toMatchObject({ evidence: 2 });
    expect((await run(['explain', item?.id ?? '', ...bank])).stdout).toMatch(
      /rests on 2 memories[\s\S]*create[\s\S]*reinforce/,
    );
    const { changes } = json(await run(['changes', 'list', ...bank, '--json'])) as { changes: { id: string }[] };
    expect((await run(['changes', 'diff', changes[0]?.id ?? '', ...bank])).stdout).toContain('Tom cooks on Saturdays.');
    expect((await run(['changes', 'show', changes[0]?.id ?? '', ...bank])).stdout).toContain('why: ');
  });

  it('asks it how it is', async () => {
    const status = await run(['status', '--json']);
    expect(json(status)).toMatchObject({ instance_id: daemon.file.instanceId, condition: 'ready' });
    expect(json(await run(['jobs', 'retry', '--json']))).toEqual({ jobs: 0, memories: 0, scores: 0 });
    expect((await run(['doctor'], { ...token, DATABASE_URL: database.connectionString })).stdout).toContain('answers');
  });

  it('says that the token is another', async () => {
    const ended = await run(['banks', 'list'], { ENGRAMD_API_TOKEN: 'wrong' });
    expect(ended).toMatchObject({ code: 2, stderr: expect.stringContaining('ENGRAMD_API_TOKEN') });
  });

  it('follows a daemon that has moved, and not one that is gone', async () => {
    const old = daemon.file;
    daemon.child.kill('SIGKILL');
    await daemon.ended;
    expect((await run(['status'])).code).toBe(3);
    daemon = await startDaemon(dataDir, { ...token, DATABASE_URL: database.connectionString });
    expect(daemon.file.instanceId).not.toBe(old.instanceId);
    expect((await run(['status'])).code).toBe(0);
  });
});
