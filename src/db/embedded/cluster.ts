import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { errorMessage } from '../../telemetry/engramd-error.ts';
import type { Log } from '../../telemetry/log.ts';
import type { ServerBinaries } from './binaries.ts';
import { EmbeddedClusterError, EmbeddedStartError } from './embedded-errors.ts';
import { type EmbeddedLayout, serverMajor, superuser } from './layout.ts';
import type { ServerUser } from './server-user.ts';

const run = promisify(execFile);

/**
 * Written to postgresql.conf once, so that an operator may change them there. What must hold for engramd to work is
 * given on the command line at every start instead.
 */
const initialSettings: Readonly<Record<string, string>> = {
  // A daemon's share of a laptop: 100,000 memories of 512 dimensions are 200 MB, mostly cold.
  shared_buffers: '64MB',
  // The daemon's pool is 10; commands run beside it.
  max_connections: '40',
  max_wal_size: '256MB',
  // Compiling plans costs more than our short queries take.
  jit: 'off',
  // Three processes less than the default `worker`.
  io_method: 'sync',
  timezone: 'UTC',
  log_timezone: 'UTC',
};

/** The server's own environment: neither API keys nor PG* variables of ours belong there. */
export function serverEnvironment(): NodeJS.ProcessEnv {
  return { PATH: process.env.PATH ?? '/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' };
}

/**
 * Makes the cluster unless it is there, and returns its password. All of it is made beside and renamed into place: a
 * process killed in here leaves a folder that the next one removes, never half a cluster.
 *
 * @throws EmbeddedClusterError, EmbeddedStartError
 */
export async function ensureCluster(
  layout: EmbeddedLayout,
  options: {
    binaries: ServerBinaries;
    user: ServerUser | undefined;
    isDurable: boolean;
    log: Log;
    signal?: AbortSignal | undefined;
  },
): Promise<string> {
  removeUnfinished(layout, options.log);
  if (!existsSync(layout.home)) {
    assertNoOtherMajor(layout);
    await createCluster(layout, options);
  }
  return readCluster(layout);
}

function readCluster(layout: EmbeddedLayout): string {
  const version = readOrUndefined(join(layout.data, 'PG_VERSION'))?.trim();
  if (version !== serverMajor) {
    throw new EmbeddedClusterError(
      version === undefined
        ? `${layout.data} is not a PostgreSQL cluster: restore it from a backup, or move ${layout.home} away to start empty`
        : `${layout.data} belongs to PostgreSQL ${version}, this engramd brings ${serverMajor}: move ${layout.home} away and import an export of it`,
    );
  }
  const password = readOrUndefined(layout.passwordFile)?.trim();
  if (!password) {
    throw new EmbeddedClusterError(
      `${layout.passwordFile} is missing or empty: put back the password of the database user ${superuser}, it is not stored anywhere else`,
    );
  }
  return password;
}

function assertNoOtherMajor(layout: EmbeddedLayout): void {
  const other = readdirSync(layout.root).find(
    (name) => /^\d+$/.test(name) && existsSync(join(layout.root, name, 'data', 'PG_VERSION')),
  );
  if (other === undefined) return;
  throw new EmbeddedClusterError(
    `${join(layout.root, other)} is a cluster of PostgreSQL ${other}, this engramd brings ${serverMajor} and would start empty beside it: ` +
      `export with the engramd that made it, then move it away and import`,
  );
}

async function createCluster(layout: EmbeddedLayout, options: Parameters<typeof ensureCluster>[1]): Promise<void> {
  const { binaries, user, isDurable, log, signal } = options;
  log.info({ folder: layout.home }, 'creating the embedded database');
  const unfinished = mkdtempSync(join(layout.root, `${serverMajor}.unfinished-`));
  chmodSync(unfinished, user ? 0o711 : 0o700);
  const password = randomBytes(24).toString('base64url');
  writeFileSync(join(unfinished, 'password'), `${password}\n`, { mode: 0o600, flush: isDurable });
  // initdb reads it as the server's user, who may not read the one that stays.
  const passwordForInitdb = join(unfinished, 'password-for-initdb');
  writeFileSync(passwordForInitdb, `${password}\n`, { mode: 0o600 });
  for (const name of ['data', 'run']) mkdirSync(join(unfinished, name), { mode: 0o700 });
  if (user)
    for (const name of ['data', 'run', 'password-for-initdb']) chownSync(join(unfinished, name), user.uid, user.gid);
  const settings = Object.entries(initialSettings).map(([name, value]) => `--set=${name}=${value}`);
  const args = [
    `--pgdata=${join(unfinished, 'data')}`,
    `--username=${superuser}`,
    `--pwfile=${passwordForInitdb}`,
    '--auth-local=scram-sha-256',
    '--auth-host=scram-sha-256',
    '--encoding=UTF8',
    // Sorts and folds case alike on every machine, whatever locales it has.
    '--locale-provider=builtin',
    '--builtin-locale=C.UTF-8',
    '--locale=C',
    '--text-search-config=english',
    '--data-checksums',
    '--no-instructions',
    ...(isDurable ? [] : ['--no-sync']),
    ...settings,
  ];
  try {
    await run(join(binaries.folder, 'bin', 'initdb'), args, {
      env: serverEnvironment(),
      cwd: '/',
      ...(user ? { uid: user.uid, gid: user.gid } : {}),
      ...(signal ? { signal } : {}),
    });
  } catch (cause) {
    signal?.throwIfAborted();
    rmSync(unfinished, { recursive: true, force: true });
    throw explainSpawnFailure(cause, 'initdb');
  }
  rmSync(passwordForInitdb);
  renameSync(unfinished, layout.home);
  if (isDurable) syncFolder(dirname(layout.home));
}

/** What to tell when a program of the server could not be run at all, or ended with an error. */
export function explainSpawnFailure(cause: unknown, program: string): EmbeddedStartError {
  const detail = typeof cause === 'object' && cause !== null && 'stderr' in cause ? String(cause.stderr).trim() : '';
  const hint = spawnHint(typeof cause === 'object' && cause !== null && 'code' in cause ? cause.code : undefined);
  return new EmbeddedStartError(
    `${program} of the embedded PostgreSQL failed${hint}: ${detail || errorMessage(cause)}`,
    { cause },
  );
}

function spawnHint(code: unknown): string {
  // The file is there, so it is the dynamic loader of glibc that is not.
  if (code === 'ENOENT') return ' (its binaries need glibc; on Alpine and other musl systems set DATABASE_URL)';
  if (code === 'EACCES')
    return ' (if the data directory is on a file system mounted noexec, set ENGRAMD_DATA_DIR to another)';
  return '';
}

function removeUnfinished(layout: EmbeddedLayout, log: Log): void {
  for (const name of readdirSync(layout.root)) {
    if (!name.startsWith(`${serverMajor}.unfinished-`)) continue;
    try {
      rmSync(join(layout.root, name), { recursive: true, force: true, maxRetries: 5 });
    } catch (thrown) {
      // An initdb that outlived its parent may still be writing; the next start gets it.
      log.warn(
        { folder: join(layout.root, name), error: errorMessage(thrown) },
        'an unfinished cluster could not be removed',
      );
    }
  }
}

function syncFolder(folder: string): void {
  const handle = openSync(folder, 'r');
  try {
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}

function readOrUndefined(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (thrown) {
    if (typeof thrown === 'object' && thrown !== null && 'code' in thrown && thrown.code === 'ENOENT') return undefined;
    throw thrown;
  }
}
