import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { postmasterPidFile } from '../../src/db/embedded/postmaster.ts';
import { findProcess } from '../../src/db/embedded/process-identity.ts';
import { systemClock } from '../../src/telemetry/clock.ts';
import { ask, createEmbeddedSandbox, type EmbeddedSandbox, firstMessage, killed } from '../support/embedded-sandbox.ts';

// Each makes clusters, a second apiece on an idle machine.
vi.setConfig({ testTimeout: 90_000, hookTimeout: 90_000 });

let sandbox: EmbeddedSandbox;
beforeEach(() => {
  sandbox = createEmbeddedSandbox();
});
afterEach(() => sandbox.remove());

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await setTimeout(1);
}

const isUnfinished = () =>
  existsSync(sandbox.layout.root) && readdirSync(sandbox.layout.root).some((name) => name.includes('unfinished'));

test('SIGKILL of the daemon leaves a server that the next start adopts, with every committed row', async () => {
  const child = sandbox.spawn();
  const up = await firstMessage(child);
  if (up.kind !== 'up') throw new Error(up.message);
  await ask(up.connectionString, 'create table kept as select generate_series(1, 1000) as n');
  await killed(child);
  expect(findProcess(up.pid)).toBeDefined();

  const next = await sandbox.start();
  expect(next).toMatchObject({ adopted: true, pid: up.pid, version: '18.4', connectionString: up.connectionString });
  expect(await ask(next.connectionString, 'select count(*)::int as n from kept')).toEqual([{ n: 1000 }]);
  await next.stop();
  expect(findProcess(up.pid)).toBeUndefined();
});

test('SIGKILL in the middle of initdb is harmless', async () => {
  const child = sandbox.spawn();
  await until(isUnfinished);
  await killed(child);
  const server = await sandbox.start();
  expect(await ask(server.connectionString, 'select 1 as one')).toEqual([{ one: 1 }]);
  await server.stop();
});

test('SIGKILL before the server answers is harmless', async () => {
  const child = sandbox.spawn();
  await until(() => existsSync(postmasterPidFile(sandbox.layout.data)));
  await killed(child);
  const server = await sandbox.start();
  // The database itself may not have been made yet.
  expect(await ask(server.connectionString, 'select current_database() as name')).toEqual([{ name: 'engramd' }]);
  await server.stop();
});

test('what a killed start left half done is removed', async () => {
  mkdirSync(join(sandbox.layout.root, '18.unfinished-abc', 'data'), { recursive: true });
  mkdirSync(join(sandbox.layout.binaries, 'unfinished-abc'), { recursive: true });
  mkdirSync(join(sandbox.layout.binaries, '17.1.0'), { recursive: true });
  const server = await sandbox.start();
  expect(isUnfinished()).toBe(false);
  expect(readdirSync(sandbox.layout.binaries)).toHaveLength(1);
  await server.stop();
});

test('a postmaster that was killed is replaced once the last of its children is gone', async () => {
  const first = await sandbox.start();
  await ask(first.connectionString, 'create table kept (n integer)');
  await ask(first.connectionString, 'insert into kept values (7)');
  // A child that computes does not notice its parent's death, and holds the shared memory until it is done.
  const letGo = join(sandbox.dataDir, 'let-go');
  const started = join(sandbox.dataDir, 'run');
  mkdirSync(started, { mode: 0o777 });
  chmodSync(started, 0o777);
  const busy = ask(
    first.connectionString,
    `copy (select 1) to '${join(started, 'started')}';
     do $$ begin
       -- Bounded, so that a test that failed does not leave it spinning for ever.
       while pg_stat_file('${letGo}', true) is null and clock_timestamp() < now() + interval '30 s' loop end loop;
     end $$`,
  ).catch((thrown: unknown) => thrown);
  await until(() => existsSync(join(started, 'started')));
  process.kill(first.pid, 'SIGKILL');
  await until(() => !first.isRunning());

  let refusals = 0;
  const clock = {
    ...systemClock,
    sleep(ms: number) {
      if (readFileSync(sandbox.layout.logFile, 'utf8').includes('pre-existing shared memory block')) {
        refusals += 1;
        writeFileSync(letGo, '');
      }
      return systemClock.sleep(ms);
    },
  };
  const second = await sandbox.start({ clock });
  await busy;
  expect(refusals).toBeGreaterThan(0);
  expect(second.adopted).toBe(false);
  expect(await ask(second.connectionString, 'select n from kept')).toEqual([{ n: 7 }]);
  await second.stop();
});

test('a stale postmaster.pid whose pid another program has by now does not keep the server from starting', async () => {
  const first = await sandbox.start();
  await first.stop();
  // PostgreSQL alone refuses: it sees a living process of its own user and asks no further.
  const { uid, gid } = statSync(sandbox.layout.data);
  const other = spawn('sleep', ['600'], { uid, gid, stdio: 'ignore' });
  await once(other, 'spawn');
  writeFileSync(
    postmasterPidFile(sandbox.layout.data),
    `${other.pid}\n${sandbox.layout.data}\n1\n5432\n\n\n0 0\nready\n`,
  );
  const second = await sandbox.start();
  expect(second.adopted).toBe(false);
  expect(findProcess(other.pid ?? 0)).toBeDefined();
  other.kill();
  await second.stop();
});

test('a server left over that does not know our password is stopped, not killed', async () => {
  const first = await sandbox.start();
  await ask(first.connectionString, `alter role engramd password 'another'`);
  await expect(sandbox.start()).rejects.toThrow(/refuses the password in .*password/);
  expect(findProcess(first.pid)).toBeUndefined();
  // The one launched in its place was stopped in order too.
  expect(existsSync(postmasterPidFile(sandbox.layout.data))).toBe(false);
});

test('a server left over that hangs is woken, stopped and replaced', async () => {
  const first = await sandbox.start();
  process.kill(first.pid, 'SIGSTOP');
  const second = await sandbox.start();
  expect(second).toMatchObject({ adopted: false });
  expect(first.isRunning()).toBe(false);
  expect(await ask(second.connectionString, 'select 1 as one')).toEqual([{ one: 1 }]);
  await second.stop();
});
