import { spawnSync } from 'node:child_process';
import {
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { copyBinaries, locateBinaries } from '../../src/db/embedded/binaries.ts';
import {
  DataDirUnreachableError,
  EmbeddedClusterError,
  EmbeddedStartError,
  EmbeddedStorageError,
  NoServerUserError,
  SocketPathTooLongError,
  UnsupportedPlatformError,
} from '../../src/db/embedded/embedded-errors.ts';
import { startEmbeddedPostgres } from '../../src/db/embedded/embedded-postgres.ts';
import { connectionUrl, embeddedLayout } from '../../src/db/embedded/layout.ts';
import { chooseServerUser } from '../../src/db/embedded/server-user.ts';
import { systemClock } from '../../src/telemetry/clock.ts';
import { silentLog } from '../../src/telemetry/log.ts';
import { ask, createEmbeddedSandbox, type EmbeddedSandbox, firstMessage } from '../support/embedded-sandbox.ts';
import { createScratchFolder, removeScratchFolder } from '../support/scratch-folder.ts';

// Each makes clusters, a second apiece on an idle machine.
vi.setConfig({ testTimeout: 90_000, hookTimeout: 90_000 });

const isRoot = process.getuid?.() === 0;
const nobody = 65534;
const here = import.meta.dirname;
const canNobodyReadUs =
  isRoot && spawnSync('/bin/sh', ['-c', 'cd -- "$1"', 'sh', here], { uid: nobody, gid: nobody, cwd: '/' }).status === 0;
if (!isRoot) console.info('skipped: the cases in which root starts the server');
else if (!canNobodyReadUs) console.info('skipped: starting as a plain user, who cannot read this checkout');

let sandbox: EmbeddedSandbox;
beforeEach(() => {
  sandbox = createEmbeddedSandbox();
});
afterEach(() => sandbox.remove());

const failureOf = (promise: Promise<unknown>) =>
  promise.then(
    () => expect.unreachable(),
    (thrown: unknown) => thrown,
  );

describe('the path of the socket', () => {
  const ending = '/postgres/18/run/.s.PGSQL.5432';
  const limit = process.platform === 'darwin' ? 103 : 107;
  const dataDirFor = (bytes: number) => `/${'d'.repeat(bytes - ending.length - 1)}`;

  test('may be as long as the kernel allows', () => {
    expect(embeddedLayout(dataDirFor(limit)).socket).toHaveLength(limit);
  });

  test('is refused a byte above, counted in bytes, with the way out', () => {
    expect(() => embeddedLayout(dataDirFor(limit + 1))).toThrow(SocketPathTooLongError);
    expect(() => embeddedLayout(dataDirFor(limit).replace('dd', 'dé'))).toThrow(SocketPathTooLongError);
    const failure = (() => {
      try {
        return embeddedLayout(dataDirFor(limit + 1));
      } catch (thrown) {
        return thrown;
      }
    })();
    expect(failure).toMatchObject({ exitCode: 2, lengthBytes: limit + 1 });
    expect(String(failure)).toMatch(
      new RegExp(`${ending} has ${limit + 1} bytes, this system allows ${limit}: set ENGRAMD_DATA_DIR`),
    );
  });

  test('at the limit really works', async () => {
    const parent = createScratchFolder();
    const dataDir = join(parent, 'd'.repeat(limit - ending.length - parent.length - 1));
    mkdirSync(dataDir);
    try {
      const server = await startEmbeddedPostgres({
        dataDir,
        log: silentLog,
        clock: systemClock,
        extraSettings: { fsync: 'off' },
      });
      expect(await ask(server.connectionString, 'select 1 as one')).toEqual([{ one: 1 }]);
      await server.stop();
    } finally {
      removeScratchFolder(parent);
    }
  });

  test('survives blanks and signs that mean something in a URL', () => {
    const url = new URL(connectionUrl(embeddedLayout('/a b/c?d#e%20'), 'p@ss/wörd', 'engramd'));
    expect(decodeURIComponent(url.hostname)).toBe('/a b/c?d#e%20/postgres/18/run');
    expect(decodeURIComponent(url.password)).toBe('p@ss/wörd');
  });
});

describe('a data directory that cannot be used', () => {
  test('because another major version lives there', async () => {
    const other = join(sandbox.layout.root, '17', 'data');
    mkdirSync(other, { recursive: true });
    writeFileSync(join(other, 'PG_VERSION'), '17\n');
    const failure = await failureOf(sandbox.start());
    expect(failure).toBeInstanceOf(EmbeddedClusterError);
    expect(failure).toMatchObject({
      exitCode: 2,
      message: expect.stringMatching(/PostgreSQL 17, this engramd brings 18/),
    });
    expect(existsSync(sandbox.layout.home)).toBe(false);
  });

  test('because the cluster itself is of another major version', async () => {
    mkdirSync(sandbox.layout.data, { recursive: true });
    writeFileSync(join(sandbox.layout.data, 'PG_VERSION'), '19\n');
    await expect(sandbox.start()).rejects.toThrow(/belongs to PostgreSQL 19, this engramd brings 18/);
  });

  test('because the password is gone', async () => {
    const server = await sandbox.start();
    await server.stop();
    rmSync(sandbox.layout.passwordFile);
    const failure = await failureOf(sandbox.start());
    expect(failure).toBeInstanceOf(EmbeddedClusterError);
    expect(String(failure)).toContain(sandbox.layout.passwordFile);
  });

  test('because the server does not start: its last words are told', async () => {
    const failure = await failureOf(sandbox.start({ extraSettings: { fsync: 'off', work_mem: 'plenty' } }));
    expect(failure).toBeInstanceOf(EmbeddedStartError);
    expect(String(failure)).toMatch(
      /ended with code 1; the end of .*server\.log:\n.*invalid value for parameter "work_mem"/s,
    );
  });

  test('because something that is not a directory is in the way', async () => {
    writeFileSync(sandbox.layout.root, '');
    await expect(sandbox.start()).rejects.toThrow(EmbeddedStorageError);
  });
});

describe('the binaries', () => {
  test('are missing for systems that have none', () => {
    for (const [platform, arch] of [
      ['win32', 'x64'],
      ['linux', 's390x'],
    ] as const) {
      expect(() => locateBinaries(platform, arch)).toThrow(UnsupportedPlatformError);
      expect(() => locateBinaries(platform, arch)).toThrow(/set DATABASE_URL/);
    }
    // Known, and not installed on a machine that is something else.
    const [platform, arch] = process.platform === 'darwin' ? ['linux', 'x64'] : ['darwin', 'arm64'];
    expect(() => locateBinaries(platform, arch)).toThrow(/is not installed/);
  });

  test('are readable for everybody and have the links that install scripts would have made', () => {
    const packageFolder = join(sandbox.dataDir, 'package');
    const native = join(packageFolder, 'native');
    mkdirSync(join(native, 'bin'), { recursive: true, mode: 0o700 });
    mkdirSync(join(native, 'lib'));
    writeFileSync(join(native, 'bin', 'postgres'), 'program', { mode: 0o700 });
    writeFileSync(join(native, 'lib', 'libpq.so.5.18'), 'library', { mode: 0o600 });
    writeFileSync(join(native, 'lib', 'libpq.a'), 'for compilers');
    writeFileSync(
      join(native, 'pg-symlinks.json'),
      JSON.stringify([{ source: 'native/lib/libpq.so.5.18', target: 'native/lib/libpq.so.5' }]),
    );
    const copy = copyBinaries({ folder: native, version: '18.4.0' }, sandbox.layout.root);
    expect(readlinkSync(join(copy.folder, 'lib', 'libpq.so.5'))).toBe('libpq.so.5.18');
    expect(readFileSync(join(copy.folder, 'lib', 'libpq.so.5'), 'utf8')).toBe('library');
    expect(statSync(join(copy.folder, 'bin', 'postgres')).mode & 0o777).toBe(0o755);
    expect(statSync(join(copy.folder, 'lib', 'libpq.so.5.18')).mode & 0o777).toBe(0o644);
    expect(statSync(join(native, 'bin', 'postgres')).mode & 0o777).toBe(0o700);
    expect(existsSync(join(copy.folder, 'lib', 'libpq.a'))).toBe(false);
    expect(lstatSync(copy.folder).mode & 0o777).toBe(0o755);
  });
});

describe.skipIf(!isRoot)('started by root', () => {
  test('the server runs as somebody else', async () => {
    const server = await sandbox.start();
    const owner = statSync(`/proc/${server.pid}`).uid;
    expect(owner).not.toBe(0);
    expect(statSync(sandbox.layout.data).uid).toBe(owner);
    await server.stop();
  });

  test('a cluster keeps its owner, whoever would be chosen today', () => {
    const data = join(sandbox.dataDir, 'owned');
    expect(chooseServerUser(data, ['nobody'])).toMatchObject({ name: 'nobody', uid: nobody });
    mkdirSync(data);
    chownSync(data, 12_345, 12_346);
    expect(chooseServerUser(data, ['nobody'])).toMatchObject({ uid: 12_345, gid: 12_346 });
  });

  test('no user to run it as is an error that says what to do', () => {
    const none = ['engramd-no-such-user'];
    expect(() => chooseServerUser('/nonexistent', none)).toThrow(NoServerUserError);
    expect(() => chooseServerUser('/nonexistent', none)).toThrow(
      /add one, start engramd as another user, or set DATABASE_URL/,
    );
  });

  test('a folder that keeps the server’s user out is named', async () => {
    const closed = join(sandbox.dataDir, 'closed');
    mkdirSync(closed, { mode: 0o700 });
    const dataDir = join(closed, 'data');
    mkdirSync(dataDir, { mode: 0o711 });
    const failure = await failureOf(startEmbeddedPostgres({ dataDir, log: silentLog, clock: systemClock }));
    expect(failure).toBeInstanceOf(DataDirUnreachableError);
    expect(String(failure)).toContain(`cannot enter ${closed}: set ENGRAMD_DATA_DIR`);
  });
});

describe.skipIf(!canNobodyReadUs)('started by a plain user', () => {
  test('the server runs as that user', async () => {
    chownSync(sandbox.dataDir, nobody, nobody);
    const child = sandbox.spawn({ uid: nobody, gid: nobody });
    const up = await firstMessage(child);
    if (up.kind !== 'up') throw new Error(up.message);
    expect(await ask(up.connectionString, 'select 1 as one')).toEqual([{ one: 1 }]);
    expect(statSync(sandbox.layout.data).uid).toBe(nobody);
    expect(statSync(sandbox.layout.passwordFile)).toMatchObject({ uid: nobody });
    expect(statSync(sandbox.layout.root).mode & 0o777).toBe(0o700);
    child.send('stop');
    await new Promise((resolve) => child.once('exit', resolve));

    // And root goes on with what that user began, as that user.
    const server = await sandbox.start();
    expect(statSync(`/proc/${server.pid}`).uid).toBe(nobody);
    await server.stop();
  });

  test('a data directory that the user may not write to is an error of its own', async () => {
    const failure = await firstMessage(sandbox.spawn({ uid: nobody, gid: nobody }));
    expect(failure).toMatchObject({
      kind: 'failed',
      name: EmbeddedStorageError.name,
      message: expect.stringContaining(sandbox.dataDir),
    });
  });
});
