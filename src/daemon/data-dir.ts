import { randomUUID } from 'node:crypto';
import { chmodSync, closeSync, mkdirSync, openSync, readdirSync, rmSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { EngramdError, errorMessage } from '../telemetry/engramd-error.ts';

/** The data directory cannot be made or written to. */
export class DataDirNotWritableError extends EngramdError {
  readonly code = 'DATA_DIR_NOT_WRITABLE';
  override readonly exitCode = 2;
}

const reasons: Readonly<Record<string, string>> = {
  EACCES: 'this user may not write there',
  EPERM: 'this user may not write there',
  EROFS: 'the file system is read-only',
  ENOSPC: 'the disk is full',
  EDQUOT: "this user's quota is used up",
  ENOTDIR: 'a part of the path is not a directory',
  EEXIST: 'it is not a directory',
  ENOENT: 'the path does not exist and cannot be created',
};

/**
 * Makes the data directory, 0700 (0711 for root, whose database server is another user), proves that it can be
 * written to, and returns its absolute path.
 *
 * @throws DataDirNotWritableError
 */
export function prepareDataDir(path: string, isRoot = process.getuid?.() === 0): string {
  const folder = resolve(path);
  const mode = isRoot ? 0o711 : 0o700;
  try {
    const firstMade = makeFolders(folder);
    if (firstMade !== undefined) {
      // The umask may have made them narrower than the server's user can pass.
      for (let made = folder; made.length >= firstMade.length; made = dirname(made)) chmodSync(made, mode);
    } else if (isOurs(folder) && (statSync(folder).mode & 0o777) !== mode) {
      tryChmod(folder, mode);
    }
    const probe = join(folder, `.write-probe-${randomUUID()}`);
    closeSync(openSync(probe, 'wx', 0o600));
    rmSync(probe);
    return folder;
  } catch (cause) {
    const code = typeof cause === 'object' && cause !== null && 'code' in cause ? String(cause.code) : '';
    throw new DataDirNotWritableError(
      `the data directory ${folder} cannot be used: ${reasons[code] ?? errorMessage(cause)} (ENGRAMD_DATA_DIR sets another)`,
      { cause },
    );
  }
}

/**
 * Makes the folder and those above it, and returns the topmost it made. mkdir's own `recursive` spins for ever where a
 * parent is there and answers ENOENT all the same, as /proc does.
 */
function makeFolders(folder: string): string | undefined {
  if (statSync(folder, { throwIfNoEntry: false })?.isDirectory()) return undefined;
  const parent = dirname(folder);
  const firstMade = statSync(parent, { throwIfNoEntry: false }) ? undefined : makeFolders(parent);
  try {
    mkdirSync(folder);
  } catch (thrown) {
    // Another process may have made it since.
    if (!statSync(folder, { throwIfNoEntry: false })?.isDirectory()) throw thrown;
    return firstMade;
  }
  return firstMade ?? folder;
}

/**
 * Whether its mode is ours to set: empty, such as a fresh volume, or used by us before. Setting that of a directory which
 * somebody merely pointed us at, say /tmp, would break it for everybody else.
 */
function isOurs(folder: string): boolean {
  const names = readdirSync(folder);
  return names.length === 0 || names.includes('lock');
}

function tryChmod(folder: string, mode: number): void {
  try {
    chmodSync(folder, mode);
  } catch {
    // A volume of somebody else that we may write to. Secrets in it are 0600 anyway.
  }
}
