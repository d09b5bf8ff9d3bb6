import { join, resolve } from 'node:path';
import { SocketPathTooLongError } from './embedded-errors.ts';

/** The major version whose binaries engramd ships; a cluster of another major cannot be opened. */
export const serverMajor = '18';

export const serverPort = 5432;
export const superuser = 'engramd';
export const databaseName = 'engramd';

/** Where everything of the embedded server lies. */
export interface EmbeddedLayout {
  /** `<data dir>/postgres`: clusters by major version, and the copied binaries. */
  readonly root: string;
  /** Copies of the binaries, a folder a version; only where node_modules cannot be used in place. */
  readonly binaries: string;
  /** All of one cluster. It appears by a rename, so password and data are there together or not at all. */
  readonly home: string;
  /** PGDATA. 0700, owned by the server's user. */
  readonly data: string;
  /** The superuser's password, 0600. */
  readonly passwordFile: string;
  /** Folder of the socket, 0700, owned by the server's user. */
  readonly socketFolder: string;
  readonly socket: string;
  readonly logFile: string;
}

/** @throws SocketPathTooLongError */
export function embeddedLayout(dataDir: string): EmbeddedLayout {
  const root = join(resolve(dataDir), 'postgres');
  const home = join(root, serverMajor);
  const socketFolder = join(home, 'run');
  const socket = join(socketFolder, `.s.PGSQL.${serverPort}`);
  // sun_path holds 108 bytes on Linux and 104 on macOS, the last one a NUL.
  const limitBytes = process.platform === 'darwin' ? 103 : 107;
  if (Buffer.byteLength(socket) > limitBytes) throw new SocketPathTooLongError(socket, limitBytes);
  return {
    root,
    binaries: join(root, 'bin'),
    home,
    data: join(home, 'data'),
    passwordFile: join(home, 'password'),
    socketFolder,
    socket,
    logFile: join(home, 'server.log'),
  };
}

/** A URL that node-postgres and libpq both read: the socket folder stands percent-encoded in the host's place. */
export function connectionUrl(layout: EmbeddedLayout, password: string, database: string): string {
  const host = encodeURIComponent(layout.socketFolder);
  return `postgresql://${superuser}:${encodeURIComponent(password)}@${host}:${serverPort}/${database}`;
}
