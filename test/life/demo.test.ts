import { readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { expect, it } from 'vitest';
import { engramd, spawnEngramd } from '../support/engramd-process.ts';

const leftovers = () => readdirSync(tmpdir()).filter((name) => name.startsWith('engramd-demo-'));

it('shows what it promises, whatever the machine is set to, and leaves nothing behind', async () => {
  const before = leftovers();
  const ended = await engramd(['demo', '--json'], {
    DATABASE_URL: 'postgres://nobody:nothing@127.0.0.1:1/nowhere',
    ENGRAMD_DATA_DIR: '/dev/null/not-a-directory',
    ENGRAMD_DECIDER: 'llm',
    OPENAI_API_KEY: 'sk-hunter2',
  });
  expect(ended.code, ended.stderr).toBe(0);
  const report = JSON.parse(ended.stdout) as { memories: number; ops: Record<string, number>; elapsedMs: number };
  expect(report).toEqual({
    memories: expect.any(Number),
    observations: expect.any(Number),
    ops: expect.any(Object),
    rejected: expect.any(Object),
    pending: 0,
    conflicts: expect.any(Number),
    costUsd: 0,
    elapsedMs: expect.any(Number),
  });
  expect(report.memories).toBeGreaterThanOrEqual(120);
  for (const op of ['create', 'reinforce', 'supersede', 'conflict']) expect(report.ops[op], op).toBeGreaterThan(0);
  expect(leftovers()).toEqual(before);
}, 120_000);

it('clears up after Ctrl-C', async () => {
  const before = leftovers();
  const demo = spawnEngramd(['demo', '--json']);
  let isOver = false;
  void demo.ended.then(() => {
    isOver = true;
  });
  while (leftovers().length === before.length && !isOver) await new Promise((resolve) => setTimeout(resolve, 5));
  demo.child.kill('SIGINT');
  expect(await demo.ended).toMatchObject({ code: 130, stdout: '' });
  expect(leftovers()).toEqual(before);
}, 60_000);
