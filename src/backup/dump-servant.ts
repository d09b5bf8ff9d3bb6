import type { StoreIdentity } from '../store/store-origin.ts';
import { type EngramdError, errorMessage } from '../telemetry/engramd-error.ts';
import {
  BackupBusyError,
  BackupDamagedError,
  BackupLocaleError,
  BackupNewerError,
  BackupStorageError,
  BackupUnverifiedError,
  ColumnAddedError,
} from './backup-errors.ts';
import type { Dump } from './dump.ts';
import type { ManifestTable } from './manifest.ts';
import type { SnapshotFacts } from './snapshot-facts.ts';
import type { TableColumns } from './table-copy.ts';

export type DumpCommand =
  | { readonly kind: 'lock' }
  | { readonly kind: 'begin' }
  | { readonly kind: 'table'; readonly table: TableColumns; readonly folder: string }
  | { readonly kind: 'end' }
  | { readonly kind: 'close' };

/** A command is answered by what it gives or by `failed`; `rows` and `lost` come between. */
export type DumpEvent =
  | { readonly kind: 'done' }
  | { readonly kind: 'locked'; readonly identity: StoreIdentity }
  | { readonly kind: 'begun'; readonly facts: SnapshotFacts }
  | { readonly kind: 'written'; readonly table: ManifestTable }
  | { readonly kind: 'rows'; readonly rows: number }
  | { readonly kind: 'failed' | 'lost'; readonly failure: Failure };

/** An error as it crosses between threads, which would take its class and its code. */
export interface Failure {
  readonly code: string | null;
  readonly message: string;
}

const rowsBetweenReports = 5000;

/** Carries out, in the thread, what {@link openDumpThread} is asked for. */
export function createDumpServant(dump: Dump, post: (event: DumpEvent) => void): (command: DumpCommand) => void {
  dump.lost.addEventListener('abort', () => post({ kind: 'lost', failure: failureOf(dump.lost.reason) }));

  async function answer(command: DumpCommand): Promise<DumpEvent> {
    switch (command.kind) {
      case 'lock':
        return { kind: 'locked', identity: await dump.lock() };
      case 'begin':
        return { kind: 'begun', facts: await dump.begin() };
      case 'table': {
        let reported = 0;
        const onRows = (rows: number) => {
          if (rows < reported + rowsBetweenReports) return;
          reported = rows;
          post({ kind: 'rows', rows });
        };
        return { kind: 'written', table: await dump.table(command.table, command.folder, onRows) };
      }
      case 'end':
        await dump.end();
        return { kind: 'done' };
      case 'close':
        await dump.close();
        return { kind: 'done' };
      default:
        throw command satisfies never;
    }
  }

  return (command) => void answer(command).then(post, (thrown) => post({ kind: 'failed', failure: failureOf(thrown) }));
}

export function failureOf(thrown: unknown): Failure {
  const code = thrown instanceof Error && 'code' in thrown ? String(thrown.code) : null;
  return { code, message: errorMessage(thrown) };
}

const ownErrors = [
  BackupStorageError,
  BackupBusyError,
  BackupDamagedError,
  BackupNewerError,
  BackupUnverifiedError,
  BackupLocaleError,
  ColumnAddedError,
] as const;

/** The error that it was, as far as anybody here asks: its class where it is ours, its code where it is the server's. */
export function errorOf({ code, message }: Failure): Error {
  for (const OwnError of ownErrors) {
    const error: EngramdError = new OwnError(message);
    if (error.code === code) return error;
  }
  return code === null ? new Error(message) : Object.assign(new Error(message), { code });
}
