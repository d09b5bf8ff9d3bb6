import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { Command } from 'commander';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import type { StatusDocument } from '../../src/api/status-board.ts';
import type { CommandContext } from '../../src/cli/command-context.ts';
import { addPause } from '../../src/cli/pause.ts';
import { addResume } from '../../src/cli/resume.ts';
import { addSleep } from '../../src/cli/sleep.ts';
import { addStatus } from '../../src/cli/status.ts';
import type { Life } from '../../src/cli/status-view/life-words.ts';
import { addWake } from '../../src/cli/wake.ts';
import { writeDaemonFile } from '../../src/daemon/daemon-file.ts';
import { consumeWakeSignal } from '../../src/daemon/life/wake-signal.ts';
import { writeServiceMarker } from '../../src/daemon/service-marker.ts';
import type { ControlResult, LifeControl } from '../../src/lifecycle/life-view.ts';
import type { Clock } from '../../src/telemetry/clock.ts';
import { createControlFixture } from '../daemon/control/control-fixture.ts';
import { createScratchFolder, removeScratchFolder } from '../support/scratch-folder.ts';
import { cycleOf, drained, lifeOf, statusOf, stepOf } from './life-documents.ts';
import { hastyClock, runCommand } from './run-command.ts';

let folder: string;
beforeAll(() => {
  folder = createScratchFolder();
});
afterEach(() => vi.unstubAllEnvs());
afterAll(() => removeScratchFolder(folder));

const commands = { sleep: addSleep, wake: addWake, pause: addPause, resume: addResume, status: addStatus };

describe('without a daemon', () => {
  test.each(Object.entries(commands))('%s ends with exit 3 and says how to start one', async (name, add) => {
    for (const args of [[], ['--json']]) {
      const run = await runCommand(add, [name, '--data-dir', join(folder, 'nobody'), ...args]);
      expect(run.error).toMatchObject({ code: 'DAEMON_UNREACHABLE', exitCode: 3 });
      expect(String(run.error)).toContain('engramd run starts one');
      expect(run.stdout).toBe('');
    }
    expect(existsSync(join(folder, 'nobody'))).toBe(false);
  });

  test('but with a service, they say what starts it, and ask its socket only while a daemon runs', async () => {
    const dataDir = join(folder, 'served');
    mkdirSync(dataDir);
    const socketFolder = createScratchFolder();
    const socket = join(socketFolder, 'systemd.sock');
    writeServiceMarker(dataDir, { kind: 'systemd', scope: 'user', unit: 'engramd', hasTimer: true, socket });
    // Whoever connects to what systemd listens on has it start the daemon.
    const systemd = await createControlFixture({ at: { path: socket } });
    const asleep = await runCommand(addStatus, ['status', '--data-dir', dataDir]);
    expect(String(asleep.error)).toContain('engramd wake has its service start one');
    expect(systemd.server.connections()).toBe(0);
    await writeDaemonFile(dataDir, {
      url: 'http://127.0.0.1:1',
      pid: process.pid,
      instanceId: '01890000-0000-7000-8000-000000000001',
      version: '0.1.0',
      startedAt: '2026-03-04T08:00:00.000Z',
    });
    expect((await runCommand(addResume, ['resume', '--data-dir', dataDir])).stdout).toBe('resume\n');
    await systemd.close();
    removeScratchFolder(socketFolder);
  });
});

test.each(['5', '5x', '0s', '721h', '-1s', '1.5h', ''])(
  'pause %j is refused with the name of the argument',
  async (text) => {
    const run = await runCommand(addPause, ['pause', '--data-dir', folder, '--', text]);
    expect(run.error).toMatchObject({ code: 'commander.invalidArgument' });
    expect(run.stderr).toMatch(/argument 'for'.*expected a duration from 1s to 720h/);
  },
);

test.each(['sleep', 'wake'] as const)('%s takes a reason of 500 characters, and no more', async (name) => {
  const dataDir = join(folder, 'nobody');
  const fits = await runCommand(commands[name], [name, '--data-dir', dataDir, '--reason', 'x'.repeat(500)]);
  expect(fits.error).toMatchObject({ code: 'DAEMON_UNREACHABLE' });
  const run = await runCommand(commands[name], [name, '--data-dir', dataDir, '--reason', 'x'.repeat(501)]);
  expect(run.error).toMatchObject({ code: 'commander.invalidArgument' });
  expect(run.stderr).toMatch(/option '--reason <text>'.*expected at most 500 characters, got 501/);
});

test.each(['sleep', 'wake'] as const)('%s --help says what becomes of the reason', (name) => {
  const program = new Command();
  commands[name](program, {} as CommandContext);
  expect(program.commands[0]?.helpInformation()).toMatch(/--reason <text> +is logged/);
});

