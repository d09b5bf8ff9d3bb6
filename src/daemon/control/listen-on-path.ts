import { existsSync, lstatSync, rmSync } from 'node:fs';
import { connect, type Server } from 'node:net';
import { dirname } from 'node:path';
import { EngramdError, errorMessage } from '../../telemetry/engramd-error.ts';

/** The control socket cannot be made where the settings want it. */
export class SocketPathError extends EngramdError {
  readonly code = 'SOCKET_PATH';
  override readonly exitCode = 2;

  constructor(path: string, why: string, options?: { cause?: unknown }) {
    super(`the control socket ${path} cannot be made: ${why} (ENGRAMD_SOCKET sets another path)`, options);
  }
}

/** Somebody answers on the path. */
export class SocketInUseError extends EngramdError {
  readonly code = 'SOCKET_IN_USE';
  override readonly exitCode = 4;

  constructor(path: string) {
    super(`another process answers on the control socket ${path}; ENGRAMD_SOCKET sets another path`);
  }
}

/** What the kernel's address holds, less its closing zero. */
const maxPathBytes = process.platform === 'darwin' ? 103 : 107;

const reasons: Readonly<Record<string, string>> = {
  EACCES: 'this user may not write there',
  EPERM: 'this user may not write there',
  EROFS: 'the file system is read-only',
  ENOENT: 'its folder does not exist',
  ENOTDIR: 'a part of the path is not a directory',
  EOPNOTSUPP: 'the file system holds no sockets',
};

/**
 * Listens on a unix socket that only this user can open. What a dead daemon left at the path goes; what anybody answers on
 * and what is no socket stays.
 *
 * @throws SocketPathError, SocketInUseError
 */
export async function listenOnPath(server: Server, path: string): Promise<void> {
  const bytes = Buffer.byteLength(path);
  if (bytes > maxPathBytes) throw new SocketPathError(path, `the path has ${bytes} bytes of at most ${maxPathBytes}`);
  try {
    await listenPrivately(server, path);
  } catch (thrown) {
    if (codeOf(thrown) !== 'EADDRINUSE') throw pathError(path, thrown);
    await removeStale(path);
    try {
      await listenPrivately(server, path);
    } catch (again) {
      // Another start was faster.
      if (codeOf(again) === 'EADDRINUSE') throw new SocketInUseError(path);
      throw pathError(path, again);
    }
  }
}

/** The socket is bound within the call of `listen`: with this umask there is no instant at which others could open it. */
function listenPrivately(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    const before = process.umask(0o177);
    try {
      server.listen({ path }, () => {
        server.off('error', reject);
        resolve();
      });
    } finally {
      process.umask(before);
    }
  });
}

async function removeStale(path: string): Promise<void> {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found && !found.isSocket()) throw new SocketPathError(path, 'there is a file of that name which is no socket');
  if (await isAnswered(path)) throw new SocketInUseError(path);
  // Only what was asked: a daemon that started meanwhile has made another one.
  if (found && lstatSync(path, { throwIfNoEntry: false })?.ino === found.ino) rmSync(path, { force: true });
}

function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const socket = connect(path, () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', (error) => {
      const code = codeOf(error);
      if (code === 'ECONNREFUSED' || code === 'ENOENT') resolve(false);
      // A full queue of connections is somebody's.
      else if (code === 'EAGAIN') resolve(true);
      else reject(pathError(path, error));
    });
  });
}

function pathError(path: string, cause: unknown): SocketPathError {
  // libuv says EACCES of a folder that is not there.
  const code = existsSync(dirname(path)) ? codeOf(cause) : 'ENOENT';
  return new SocketPathError(path, reasons[code] ?? errorMessage(cause), { cause });
}

function codeOf(thrown: unknown): string {
  return typeof thrown === 'object' && thrown !== null && 'code' in thrown ? String(thrown.code) : '';
}
