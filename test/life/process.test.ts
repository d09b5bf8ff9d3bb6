import { existsSync, readdirSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, inject, it, vi } from 'vitest';
import { readDaemonFile } from '../../src/daemon/daemon-file.ts';
import { embeddedLayout } from '../../src/db/embedded/layout.ts';
import { findPostmaster, stopPostmaster } from '../../src/db/embedded/postmaster.ts';
import { systemClock } from '../../src/telemetry/clock.ts';
import { silentLog } from '../../src/telemetry/log.ts';
import { withAdmin } from '../support/admin-connection.ts';
import { type EngramdProcess, engramd, spawnEngramd, startDaemon } from '../support/engramd-process.ts';
import { createScratchFolder, removeScratchFolder } from '../support/scratch-folder.ts';
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts';

// Real processes, on a machine that may be busy.
vi.setConfig({ testTimeout: 90_000 });

const folders: string[] = [];
const processes: EngramdProcess[] = [];

function scratch(): string {
  const folder = createScratchFolder();
  folders.push(folder);
  return folder;
}

function track<T extends EngramdProcess>(process: T): T {
  processes.push(process);
  return process;
}

afterEach(async () => {
  for (const { child, ended } of processes.splice(0)) {
    child.kill('SIGKILL');
    await ended;
  }
  for (const folder of folders.splice(0)) {
    const found = findPostmaster(embeddedLayout(folder).data);
    if (found.kind === 'ours') await stopPostmaster(found.process, { clock: systemClock, log: silentLog });
    removeScratchFolder(folder);
  }
});

/** Nobody works in the folder: no address, no owner of the lock, no server. */
function expectNothingLeft(dataDir: string): void {
  expect(readDaemonFile(dataDir)).toBeUndefined();
  expect(readdirSync(join(dataDir, 'lock'))).toEqual([]);
  expect(findPostmaster(embeddedLayout(dataDir).data).kind).toBe('absent');
}

describe('on an embedded database', () => {
  it('stops in order on SIGTERM, adopts what a killed daemon left, and keeps a second one out', async () => {
    const dataDir = scratch();
    const first = track(await startDaemon(dataDir));
    expect((await fetch(`${first.file.url}/readyz`)).status).toBe(200);

    const second = await engramd(['run', '--data-dir', dataDir, '--http-port', '0']);
    expect(second.code).toBe(4);
    expect(second.stderr).toMatch(new RegExp(`^engramd: .*${first.file.pid}.*\n$`));

    first.child.kill('SIGKILL');
    await first.ended;
    expect(findPostmaster(embeddedLayout(dataDir).data).kind).toBe('ours');

    const third = track(await startDaemon(dataDir));
    expect(third.output().stderr).toContain('adopted the embedded database');
    third.child.kill('SIGTERM');
    expect(await third.ended).toMatchObject({ code: 0, stdout: '' });
    expectNothingLeft(dataDir);
  });

  it('fails, in order, when its server is gone, and starts again', async () => {
    const dataDir = scratch();
    const daemon = track(await startDaemon(dataDir));
    const server = findPostmaster(embeddedLayout(dataDir).data);
    if (server.kind !== 'ours') throw new Error(`the server is ${server.kind}`);
    process.kill(server.process.pid, 'SIGQUIT');
    const ended = await daemon.ended;
    expect(ended.code).toBe(1);
    expect(ended.stderr).toContain('the embedded database ended by itself');
    const next = track(await startDaemon(dataDir));
    next.child.kill('SIGTERM');
    expect((await next.ended).code).toBe(0);
    expectNothingLeft(dataDir);
  });

  it('stops what it had started when a signal meets it on the way up', async () => {
    const dataDir = scratch();
    const starting = track(spawnEngramd(['run', '--data-dir', dataDir, '--http-port', '0']));
    while (!existsSync(join(dataDir, 'lock', 'owner'))) await new Promise((resolve) => setTimeout(resolve, 5));
    starting.child.kill('SIGTERM');
    const ended = await starting.ended;
    expect(ended.code).toBe(0);
    expect(ended.stderr).toContain('stopped before the start was complete');
    expectNothingLeft(dataDir);
  });
});

