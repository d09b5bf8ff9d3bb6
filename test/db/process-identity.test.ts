import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import type * as Fs from 'node:fs';
import { mkdirSync, writeFileSync } from 'node:fs';
import type * as Net from 'node:net';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { acquireInstanceLock, DataDirInUseError } from '../../src/daemon/instance-lock.ts';
import { readHolder } from '../../src/daemon/lock-chain.ts';
import { findPostmaster, stopPostmaster } from '../../src/db/embedded/postmaster.ts';
import {
  findProcess,
  livenessOf,
  type ProcessIdentity,
  ProcessUnreadableError,
  processScope,
} from '../../src/db/embedded/process-identity.ts';
import { systemClock } from '../../src/telemetry/clock.ts';
import { silentLog } from '../../src/telemetry/log.ts';
import { createScratchFolder, removeScratchFolder } from '../support/scratch-folder.ts';

/*
 * An error is not read as "gone" (law L12): the daemon would give its database up, another one would take its lock.
 */

/** What reading below this path fails with. */
const failing = vi.hoisted(() => ({ path: '', code: '', left: 0 }));
vi.mock('node:fs', async (original) => {
  const fs = await original<typeof Fs>();
  const failingOr =
    <A extends readonly unknown[], R>(read: (...args: A) => R) =>
    (...args: A): R => {
      if (failing.path === '' || !String(args[0]).startsWith(failing.path) || failing.left === 0) return read(...args);
      failing.left -= 1;
      throw Object.assign(new Error(`${failing.code}: ${args[0]}`), { code: failing.code });
    };
  return {
    ...fs,
    readFileSync: failingOr(fs.readFileSync as (...args: unknown[]) => unknown),
    readlinkSync: failingOr(fs.readlinkSync as (...args: unknown[]) => unknown),
  };
});

/** What a socket fails with as soon as it is asked to do something. */
const noSocket = vi.hoisted(() => ({ connect: '', listen: '' }));
vi.mock('node:net', async (original) => {
  const net = await original<typeof Net>();
  const failSoon = (emitter: Net.Socket | Net.Server, code: string) => {
    process.nextTick(() => emitter.emit('error', Object.assign(new Error(code), { code })));
    return emitter;
  };
  return {
    ...net,
    connect: (path: string) =>
      noSocket.connect === '' ? net.connect(path) : failSoon(new net.Socket(), noSocket.connect),
    createServer: (onConnection: () => void) => {
      const server = net.createServer(onConnection);
      if (noSocket.listen !== '') server.listen = (() => failSoon(server, noSocket.listen)) as never;
      return server;
    },
  };
});

function failWith(code: string, path: string, times = Number.POSITIVE_INFINITY): void {
  Object.assign(failing, { code, path, left: times });
}

let folder: string;
const self = { pid: process.pid, startTime: findProcess(process.pid)?.startTime ?? '' };
beforeAll(() => {
  folder = createScratchFolder();
});
afterEach(() => {
  failWith('', '');
  Object.assign(noSocket, { connect: '', listen: '' });
});
afterAll(() => removeScratchFolder(folder));

const stat = `/proc/${process.pid}/stat`;
const unreadable = ['EMFILE', 'ENFILE', 'EACCES', 'EIO', 'ENOMEM'];

describe.runIf(process.platform === 'linux')('a process', () => {
  test.each(unreadable)('that cannot be read for %s is not known to be gone', (code) => {
    expect(livenessOf(self)).toBe('alive');
    failWith(code, stat);
    expect(livenessOf(self)).toBe('unknown');
    expect(() => findProcess(process.pid)).toThrow(ProcessUnreadableError);
  });

  test.each(['ENOENT', 'ESRCH'])('of which the system says %s is gone', (code) => {
    failWith(code, stat);
    expect(livenessOf(self)).toBe('gone');
    expect(findProcess(process.pid)).toBeUndefined();
  });

  test('is another one with another start', () => {
    expect(livenessOf({ ...self, startTime: '1' })).toBe('gone');
  });

  test('has a scope that does not change while descriptors are short, or none', () => {
    const scope = processScope();
    for (const path of ['/proc/sys/kernel/random/boot_id', '/proc/self/ns/pid']) {
      failWith('EMFILE', path);
      expect(processScope).toThrow(ProcessUnreadableError);
      // A sandbox hides it for good.
      failWith('EACCES', path);
      expect(processScope()).toContain('unknown-');
    }
    failWith('', '');
    expect(processScope()).toBe(scope);
  });
});

