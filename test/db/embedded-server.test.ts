import type * as Fs from 'node:fs';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import type { EmbeddedPostgres } from '../../src/db/embedded/embedded-postgres.ts';
import { findPostmaster } from '../../src/db/embedded/postmaster.ts';
import { findProcess } from '../../src/db/embedded/process-identity.ts';
import { silentLog } from '../../src/telemetry/log.ts';
import { ask, createEmbeddedSandbox, type EmbeddedSandbox } from '../support/embedded-sandbox.ts';

/** Whether /proc tells of processes. */
const proc = vi.hoisted(() => ({ isReadable: true }));
vi.mock('node:fs', async (original) => {
  const fs = await original<typeof Fs>();
  const readFileSync = (...args: Parameters<typeof fs.readFileSync>) => {
    if (!proc.isReadable && String(args[0]).startsWith('/proc/')) throw Object.assign(new Error(), { code: 'EMFILE' });
    return fs.readFileSync(...args);
  };
  return { ...fs, readFileSync };
});

// Each makes clusters, a second apiece on an idle machine.
vi.setConfig({ testTimeout: 90_000, hookTimeout: 90_000 });

const isRoot = process.getuid?.() === 0;
const modeOf = (path: string) => (statSync(path).mode & 0o777).toString(8);

describe('a running server', () => {
  let sandbox: EmbeddedSandbox;
  let server: EmbeddedPostgres;
  const warnings: string[] = [];
  beforeAll(async () => {
    sandbox = createEmbeddedSandbox();
    const warn = (_fields: unknown, text: string) => void warnings.push(text);
    server = await sandbox.start({ extraSettings: {}, log: { ...silentLog, warn } as typeof silentLog });
  });
  afterAll(() => sandbox.remove());

  test('is the PostgreSQL that engramd ships, with its own database', async () => {
    const [row] = await ask(
      server.connectionString,
      `select current_database() as database, current_user as role, current_setting('server_version') as version`,
    );
    expect(row).toEqual({ database: 'engramd', role: 'engramd', version: '18.4' });
    expect(server).toMatchObject({ version: '18.4', adopted: false });
    expect(server.isRunning()).toBe(true);
  });

  test('is durable', async () => {
    const [row] = await ask(
      server.connectionString,
      `select current_setting('fsync') as fsync, current_setting('full_page_writes') as pages,
              current_setting('synchronous_commit') as commit, current_setting('data_checksums') as checksums`,
    );
    expect(row).toEqual({ fsync: 'on', pages: 'on', commit: 'on', checksums: 'on' });
  });

  test('listens on no network, and keeps its socket and its secrets to itself', async () => {
    const [row] = await ask(
      server.connectionString,
      `select current_setting('listen_addresses') as addresses, current_setting('unix_socket_permissions') as mode`,
    );
    expect(row).toEqual({ addresses: '', mode: '0700' });
    const { layout } = sandbox;
    expect(modeOf(layout.passwordFile)).toBe('600');
    expect(modeOf(layout.logFile)).toBe('600');
    expect(modeOf(layout.data)).toBe('700');
    expect(modeOf(layout.socketFolder)).toBe('700');
    expect(modeOf(layout.root)).toBe(isRoot ? '711' : '700');
    expect(existsSync(join(layout.home, 'password-for-initdb'))).toBe(false);
    expect(statSync(layout.data).uid === 0).toBe(false);
    expect(statSync(layout.passwordFile).uid).toBe(process.getuid?.());
  });

  test('wants the password of its file, which is nobody’s default', async () => {
    const password = readFileSync(sandbox.layout.passwordFile, 'utf8').trim();
    expect(password.length).toBeGreaterThanOrEqual(32);
    expect(new URL(server.connectionString).password).toBe(password);
    const wrong = server.connectionString.replace(password, 'engramd');
    await expect(ask(wrong, 'select 1')).rejects.toMatchObject({ code: '28P01' });
    const [row] = await ask<{ rolpassword: string }>(
      server.connectionString,
      `select rolpassword from pg_authid where rolname = 'engramd'`,
    );
    expect(row?.rolpassword).toMatch(/^SCRAM-SHA-256\$/);
  });

  test('folds case and sorts alike on every machine, beyond ASCII too', async () => {
    const [row] = await ask(
      server.connectionString,
      `select lower('ÉCOLE') as lower, to_tsvector('english', 'ÉCOLE Zürich')::text as words, array['b', 'a', 'B'] @> array['a'] as ok,
              (select string_agg(x, '' order by x) from unnest(array['b', 'a', 'B', 'é']) as x) as sorted`,
    );
    expect(row).toEqual({ lower: 'école', words: "'zürich':2 'école':1", ok: true, sorted: 'Babé' });
  });

  test('does not write memories into its log when a statement fails', async () => {
    const secret = 'the-secret-memory';
    await ask(server.connectionString, 'create table log_probe (text text primary key)');
    await ask(server.connectionString, `insert into log_probe values ('${secret}')`);
    await expect(ask(server.connectionString, `insert into log_probe values ('${secret}')`)).rejects.toMatchObject({
      code: '23505',
    });
    const log = readFileSync(sandbox.layout.logFile, 'utf8');
    expect(log).toContain('duplicate key value');
    expect(log).not.toContain(secret);
  });

  test.runIf(process.platform === 'linux')('runs where descriptors are too short to ask, with one warning', () => {
    proc.isReadable = false;
    try {
      expect([server.isRunning(), server.isRunning()]).toEqual([true, true]);
    } finally {
      proc.isReadable = true;
    }
    expect(server.isRunning()).toBe(true);
    expect(warnings.filter((text) => text.includes('does not tell whether the embedded database runs'))).toHaveLength(
      1,
    );
  });

  test('has none of our environment', () => {
    if (process.platform !== 'linux') return;
    const names = readFileSync(`/proc/${server.pid}/environ`, 'utf8')
      .split('\0')
      .map((entry) => entry.split('=')[0])
      .filter((name) => name && !name.startsWith('PG'));
    expect(names.sort()).toEqual(['LC_ALL', 'PATH', 'TZ']);
  });
});