/** A daemon whose life goes on with each look, and that only notes what it is asked for. */
async function daemonWith(lives: readonly Life[], result: Partial<ControlResult> = {}) {
  const left = [...lives];
  const status = (): StatusDocument => statusOf({ life: (left.length > 1 ? left.shift() : left[0]) ?? null });
  const asked: string[] = [];
  const note = async (what: string) => {
    asked.push(what);
    return { state: 'wake' as const, note: `noted: ${what}`, ...result };
  };
  const life: LifeControl = {
    forceSleep: (reason) => note(`sleep, ${reason}`),
    wake: (reason) => note(`wake, ${reason}`),
    pause: (forMs) => note(`pause, ${forMs}`),
    resume: () => note('resume'),
  };
  const fixture = await createControlFixture({
    handlers: { status: { fresh: async () => status(), last: status }, life },
  });
  return {
    asked,
    run: (name: keyof typeof commands, ...args: string[]) =>
      runCommand(commands[name], [name, '--data-dir', fixture.folder, ...args]),
    runOn: (clock: Clock, name: keyof typeof commands, ...args: string[]) =>
      runCommand(commands[name], [name, '--data-dir', fixture.folder, ...args], { clock }),
    close: () => fixture.close(),
  };
}

describe('with a daemon', () => {
  test('each command is one message, and says what came of it', async () => {
    const daemon = await daemonWith([lifeOf()]);
    expect((await daemon.run('pause', '5m')).stdout).toBe('noted: pause, 300000\n');
    expect((await daemon.run('pause')).stdout).toBe('noted: pause, null\n');
    expect((await daemon.run('resume')).stdout).toBe('noted: resume\n');
    expect((await daemon.run('wake', '--reason', 'a demo')).stdout).toBe('noted: wake, a demo\n');
    expect((await daemon.run('sleep')).stdout).toBe('noted: sleep, engramd sleep\n');
    const json = await daemon.run('sleep', '--json');
    expect(JSON.parse(json.stdout)).toEqual({
      ok: true,
      type: 'force_sleep',
      state: 'wake',
      note: 'noted: sleep, engramd sleep',
    });
    await daemon.close();
  });

  test('status shows its life, and all of it as JSON', async () => {
    const daemon = await daemonWith([lifeOf()]);
    expect((await daemon.run('status')).stdout).toMatch(/^state +awake for .*: activity$/m);
    expect(JSON.parse((await daemon.run('status', '--json')).stdout)).toEqual(statusOf());
    await daemon.close();
  });

  test('status asks over HTTP where the control socket is gone', async () => {
    const dataDir = join(folder, 'http-only');
    mkdirSync(dataDir);
    const instanceId = statusOf().instance_id;
    const http = createServer((request, response) => {
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify(request.url === '/healthz' ? { instance_id: instanceId } : statusOf({ due: 7 })));
    });
    await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
    const url = `http://127.0.0.1:${(http.address() as AddressInfo).port}`;
    const startedAt = '2026-03-04T08:00:00.000Z';
    await writeDaemonFile(dataDir, { url, pid: process.pid, instanceId, version: '0.1.0', startedAt });
    const run = await runCommand(addStatus, ['status', '--json', '--data-dir', dataDir]);
    expect(JSON.parse(run.stdout)).toMatchObject({ due: 7 });
    http.closeAllConnections();
    http.close();
  });

  describe('sleep --wait', () => {
    const pending = lifeOf({ sleep_forced: true });
    const steps = [drained, stepOf('dedup', 'running', { done: 1, total: 2 })];
    const running = lifeOf({ state: 'sleep', reason: 'forced', cycle: cycleOf({ steps }) });
    const ended = (outcome: 'clean' | 'partial' | 'failed') =>
      lifeOf({
        state: 'hibernation',
        cycle: cycleOf({
          steps: [
            drained,
            stepOf('dedup', outcome === 'clean' ? 'done' : 'failed', {
              error: outcome === 'clean' ? null : 'no space left',
            }),
          ],
          finished_at: '2026-03-04T09:59:12.000Z',
          outcome,
          running: false,
        }),
      });

    test.each([
      ['clean', 0, 'dedup … done'],
      ['partial', 0, 'dedup … failed: no space left'],
      ['failed', 1, 'dedup … failed: no space left'],
    ] as const)('shows the steps of a %s cycle and ends with exit %i', async (outcome, exitCode, dedup) => {
      const daemon = await daemonWith([lifeOf(), pending, running, ended(outcome)]);
      expect(await daemon.run('sleep', '--wait')).toEqual({
        stdout: `noted: sleep, engramd sleep\ndrain … done, 12 memories (3.1 s)\n${dedup}\nthe sleep cycle is ${outcome} after 12 s\n`,
        stderr: '',
        exitCode,
        error: undefined,
      });
      await daemon.close();
    });

    test('answers with the cycle as JSON and nothing else', async () => {
      const daemon = await daemonWith([lifeOf(), pending, running, ended('partial')]);
      const run = await daemon.run('sleep', '--wait', '--json');
      expect(JSON.parse(run.stdout)).toEqual({
        outcome: 'partial',
        cycle: expect.objectContaining({ id: 'one' }),
        state: 'hibernation',
        note: 'the sleep cycle is partial after 12 s',
      });
      await daemon.close();
    });

    test('says who woke the daemon meanwhile, with exit 1', async () => {
      const daemon = await daemonWith([lifeOf(), pending, running, lifeOf({ reason: 'activity' })]);
      const run = await daemon.run('sleep', '--wait');
      expect(run.error).toMatchObject({ code: 'NO_NIGHT', exitCode: 1 });
      expect(String(run.error)).toContain('woken before its cycle was over (activity)');
      await daemon.close();
    });

    test('says that the end was not told where the daemon is gone before it', async () => {
      const daemon = await daemonWith([lifeOf(), pending, running]);
      let looks = 0;
      const clock = hastyClock(() => {
        looks += 1;
        if (looks === 3) void daemon.close();
      });
      const run = await daemon.runOn(clock, 'sleep', '--wait');
      expect(run.error).toMatchObject({ exitCode: 3 });
      expect(run.stdout).toContain('drain … done');
      expect(String(run.error)).toMatch(/ended before it told how its cycle did|closed the connection/);
    });

    test('does not wait in hibernation, where nothing is begun', async () => {
      const daemon = await daemonWith([lifeOf({ state: 'hibernation' })], {
        state: 'hibernation',
        note: 'deep asleep',
      });
      expect(await daemon.run('sleep', '--wait')).toMatchObject({
        stdout: 'deep asleep\n',
        exitCode: 0,
        error: undefined,
      });
      // The same shape as at the end of a cycle: a script looks for its fields.
      expect(JSON.parse((await daemon.run('sleep', '--wait', '--json')).stdout)).toEqual({
        outcome: null,
        cycle: null,
        state: 'hibernation',
        note: 'deep asleep',
      });
      await daemon.close();
    });
  });
});

