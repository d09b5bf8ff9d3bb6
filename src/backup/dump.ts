import { type DirectSession, openDirectSession } from '../db/direct-session.ts';
import { readStoreIdentity, type StoreIdentity } from '../store/store-origin.ts';
import { type BackupFiles, guardFiles } from './backup-files.ts';
import { holdBackupLock } from './backup-lock.ts';
import { dumpTable } from './dump-table.ts';
import type { ManifestTable } from './manifest.ts';
import { beginSnapshot, readSnapshotFacts, type SnapshotFacts } from './snapshot-facts.ts';
import type { TableColumns } from './table-copy.ts';

/** One connection for one backup: its lock from beginning to end, and between them its snapshot. One call at a time. */
export interface Dump {
  /** Aborted when the connection is lost, and with it the lock. */
  readonly lost: AbortSignal;
  /** @returns what it is the lock of @throws BackupBusyError */
  lock(): Promise<StoreIdentity>;
  /** @throws ColumnAddedError */
  begin(): Promise<SnapshotFacts>;
  /**
   * Writes a table into its file in the folder, onto the disk.
   *
   * @throws BackupStorageError, after which nothing but `close` may be called
   */
  table(table: TableColumns, folder: string, onRows: (rows: number) => void): Promise<ManifestTable>;
  /** Ends the snapshot, which kept the server from cleaning up. The lock stays. */
  end(): Promise<void>;
  /** At once, whatever is under way. */
  close(): Promise<void>;
}

export interface DumpOptions {
  readonly connectionString: string;
  /** The backup directory, for what is said where it cannot be written. */
  readonly directory: string;
}

export type OpenDump = (options: DumpOptions) => Dump;

/** In this thread. {@link openDumpThread} has the same in one of its own. */
export function openDump(options: DumpOptions & { readonly files: BackupFiles }): Dump {
  const files = guardFiles(options.files, options.directory);
  const lost = new AbortController();
  let opened: Promise<DirectSession> | undefined;

  function open(): Promise<DirectSession> {
    opened ??= openDirectSession({
      connectionString: options.connectionString,
      applicationName: 'engramd backup',
      onLost: (error) => lost.abort(error),
    });
    return opened;
  }

  return {
    lost: lost.signal,
    async lock() {
      const session = await open();
      await holdBackupLock(session);
      return readStoreIdentity(session);
    },
    async begin() {
      const session = await open();
      await beginSnapshot(session);
      return readSnapshotFacts(session);
    },
    table: async (table, folder, onRows) => dumpTable(await open(), table, { folder, files, onRows }),
    end: async () => (await open()).script('commit'),
    async close() {
      const session = await opened?.catch(() => undefined);
      await session?.close().catch(() => undefined);
    },
  };
}
