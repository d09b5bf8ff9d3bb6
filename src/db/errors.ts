import { EngramdError } from '../telemetry/engramd-error.ts';

/** A model, embedder or second connection was asked for while this call chain held a database connection (law L1). */
export class HeldConnectionError extends EngramdError {
  readonly code = 'HELD_CONNECTION';
  readonly label: string;
  readonly heldMs: number;

  constructor(what: string, lease: { label: string; heldMs: number }) {
    super(`${what} was called while the transaction "${lease.label}" held a database connection (${lease.heldMs.toFixed(0)} ms)`);
    this.label = lease.label;
    this.heldMs = lease.heldMs;
  }
}

/** The server does not answer. Nothing is wrong with the configuration as far as can be told. */
export class DatabaseUnreachableError extends EngramdError {
  readonly code = 'DATABASE_UNREACHABLE';
  override readonly retryable = true;
}

/** The server answers and refuses: wrong password, no such database, no such role. */
export class DatabaseRefusedError extends EngramdError {
  readonly code = 'DATABASE_REFUSED';
  override readonly exitCode = 2;
}

export class DatabaseTooOldError extends EngramdError {
  readonly code = 'DATABASE_TOO_OLD';
  override readonly exitCode = 2;
}

/** The schema was written by a newer engramd than this one. Running on would guess at columns it does not know. */
export class DatabaseNewerError extends EngramdError {
  readonly code = 'DATABASE_NEWER';
  override readonly exitCode = 2;
}

export class DatabaseReadOnlyError extends EngramdError {
  readonly code = 'DATABASE_READ_ONLY';
  override readonly exitCode = 2;
}

/** The role may not create what engramd needs. */
export class DatabasePrivilegeError extends EngramdError {
  readonly code = 'DATABASE_PRIVILEGE';
  override readonly exitCode = 2;
}

/** A migration that was applied differs from the file of that number in this build. */
export class MigrationChangedError extends EngramdError {
  readonly code = 'MIGRATION_CHANGED';
  override readonly exitCode = 2;
}

/** The SQLSTATE of an error of the server, if it is one. */
export function sqlState(thrown: unknown): string | undefined {
  if (typeof thrown !== 'object' || thrown === null || !('code' in thrown)) return undefined;
  const { code } = thrown;
  return typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code) ? code : undefined;
}

const networkCodes = new Set(['ECONNREFUSED', 'ECONNRESET', 'ENOTFOUND', 'ENOENT', 'ETIMEDOUT', 'EHOSTUNREACH', 'EPIPE', 'EAI_AGAIN']);

/** Whether the connection, and not the statement, failed: 57P01–57P03 are shutdowns, 53300 is a full server. */
export function isConnectionFailure(thrown: unknown): boolean {
  const state = sqlState(thrown);
  if (state !== undefined) return state.startsWith('08') || state.startsWith('57P') || state === '53300';
  if (typeof thrown === 'object' && thrown !== null && 'code' in thrown && networkCodes.has(String(thrown.code))) return true;
  return thrown instanceof Error && /Connection terminated|is not queryable|timeout exceeded when trying to connect/i.test(thrown.message);
}

/** Turns what connecting or creating threw into one of the classes above; returns anything else unchanged. */
export function explainDatabaseError(thrown: unknown): unknown {
  if (thrown instanceof EngramdError) return thrown;
  const detail = thrown instanceof Error ? thrown.message || thrown.name : String(thrown);
  const state = sqlState(thrown);
  if (state === '25006') {
    return new DatabaseReadOnlyError(
      'DATABASE_URL points to a read-only database (a standby, or default_transaction_read_only is on); engramd needs to write',
      { cause: thrown },
    );
  }
  if (state === '42501') {
    return new DatabasePrivilegeError(
      `the role of DATABASE_URL lacks a right: ${detail}. Grant it once: GRANT CREATE ON DATABASE <database> TO <role>`,
      { cause: thrown },
    );
  }
  if (state?.startsWith('28') || state === '3D000') {
    return new DatabaseRefusedError(`the database of DATABASE_URL refused the connection: ${detail}`, { cause: thrown });
  }
  if (isConnectionFailure(thrown)) {
    return new DatabaseUnreachableError(`the database of DATABASE_URL does not answer: ${detail}`, { cause: thrown });
  }
  return thrown;
}