describe('wake without a daemon', () => {
  test('leaves the signal for whoever starts next', async () => {
    const dataDir = join(folder, 'alone');
    mkdirSync(dataDir);
    const run = await runCommand(addWake, ['wake', '--data-dir', dataDir]);
    expect(run.error).toMatchObject({ exitCode: 3 });
    expect(consumeWakeSignal(dataDir)).toMatchObject({ by: 'engramd wake' });
  });

  test('writes the signal first, then calls the supervisor, then waits for the daemon', async () => {
    const dataDir = createScratchFolder();
    const bin = join(folder, 'bin');
    mkdirSync(bin);
    const told = join(folder, 'told');
    writeFileSync(join(bin, 'systemctl'), `#!/bin/sh\necho "$@" $(ls ${dataDir}/wake.signal) >> ${told}\n`);
    chmodSync(join(bin, 'systemctl'), 0o755);
    vi.stubEnv('PATH', `${bin}:${process.env.PATH}`);
    const socket = join(dataDir, 'engramd.sock');
    writeServiceMarker(dataDir, { kind: 'systemd', scope: 'user', unit: 'engramd', hasTimer: true, socket });
    let daemon: ReturnType<typeof createControlFixture> | undefined;
    const clock = hastyClock(() => {
      daemon ??= createControlFixture({ at: { path: socket } });
    });
    const run = await runCommand(addWake, ['wake', '--data-dir', dataDir], { clock });
    expect(run).toMatchObject({ stdout: 'the service has started the daemon; it is awake\n', error: undefined });
    expect(readFileSync(told, 'utf8')).toBe(`--user start engramd.service ${dataDir}/wake.signal\n`);
    await (await daemon)?.close();
    removeScratchFolder(dataDir);
  });

  test('gives up after 15 s on a service that does not come', async () => {
    const dataDir = join(folder, 'stuck');
    mkdirSync(dataDir);
    const bin = join(folder, 'quiet-bin');
    mkdirSync(bin);
    writeFileSync(join(bin, 'launchctl'), '#!/bin/sh\n');
    chmodSync(join(bin, 'launchctl'), 0o755);
    vi.stubEnv('PATH', `${bin}:${process.env.PATH}`);
    writeServiceMarker(dataDir, { kind: 'launchd', scope: 'user', label: 'org.engramd', hasTimer: true });
    const run = await runCommand(addWake, ['wake', '--data-dir', dataDir]);
    expect(run.error).toMatchObject({ code: 'DAEMON_UNREACHABLE', exitCode: 3 });
    expect(String(run.error)).toContain('no daemon answers after 15 s');
  });
});
