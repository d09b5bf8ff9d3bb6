import { type ChildProcess, fork } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { acquireInstanceLock, DataDirInUseError, type InstanceRole } from '../../src/daemon/instance-lock.ts';
import { claimFree, claimFrom, type LockRecord, openLockFolder, readHolder } from '../../src/daemon/lock-chain.ts';
import { findProcess, processScope } from '../../src/db/embedded/process-identity.ts';
import { type Clock, systemClock } from '../../src/telemetry/clock.ts';

const contender = new URL('../support/lock-contender.ts', import.meta.url).pathname;

let dataDir: string;
let children: ChildProcess[];
beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'engramd-lock-'));
  children = [];
});
afterEach(() => {
  for (const child of children) child.kill('SIGKILL');
  rmSync(dataDir, { recursive: true, force: true });
});

const acquire = (
  role: InstanceRole = 'daemon',
  options: { waitMs?: number; clock?: Clock; signal?: AbortSignal } = {},
) => acquireInstanceLock({ dataDir, role, waitMs: 0, clock: systemClock, ...options });

function recordOf(overrides: Partial<LockRecord> = {}): LockRecord {
  return {
    token: randomUUID(),
    pid: process.pid,
    startTime: findProcess(process.pid)?.startTime ?? '',
    scope: processScope(),
    host: 'elsewhere',
    role: 'daemon',
    startedAt: '2026-01-01T00:00:00.000Z',
    ...overrides,
  };
}

/** As a process leaves it that was killed while it held the lock. */
function leaveRecord(overrides: Partial<LockRecord>): LockRecord {
  const record = recordOf(overrides);
  writeFileSync(join(openLockFolder(dataDir), 'owner'), JSON.stringify(record));
  return record;
}

const files = () => readdirSync(join(dataDir, 'lock')).sort();

/** Moves on by itself, by what is slept. */
function leapingClock(onSleep: () => Promise<void> = async () => undefined): Clock & { sleptMs: number } {
  const clock = {
    sleptMs: 0,
    now: () => new Date('2026-01-01T00:00:00Z'),
    monotonicMs: () => clock.sleptMs,
    async sleep(ms: number) {
      clock.sleptMs += ms;
      await onSleep();
    },
  };
  return clock;
}

describe('one instance a data directory', () => {
  test('a second one is refused and told who holds it', async () => {
    const lock = await acquire();
    const refusal = await acquire().catch((thrown: unknown) => thrown);
    expect(refusal).toBeInstanceOf(DataDirInUseError);
    expect(refusal).toMatchObject({ exitCode: 4, owner: { pid: process.pid, role: 'daemon' } });
    expect(String(refusal)).toContain(`role daemon, pid ${process.pid}`);
    await lock.release();
  });

  test('a released lock is free, and releasing twice does not free the next owner’s', async () => {
    const first = await acquire();
    await first.release();
    const second = await acquire();
    await first.release();
    await expect(acquire()).rejects.toThrow(DataDirInUseError);
    await second.release();
    expect(files()).toEqual([]);
  });

  test('a daemon is not waited for', async () => {
    const lock = await acquire('daemon');
    const clock = leapingClock();
    await expect(acquire('daemon', { waitMs: 60_000, clock })).rejects.toThrow(DataDirInUseError);
    expect(clock.sleptMs).toBe(0);
    await lock.release();
  });

  test('a command is waited for until it is done', async () => {
    const command = await acquire('cli');
    let polls = 0;
    const clock = leapingClock(async () => {
      polls += 1;
      if (polls === 20) await command.release();
    });
    const lock = await acquire('daemon', { waitMs: 60_000, clock });
    expect(clock.sleptMs).toBeLessThan(60_000);
    expect(lock.takenOverFrom).toBeUndefined();
    await lock.release();
  });

  test('a command that is not done in time is left alone', async () => {
    const command = await acquire('cli');
    const clock = leapingClock();
    const refusal = await acquire('daemon', { waitMs: 60_000, clock }).catch((thrown: unknown) => thrown);
    expect(refusal).toMatchObject({ owner: { role: 'cli' }, message: expect.stringContaining('waited 60 s') });
    expect(clock.sleptMs).toBe(60_000);
    await command.release();
  });

  test('a signal ends the wait, and nothing of the waiter stays', async () => {
    const command = await acquire('cli');
    const before = files();
    const stop = new AbortController();
    const clock = leapingClock(async () => stop.abort(new Error('asked to stop')));
    await expect(acquire('daemon', { waitMs: 60_000, clock, signal: stop.signal })).rejects.toThrow('asked to stop');
    expect(files()).toEqual(before);
    await command.release();
  });
});

