import { mkdir, open, rename, rm } from 'node:fs/promises';
import { errorMessage } from '../telemetry/engramd-error.ts';
import { BackupStorageError } from './backup-errors.ts';

/** As much of the file system as backups change. A test puts one in its place that is full. */
export interface BackupFiles {
  /** And those above it, where there are none. */
  makeFolder(path: string): Promise<void>;
  /** A new file. */
  create(path: string): Promise<NewFile>;
  rename(from: string, to: string): Promise<void>;
  /** With all that is in it; nothing where there is none. */
  remove(path: string): Promise<void>;
  /** Names in a folder are on the disk only after this. */
  syncFolder(path: string): Promise<void>;
}

export interface NewFile {
  write(bytes: Uint8Array): Promise<void>;
  sync(): Promise<void>;
  close(): Promise<void>;
}

/** Everything only for whoever runs the daemon: a backup is all that it knows. */
export const nodeFiles: BackupFiles = {
  async makeFolder(path) {
    await mkdir(path, { recursive: true, mode: 0o700 });
  },
  async create(path) {
    const handle = await open(path, 'wx', 0o600);
    return {
      async write(bytes) {
        for (let at = 0; at < bytes.length; ) at += (await handle.write(bytes, at)).bytesWritten;
      },
      sync: () => handle.sync(),
      close: () => handle.close(),
    };
  },
  rename,
  remove: (path) => rm(path, { recursive: true, force: true }),
  async syncFolder(path) {
    const handle = await open(path, 'r');
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  },
};

/** The same, whose failures name the setting. */
export function guardFiles(files: BackupFiles, directory: string): BackupFiles {
  const guarded = async <T>(work: Promise<T>): Promise<T> => {
    try {
      return await work;
    } catch (thrown) {
      throw storageError(thrown, directory);
    }
  };
  return {
    makeFolder: (path) => guarded(files.makeFolder(path)),
    async create(path) {
      const file = await guarded(files.create(path));
      return {
        write: (bytes) => guarded(file.write(bytes)),
        sync: () => guarded(file.sync()),
        close: () => guarded(file.close()),
      };
    },
    rename: (from, to) => guarded(files.rename(from, to)),
    remove: (path) => guarded(files.remove(path)),
    syncFolder: (path) => guarded(files.syncFolder(path)),
  };
}

/** What the file system said about the backup directory, with what to do about it. */
export function storageError(thrown: unknown, directory: string): BackupStorageError {
  const said = errorMessage(thrown);
  const trouble = troubles[codeOf(thrown)] ?? `failed; is it well? Else ${elsewhere}`;
  return new BackupStorageError(`the backup directory ${directory} ${trouble} (${said})`, { cause: thrown });
}

/** Why a file could not be read, which is no damage: whoever may read it, or tries again, may find it whole. */
export function readError(thrown: unknown, path: string): BackupStorageError {
  const hint = codeOf(thrown) === 'EACCES' ? ': give this user the right to read it' : '';
  return new BackupStorageError(`${path} cannot be read (${errorMessage(thrown)})${hint}`, { cause: thrown });
}

export function isMissing(thrown: unknown): boolean {
  return codeOf(thrown) === 'ENOENT';
}

function codeOf(thrown: unknown): string {
  return thrown instanceof Error && 'code' in thrown ? String(thrown.code) : '';
}

const elsewhere = 'let ENGRAMD_BACKUP_DIR name another one';
const full = `is full: free some space there, keep fewer (ENGRAMD_BACKUP_KEEP), or ${elsewhere}`;
const forbidden = `may not be read or written by this user: change its rights and owner, or ${elsewhere}`;
const notFolder = `is not a directory: a file has its place; move that, or ${elsewhere}`;
const troubles: Readonly<Record<string, string>> = {
  ENOSPC: full,
  EDQUOT: full,
  EACCES: forbidden,
  EPERM: forbidden,
  EROFS: forbidden,
  EEXIST: notFolder,
  ENOTDIR: notFolder,
};