describe.runIf(process.platform === 'linux')('a lock', () => {
  test.each(unreadable)('is not taken over from an owner of whom nobody tells (%s)', async (code) => {
    const dataDir = join(folder, `lock-${code}`);
    mkdirSync(dataDir);
    const acquire = () => acquireInstanceLock({ dataDir, role: 'daemon', waitMs: 0, clock: systemClock });
    const lock = await acquire();
    const { token } = readHolder(join(dataDir, 'lock')) ?? {};
    // The owner here is this very process: its own identity is read first, then the owner's.
    for (const path of [stat, '/proc/sys/kernel/random/boot_id']) {
      failWith(code, path);
      if (path === stat || code !== 'EACCES') await expect(acquire()).rejects.toThrow(ProcessUnreadableError);
    }
    failWith('', '');
    const other = spawn('sleep', ['60'], { stdio: 'ignore' });
    const identity = findProcess(other.pid ?? 0);
    writeFileSync(
      join(dataDir, 'lock', 'owner'),
      JSON.stringify({ ...readRecord(dataDir), pid: identity?.pid, startTime: identity?.startTime }),
    );
    failWith(code, `/proc/${other.pid}/stat`);
    await expect(acquire()).rejects.toThrow(DataDirInUseError);
    expect(readHolder(join(dataDir, 'lock'))?.token).toBe(token);
    failWith('', '');
    other.kill('SIGKILL');
    await once(other, 'exit');
    const next = await acquire();
    expect(next.takenOverFrom?.pid).toBe(other.pid);
    await next.release();
    await lock.release();
  });

  test('of another container is not taken over where its socket cannot be asked', async () => {
    const dataDir = join(folder, 'lock-elsewhere');
    mkdirSync(dataDir);
    const acquire = () => acquireInstanceLock({ dataDir, role: 'daemon', waitMs: 0, clock: systemClock });
    const lock = await acquire();
    writeFileSync(
      join(dataDir, 'lock', 'owner'),
      JSON.stringify({ ...readRecord(dataDir), token: randomUUID(), scope: 'another container' }),
    );
    for (const code of ['EMFILE', 'EACCES', 'EAGAIN']) {
      noSocket.connect = code;
      await expect(acquire(), code).rejects.toThrow(DataDirInUseError);
    }
    noSocket.connect = 'ECONNREFUSED';
    await (await acquire()).release();
    await lock.release();
  });

  test('is not held without the socket that others would ask, where descriptors are all that lacks', async () => {
    const dataDir = join(folder, 'lock-mute');
    mkdirSync(dataDir);
    const acquire = () => acquireInstanceLock({ dataDir, role: 'daemon', waitMs: 0, clock: systemClock });
    noSocket.listen = 'EMFILE';
    await expect(acquire()).rejects.toThrow('EMFILE');
    expect(readHolder(join(dataDir, 'lock'))).toBeUndefined();
    // A file system without sockets.
    noSocket.listen = 'EPERM';
    await (await acquire()).release();
  });

  function readRecord(dataDir: string): object {
    const holder = readHolder(join(dataDir, 'lock'));
    return holder?.kind === 'known' ? holder.record : {};
  }
});

describe.runIf(process.platform === 'linux')('a database server', () => {
  test('of whom nobody tells is not taken for gone, nor its file for another’s', () => {
    const data = join(folder, 'data');
    mkdirSync(data);
    expect(findPostmaster(data)).toEqual({ kind: 'absent' });
    writeFileSync(join(data, 'postmaster.pid'), `${process.pid}\n`);
    expect(findPostmaster(data)).toEqual({ kind: 'foreign', pid: process.pid });
    failWith('EMFILE', stat);
    expect(findPostmaster(data)).toEqual({ kind: 'unclear', pid: process.pid });
    failWith('EMFILE', `/proc/${process.pid}/cmdline`);
    expect(findPostmaster(data)).toEqual({ kind: 'unclear', pid: process.pid });
    failWith('EMFILE', join(data, 'postmaster.pid'));
    expect(() => findPostmaster(data)).toThrow('EMFILE');
  });

  test('is stopped once the system tells of it again, and not held for stopped before', async () => {
    const child = spawn('sleep', ['60'], { stdio: 'ignore' });
    const identity = findProcess(child.pid ?? 0) as ProcessIdentity;
    const ended = once(child, 'exit');
    failWith('EMFILE', `/proc/${child.pid}/stat`, 2);
    await stopPostmaster(identity, { clock: systemClock, log: silentLog });
    expect(await ended).toEqual([null, 'SIGINT']);
  });

  test('that nobody ever tells of is left running, and said to be', async () => {
    const child = spawn('sleep', ['60'], { stdio: 'ignore' });
    const identity = findProcess(child.pid ?? 0) as ProcessIdentity;
    failWith('EMFILE', `/proc/${child.pid}/stat`);
    const stop = stopPostmaster(identity, { clock: systemClock, log: silentLog, fastMs: 0, immediateMs: 0 });
    await expect(stop).rejects.toMatchObject({ code: 'EMBEDDED_STOP' });
    failWith('', '');
    expect(livenessOf(identity)).toBe('alive');
    child.kill('SIGKILL');
    await once(child, 'exit');
  });
});