describe('stopping', () => {
  let sandbox: EmbeddedSandbox;
  afterEach(() => sandbox.remove());

  test('ends the server although clients are connected, and a start afterwards finds the data', async () => {
    sandbox = createEmbeddedSandbox();
    const first = await sandbox.start();
    await ask(first.connectionString, 'create table kept (n integer)');
    await ask(first.connectionString, 'insert into kept values (7)');
    const sleeper = new pg.Client({ connectionString: first.connectionString });
    sleeper.on('error', () => undefined);
    await sleeper.connect();
    const sleep = sleeper.query('select pg_sleep(600)').catch((thrown: unknown) => thrown);
    await Promise.all([first.stop(), first.stop()]);
    expect(findProcess(first.pid)).toBeUndefined();
    expect(first.isRunning()).toBe(false);
    expect(await sleep).toBeInstanceOf(Error);

    const second = await sandbox.start();
    expect(second.adopted).toBe(false);
    expect(await ask(second.connectionString, 'select n from kept')).toEqual([{ n: 7 }]);
    // A clean stop leaves nothing to recover.
    expect(readFileSync(sandbox.layout.logFile, 'utf8')).not.toContain('recovery');
    await second.stop();
  });

  test('keeps two logs, whatever the number of starts, and what an operator set', async () => {
    sandbox = createEmbeddedSandbox();
    const settings = join(sandbox.layout.data, 'postgresql.auto.conf');
    for (const round of [1, 2, 3]) {
      const server = await sandbox.start();
      if (round === 2) expect(await ask(server.connectionString, 'show work_mem')).toEqual([{ work_mem: '7MB' }]);
      await server.stop();
      writeFileSync(settings, "work_mem = '7MB'\n");
    }
    const starts = (path: string) => readFileSync(path, 'utf8').match(/starting PostgreSQL/g)?.length;
    expect(starts(sandbox.layout.logFile)).toBe(1);
    expect(starts(`${sandbox.layout.logFile}.1`)).toBe(1);
    expect(existsSync(`${sandbox.layout.logFile}.2`)).toBe(false);
  });

  test.runIf(process.platform === 'linux')('a start that cannot tell its own server apart leaves none', async () => {
    sandbox = createEmbeddedSandbox();
    proc.isReadable = false;
    try {
      await expect(sandbox.start()).rejects.toMatchObject({ code: 'PROCESS_UNREADABLE' });
    } finally {
      proc.isReadable = true;
    }
    expect(findPostmaster(sandbox.layout.data).kind).toMatch(/absent|gone/);
    const server = await sandbox.start();
    expect(server.adopted).toBe(false);
    await server.stop();
  });

  test('a start that is called off leaves no server', async () => {
    sandbox = createEmbeddedSandbox();
    const stop = new AbortController();
    let sleeps = 0;
    const clock = {
      now: () => new Date(),
      monotonicMs: () => performance.now(),
      // The first wait is the one for the launched server to answer.
      sleep: async () => {
        sleeps += 1;
        stop.abort(new Error('called off'));
      },
    };
    await expect(sandbox.start({ clock, signal: stop.signal })).rejects.toThrow('called off');
    expect(sleeps).toBeGreaterThan(0);
    expect(existsSync(join(sandbox.layout.data, 'postmaster.pid'))).toBe(false);
  });
});
