import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { it, vi } from 'vitest';
import { reasonOfDeath } from '../../../src/daemon/exit-reasons.ts';
import { killLogPath, readKillLog } from '../../../src/daemon/watchdog/kill-log.ts';
import { createScratchFolder, removeScratchFolder } from '../../support/scratch-folder.ts';
import { startWatched, type Watched, type WatchedOptions } from './watched-process.ts';

type Finished = (done: () => Promise<void>) => void;

function scratch(onTestFinished: Finished): string {
  const folder = createScratchFolder();
  onTestFinished(async () => removeScratchFolder(folder));
  return folder;
}

function start(onTestFinished: Finished, given: WatchedOptions): Watched {
  // A killed one leaves its socket behind; to make way for the next is not the watchdog's part.
  rmSync(join(given.folder, 'control.sock'), { force: true });
  const watched = startWatched(given);
  onTestFinished(async () => {
    watched.child.kill('SIGKILL');
    await watched.ended;
  });
  return watched;
}

// Side by side: most of it is waiting for strikes.
it.concurrent('kills a process whose event loop is blocked and says by what; after three kills it needs an operator instead', async ({
  expect,
  onTestFinished,
}) => {
  const folder = scratch(onTestFinished);
  for (const instanceId of ['first', 'second', 'third']) {
    const watched = start(onTestFinished, { folder, instanceId });
    await watched.probed(1);
    expect(await watched.view()).toMatchObject({ needsOperator: null, gauge: 0 });
    watched.tell('spin');
    expect(await watched.ended).toMatchObject({ signal: 'SIGKILL' });

    const record = readKillLog(killLogPath(folder)).at(-1);
    expect(record).toMatchObject({ instanceId, pid: watched.child.pid, strikes: 3, killed: true });
    expect(record?.stack?.[0]).toMatch(/^spinForEver file:.*watched\.ts:\d+$/);
    expect(reasonOfDeath(folder, instanceId)).toMatch(/^killed by its watchdog: no good answer for [\d.]+ s, 3 probes/);
    const lines = watched.stderr().trimEnd().split('\n');
    expect(JSON.parse(lines.at(-1) ?? '')).toMatchObject({ level: 60, msg: expect.stringContaining('watchdog kills') });
  }

  const fourth = start(onTestFinished, { folder, instanceId: 'fourth' });
  await fourth.probed(1);
  expect(await fourth.view()).toMatchObject({
    needsOperator: expect.stringContaining('3 times within 10 min'),
    gauge: 1,
  });
  expect(fourth.stderr().match(/"level":60/g)).toHaveLength(1);
  fourth.tell('spin');
  await vi.waitFor(() => expect(readKillLog(killLogPath(folder)).at(-1)).toMatchObject({ strikes: 3 }), 10_000);
  expect(readKillLog(killLogPath(folder)).at(-1)).toMatchObject({
    instanceId: 'fourth',
    killed: false,
    reason: expect.stringMatching(/^not killed, needs an operator/),
    stack: expect.arrayContaining([expect.stringContaining('spinForEver')]),
  });
  await vi.waitFor(() => expect(fourth.stderr()).toContain('would kill this process'), 10_000);
  expect(fourth.child.exitCode ?? fourth.child.signalCode).toBeNull();
  expect(reasonOfDeath(folder, 'fourth')).toMatch(/^died without a stop, after its watchdog had said: not killed/);
});

it.concurrent('kills one that is stuck in native code, where there is no stack to be had', async ({
  expect,
  onTestFinished,
}) => {
  const folder = scratch(onTestFinished);
  const watched = start(onTestFinished, { folder, instanceId: 'native' });
  await watched.probed(1);
  watched.tell('read');
  expect(await watched.ended).toMatchObject({ signal: 'SIGKILL' });
  expect(readKillLog(killLogPath(folder))).toMatchObject([{ instanceId: 'native', killed: true, stack: null }]);
});

it.concurrent('ends the first process of a container as well, which the kernel spares from its own SIGKILL', async ({
  expect,
  onTestFinished,
}) => {
  const watched = start(onTestFinished, { folder: scratch(onTestFinished), instanceId: 'init', isSpared: true });
  await watched.probed(1);
  watched.tell('spin');
  expect(await watched.ended).toEqual({ code: 137, signal: null });
});

it.concurrent('lets one live that was suspended, and whose database is down, and holds it open for nobody', {
  timeout: 90_000,
}, async ({ expect, onTestFinished }) => {
  const folder = scratch(onTestFinished);
  // Slow enough that a probe is under way at any time, and suspended for longer than it may take and be late.
  const watched = start(onTestFinished, { folder, instanceId: 'laptop', answerAfterMs: 80, timeoutMs: 1000 });
  await watched.probed(3);
  watched.child.kill('SIGSTOP');
  await new Promise((resolve) => setTimeout(resolve, 2000));
  watched.child.kill('SIGCONT');
  const { probes } = await watched.view();
  await watched.probed(probes.good + 3);
  expect((await watched.view()).probes.missed).toBe(0);
  watched.tell('leave');
  expect(await watched.ended).toEqual({ code: 0, signal: null });
  expect(readKillLog(killLogPath(folder))).toEqual([]);
});

it.concurrent('lets one live whose socket file somebody removed, and has it made again; kills it when it is stuck as well', async ({
  expect,
  onTestFinished,
}) => {
  const folder = scratch(onTestFinished);
  const watched = start(onTestFinished, { folder, instanceId: 'cleaned' });
  await watched.probed(1);
  const socket = join(folder, 'control.sock');
  rmSync(socket);
  await vi.waitFor(() => expect(existsSync(socket)).toBe(true), 10_000);
  const { probes } = await watched.view();
  // More than it takes to be killed.
  await watched.probed(probes.good + 5);
  expect((await watched.view()).probes.missed).toBe(0);
  expect(watched.stderr()).toContain('made again');
  watched.tell('spin');
  rmSync(socket);
  expect(await watched.ended).toMatchObject({ signal: 'SIGKILL' });
  expect(readKillLog(killLogPath(folder))).toMatchObject([{ killed: true, reason: expect.stringContaining('ENOENT') }]);
});

it.concurrent('lets one live whose socket cannot be made again, and says so once', async ({
  expect,
  onTestFinished,
}) => {
  const folder = scratch(onTestFinished);
  const watched = start(onTestFinished, { folder, instanceId: 'mute', cannotListenAgain: true });
  await watched.probed(1);
  rmSync(join(folder, 'control.sock'));
  await vi.waitFor(() => expect(watched.stderr()).toContain('not mine to make'), 10_000);
  const { probes } = await watched.view();
  await watched.probed(probes.good + 5);
  expect((await watched.view()).probes.missed).toBe(0);
  expect(watched.stderr().trimEnd().split('\n')).toHaveLength(1);
  expect(readKillLog(killLogPath(folder))).toEqual([]);
});