describe('on a database of its own', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterAll(() => database.drop());

  const env = () => ({ DATABASE_URL: database.connectionString });

  async function stopReasonOf(instanceId: string): Promise<unknown> {
    const { rows } = await database.db.query(
      'select role, stopped_at is not null as stopped, stop_reason as reason from engram.instances where id = $1',
      [instanceId],
    );
    return rows[0];
  }

  it.each(['SIGTERM', 'SIGINT'] as const)('ends on %s with code 0 and leaves its reason', async (signal) => {
    const daemon = track(await startDaemon(scratch(), env()));
    daemon.child.kill(signal);
    expect((await daemon.ended).code).toBe(0);
    expect(await stopReasonOf(daemon.file.instanceId)).toEqual({ role: 'daemon', stopped: true, reason: signal });
  });

  it('does not let a request without an end hold up an ordered stop', async () => {
    const dataDir = scratch();
    const daemon = track(await startDaemon(dataDir, env()));
    await openRequest(daemon.file.url);
    daemon.child.kill('SIGTERM');
    expect((await daemon.ended).code).toBe(0);
    expectNothingLeft(dataDir);
  });

  it('exits at once on a second signal', async () => {
    const daemon = track(await startDaemon(scratch(), env()));
    // Holds the first step of the stop for two seconds, so that there is something for the second signal to cut short.
    await openRequest(daemon.file.url);
    daemon.child.kill('SIGTERM');
    while (!daemon.output().stderr.includes('stopping')) await new Promise((resolve) => setTimeout(resolve, 5));
    daemon.child.kill('SIGINT');
    expect((await daemon.ended).code).toBe(130);
    expect(await stopReasonOf(daemon.file.instanceId)).toMatchObject({ stopped: false });
  });

  it('leaves the reason of a bug, stops in order and fails', async () => {
    const dataDir = scratch();
    const entry = fileURLToPath(new URL('./crashing-daemon.ts', import.meta.url));
    const daemon = track(spawnEngramd([], { ...env(), ENGRAMD_DATA_DIR: dataDir, ENGRAMD_HTTP_PORT: '0' }, entry));
    let file = readDaemonFile(dataDir);
    for (; !file; file = readDaemonFile(dataDir)) await new Promise((resolve) => setTimeout(resolve, 20));
    daemon.child.kill('SIGUSR2');
    expect((await daemon.ended).code).toBe(1);
    const reason = 'uncaughtException: nobody thought of this';
    expect(await stopReasonOf(file.instanceId)).toEqual({ role: 'daemon', stopped: true, reason });
    expectNothingLeft(dataDir);
  });

  it('says which port is taken', async () => {
    const taken = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => taken.once('listening', resolve));
    const address = taken.address();
    const port = typeof address === 'object' && address !== null ? String(address.port) : '';
    const dataDir = scratch();
    const ended = await engramd(['run', '--data-dir', dataDir, '--http-port', port], env());
    taken.close();
    expect(ended).toMatchObject({ code: 1, stderr: expect.stringContaining(`cannot listen on 127.0.0.1:${port}`) });
    const { rows } = await database.db.query(
      'select stop_reason as reason from engram.instances order by id desc limit 1',
    );
    expect(rows).toEqual([{ reason: expect.stringMatching(/^the start failed: cannot listen/) }]);
    expectNothingLeft(dataDir);
  });
});

/** A request that has begun and will never be complete. */
async function openRequest(url: string): Promise<void> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  socket.on('error', () => undefined);
  await new Promise((resolve) => socket.once('connect', resolve));
  const head = `POST /v1/banks/b/memories HTTP/1.1\r\nhost: ${hostname}\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{`;
  await new Promise((resolve) => socket.write(head, resolve));
}

describe('refuses to start, in one line and with its code', () => {
  const start = (args: readonly string[], env: Record<string, string> = {}) =>
    engramd(['run', '--http-port', '0', '--data-dir', scratch(), ...args], env);

  it.each([
    ['a bad setting', { ENGRAMD_DB_POOL_MAX: 'many' }, [], 2, 'ENGRAMD_DB_POOL_MAX: expected a whole number'],
    ['another host without a token', {}, ['--http-host', '0.0.0.0'], 2, 'needs ENGRAMD_API_TOKEN'],
    ['a model without an endpoint', { ENGRAMD_DECIDER: 'llm' }, [], 2, 'llm needs OPENAI_API_KEY'],
    ['a budget of nothing', { ENGRAMD_BUDGET_USD_PER_DAY: '0' }, [], 2, 'expected an amount of dollars above 0'],
    [
      'prices that are not there',
      { ENGRAMD_PRICES_FILE: '/no/such/file' },
      [],
      2,
      'ENGRAMD_PRICES_FILE: /no/such/file',
    ],
    ['a data directory below a file', {}, ['--data-dir', '/dev/null/engramd'], 2, 'cannot be used'],
    ['a socket path too long', {}, ['--data-dir', `/tmp/${'x'.repeat(100)}`], 2, 'the socket path'],
    ['a database that is down', { DATABASE_URL: 'postgres://127.0.0.1:1/x' }, [], 1, 'does not answer'],
  ])('%s', async (_, env, args, code, words) => {
    const ended = await start(args, env);
    expect(ended).toMatchObject({ code, stdout: '' });
    expect(ended.stderr).toMatch(new RegExp(`^engramd: [^\n]*${words}[^\n]*\n$`));
    removeScratchFolder(`/tmp/${'x'.repeat(100)}`);
  });

  describe('because of the database', () => {
    let database: TestDatabase;
    beforeAll(async () => {
      database = await createTestDatabase();
    });
    afterAll(() => database.drop());

    const asRole = (role: string) => {
      const url = new URL(database.connectionString);
      [url.username, url.password] = [role, 'pw'];
      return url.href;
    };

    it('is migrated by a newer engramd', async () => {
      await database.db.query(
        "insert into engram.migrations (version, name, checksum) values (9999, '9999-x.sql', 'x')",
      );
      const ended = await start([], { DATABASE_URL: database.connectionString });
      await database.db.query('delete from engram.migrations where version = 9999');
      expect(ended).toMatchObject({ code: 2, stderr: expect.stringContaining('a newer engramd') });
    });

    it('is not there', async () => {
      const url = new URL(database.connectionString);
      url.pathname = '/no_such_database';
      const ended = await start([], { DATABASE_URL: url.href });
      expect(ended).toMatchObject({ code: 2, stderr: expect.stringContaining('refused the connection') });
    });

    it('is read-only for this role, or gives it no right', async () => {
      const role = `engramd_test_${process.pid}`;
      await withAdmin(inject('postgres').adminUrl, async (admin) => {
        await admin.query(`create role ${role} login password 'pw'`);
        try {
          const refused = await start([], { DATABASE_URL: asRole(role) });
          expect(refused).toMatchObject({ code: 2, stderr: expect.stringContaining('lacks a right') });
          await admin.query(`alter role ${role} set default_transaction_read_only = on`);
          const readOnly = await start([], { DATABASE_URL: asRole(role) });
          expect(readOnly).toMatchObject({ code: 2, stderr: expect.stringContaining('read-only') });
        } finally {
          await admin.query(`drop role ${role}`);
        }
      });
    });
  });
});