describe('the lock of the dead', () => {
  test('of a process that was killed is taken over', async () => {
    const journal = join(dataDir, 'journal');
    const child = await startContender(journal, 1, 1);
    child.send('go');
    await once(child, 'exit');
    expect(readFileSync(journal, 'utf8')).toContain('killed');
    const lock = await acquire();
    expect(lock.takenOverFrom).toMatchObject({ pid: child.pid, role: 'cli' });
    await lock.release();
    expect(files()).toEqual([]);
  });

  test('of a process whose pid somebody else has by now is taken over: PID 1 of a restarted container', async () => {
    leaveRecord({ pid: process.pid, startTime: 'another start' });
    const lock = await acquire();
    expect(lock.takenOverFrom?.pid).toBe(process.pid);
    await lock.release();
  });

  test('of an earlier boot or another container is taken over if nobody answers its socket', async () => {
    leaveRecord({ scope: 'another boot' });
    const lock = await acquire();
    expect(lock.takenOverFrom).toBeDefined();
    await lock.release();
  });

  test('of another container whose owner lives is not', async () => {
    const record = leaveRecord({ scope: 'another namespace', pid: 1, startTime: 'unknowable' });
    const presence = createServer().listen(join(dataDir, 'lock', `${record.token.slice(0, 8)}.sock`));
    await once(presence, 'listening');
    await expect(acquire()).rejects.toMatchObject({ owner: { pid: 1, host: 'elsewhere' } });
    presence.close();
  });

  test('that makes no sense is taken over', async () => {
    for (const content of ['', '{"pid": 1}', 'null', '\0\0\0']) {
      writeFileSync(join(openLockFolder(dataDir), 'owner'), content);
      const lock = await acquire();
      await expect(acquire()).rejects.toThrow(DataDirInUseError);
      await lock.release();
    }
  });

  test('passes to one of two that both found the owner dead, however slow the other is', () => {
    const folder = openLockFolder(dataDir);
    const dead = leaveRecord({ startTime: 'gone' });
    const seenBySlow = readHolder(folder);
    const seenByFast = readHolder(folder);
    if (!seenBySlow || !seenByFast) throw new Error('no holder');
    const fast = recordOf();
    expect(claimFrom(folder, fast, seenByFast)).toBe(true);
    // What the fast one does next, as the owner; only then the slow one goes on.
    rmSync(join(folder, `after-${dead.token}`));
    expect(claimFrom(folder, recordOf(), seenBySlow)).toBe(false);
    expect(readHolder(folder)?.token).toBe(fast.token);
    expect(files()).toEqual(['owner']);
  });

  test('passes to nobody who found it dead when it has been free since', () => {
    const folder = openLockFolder(dataDir);
    leaveRecord({ startTime: 'gone' });
    const seen = readHolder(folder);
    if (!seen) throw new Error('no holder');
    rmSync(join(folder, 'owner'));
    expect(claimFrom(folder, recordOf(), seen)).toBe(false);
    const next = recordOf();
    expect(claimFree(folder, next)).toBe(true);
    expect(readHolder(folder)?.token).toBe(next.token);
  });

  test('is inherited from a successor that died before it had moved in', async () => {
    const folder = openLockFolder(dataDir);
    const dead = leaveRecord({ startTime: 'gone' });
    writeFileSync(
      join(folder, `after-${dead.token}`),
      JSON.stringify(recordOf({ startTime: 'gone too', role: 'cli' })),
    );
    const lock = await acquire();
    expect(lock.takenOverFrom?.role).toBe('cli');
    expect(files().filter((name) => !name.endsWith('.sock'))).toEqual(['owner']);
    await lock.release();
  });
});

test('of 16 processes over a stale lock, some of them killed while they hold it, one has it at a time', {
  timeout: 120_000,
}, async () => {
  leaveRecord({ startTime: 'gone' });
  const journal = join(dataDir, 'journal');
  const rounds = 12;
  const started = await Promise.all(
    Array.from({ length: 16 }, (_, index) => startContender(journal, rounds, index % 4 === 0 ? 3 + index / 4 : 0)),
  );
  const exits = started.map((child) => once(child, 'exit'));
  for (const child of started) child.send('go');
  await Promise.all(exits);

  const lines = readFileSync(journal, 'utf8').trimEnd().split('\n');
  expect(lines.filter((line) => line.startsWith('failed'))).toEqual([]);
  let inside: string | undefined;
  for (const line of lines) {
    const [event, pid] = line.split(' ');
    if (event === 'enter') {
      expect(inside, `${pid} came in`).toBeUndefined();
      inside = pid;
    } else {
      expect(inside).toBe(pid);
      inside = undefined;
    }
  }
  // Twelve lived through all their rounds; four were killed in rounds 3, 4, 5 and 6.
  expect(lines.filter((line) => line.startsWith('enter'))).toHaveLength(12 * rounds + 3 + 4 + 5 + 6);
  expect(lines.filter((line) => line.endsWith('killed'))).toHaveLength(4);
});

async function startContender(journal: string, rounds: number, deadlyRound: number): Promise<ChildProcess> {
  const child = fork(contender, [dataDir, journal, String(rounds), String(deadlyRound)], {
    execArgv: [],
    stdio: 'inherit',
  });
  children.push(child);
  await once(child, 'message');
  return child;
}
