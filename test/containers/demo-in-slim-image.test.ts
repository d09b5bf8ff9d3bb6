import { afterAll, describe, expect, test } from 'vitest';
import type { DemoReport } from '../../src/cli/demo/run-demo.ts';

/*
 * The demo in an image that has Node and nothing else: no user `postgres`, no locale, no writable checkout. This
 * checkout is mounted read-only, so that whatever the demo writes goes to its temporary folder or fails.
 */

const image = 'node:24-bookworm-slim';
const checkout = new URL('../..', import.meta.url).pathname;

const start = await startContainer();
if (start.kind === 'unavailable') console.warn(`skipped: the demo in ${image} takes a container, and ${start.reason}`);
const container = start.kind === 'started' ? start.container : undefined;
afterAll(() => container?.stop({ timeout: 1 }));

async function startContainer() {
  // Loaded only here: it looks for an engine as it loads.
  const { GenericContainer } = await import('testcontainers');
  try {
    const container = await new GenericContainer(image)
      .withBindMounts([{ source: checkout, target: '/app', mode: 'ro' }])
      .withCommand(['sleep', 'infinity'])
      .start();
    return { kind: 'started', container } as const;
  } catch (thrown) {
    const message = thrown instanceof Error ? thrown.message : String(thrown);
    if (!/container runtime/i.test(message)) throw thrown;
    return { kind: 'unavailable', reason: 'no container engine answers' } as const;
  }
}

function run(command: string[], user: string) {
  if (!container) throw new Error('no container');
  return container.exec(command, { user, workingDir: '/app' });
}

describe.skipIf(!container)(image, () => {
  test('has no user postgres', async () => {
    expect((await run(['id', 'postgres'], 'root')).exitCode).not.toBe(0);
  });

  test.for([
    ['root', '0'],
    ['node', '1000'],
  ] as const)('the demo runs as %s', async ([user, uid]) => {
    expect((await run(['id', '-u'], user)).stdout.trim()).toBe(uid);
    const { exitCode, stdout, stderr } = await run(['node', 'src/main.ts', 'demo', '--json'], user);
    expect(exitCode, stderr).toBe(0);
    const report = JSON.parse(stdout) as DemoReport;
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
    expect(report.conflicts).toBeGreaterThan(0);

    // Nothing stays behind: no folder, no server.
    expect((await run(['ls', '-A', '/tmp'], 'root')).stdout.trim()).toBe('');
    const processes = await run(['sh', '-c', 'cat /proc/[0-9]*/comm'], 'root');
    expect(processes.stdout).not.toContain('postgres');
  });
});
