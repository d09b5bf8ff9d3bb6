import { EngramdError } from '../../telemetry/engramd-error.ts';

/** No PostgreSQL binaries for this machine. A server of one's own (`DATABASE_URL`) works everywhere. */
export class UnsupportedPlatformError extends EngramdError {
  readonly code = 'EMBEDDED_UNSUPPORTED_PLATFORM';
  override readonly exitCode = 2;
}

/** The kernel's limit for the path of a unix socket; a longer one cannot be bound nor connected to. */
export class SocketPathTooLongError extends EngramdError {
  readonly code = 'SOCKET_PATH_TOO_LONG';
  override readonly exitCode = 2;
  readonly path: string;
  readonly lengthBytes: number;

  constructor(path: string, limitBytes: number) {
    const lengthBytes = Buffer.byteLength(path);
    super(
      `the socket path ${path} has ${lengthBytes} bytes, this system allows ${limitBytes}: set ENGRAMD_DATA_DIR to a shorter directory`,
    );
    this.path = path;
    this.lengthBytes = lengthBytes;
  }
}

/** Started by root, and there is no other user to run PostgreSQL as. */
export class NoServerUserError extends EngramdError {
  readonly code = 'EMBEDDED_NO_SERVER_USER';
  override readonly exitCode = 2;
}

/** A folder above the data directory keeps the server's user out. */
export class DataDirUnreachableError extends EngramdError {
  readonly code = 'EMBEDDED_DATA_DIR_UNREACHABLE';
  override readonly exitCode = 2;
}

/** Files of the embedded server cannot be written or read: rights, a read-only or full disk. */
export class EmbeddedStorageError extends EngramdError {
  readonly code = 'EMBEDDED_STORAGE';
  override readonly exitCode = 2;
}

/** The data directory holds a cluster that this PostgreSQL cannot read, or half of one. */
export class EmbeddedClusterError extends EngramdError {
  readonly code = 'EMBEDDED_CLUSTER';
  override readonly exitCode = 2;
}

/** initdb or the server ended, or never answered. The message ends with the last lines of its log. */
export class EmbeddedStartError extends EngramdError {
  readonly code = 'EMBEDDED_START';
}

/** The server outlived both SIGINT and SIGQUIT. It is left alone: SIGKILL would leave its shared memory behind. */
export class EmbeddedStopError extends EngramdError {
  readonly code = 'EMBEDDED_STOP';
}
