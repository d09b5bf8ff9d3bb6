import { EngramdError, errorMessage } from '../telemetry/engramd-error.ts';

/** A model, embedder or second connection was asked for while this call chain held a database connection (law L1). */
export class HeldConnectionError extends EngramdError {
  readonly code = 'HELD_CONNECTION';
  readonly label: string;
  readonly heldMs: number;

  constructor(what: string, lease: { label: string; heldMs: number }) {
    super(
      `${what} was called while the transaction "${lease.label}" held a database connection (${lease.heldMs.toFixed(0)} ms)`,
    );
    this.label = lease.label;
    this.heldMs = lease.heldMs;
  }
}

/** A statement was sent through a transaction that had ended: a promise that nobody awaited. Always a bug. */
export class TransactionOverError extends EngramdError {
  readonly code = 'TRANSACTION_OVER';

  constructor(label: string) {
    super(`the transaction "${label}" is over; its connection may serve another one by now`);
  }
}

/** The work of a transaction swallowed the failure of a statement. The server had given up on all of it by then. */
export class TransactionAbortedError extends EngramdError {
  readonly code = 'TRANSACTION_ABORTED';

  constructor(label: string) {
    super(`the transaction "${label}" was rolled back at its end: one of its statements had failed`);
  }
}

/** The process is stopping and has given its connections back. */
export class DatabaseClosedError extends EngramdError {
  readonly code = 'DATABASE_CLOSED';
  override readonly retryable = true;

  constructor() {
    super('the connections to the database are closed: this process is stopping');
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

/** A migration could not be carried out. Nothing of it, nor of those before it in the same call, is left behind. */
export class MigrationFailedError extends EngramdError {
  readonly code = 'MIGRATION_FAILED';
}

/** Of the exception that engram.hold_store raises. */
export const storeReplacedState = 'EN001';

/** A restore has put another store in the place of the one that this process began with. Nothing of it holds any more. */
export class StoreReplacedError extends EngramdError {
  readonly code = 'STORE_REPLACED';
  override readonly exitCode = 4;

  constructor(options?: { cause?: unknown }) {
    super(
      'a backup was restored into the database while this process was at work on it: nothing of that work was kept; start it again',
      options,
    );
  }
}

/** A restore has the database to itself. */
export class RestoreUnderWayError extends EngramdError {
  readonly code = 'RESTORE_UNDER_WAY';
  override readonly retryable = true;
  override readonly exitCode = 4;

  constructor(options?: { cause?: unknown }) {
    super(
      'a backup is being restored into this database, which nobody else may work on meanwhile: try again after it',
      options,
    );
  }
}

/**
 * The SQLSTATE of an error of the server, if it is one. No class of theirs begins with E, and EPIPE is not one of them; our
 * own do.
 */
export function sqlState(thrown: unknown): string | undefined {
  if (typeof thrown !== 'object' || thrown === null || !('code' in thrown)) return undefined;
  const { code } = thrown;
  return typeof code === 'string' && /^(?:[0-9A-DF-Z][0-9A-Z]{4}|EN\d{3})$/.test(code) ? code : undefined;
}

const networkCodes = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ENOTFOUND',
  'ENOENT',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  // `localhost` where one of its two families is switched off.
  'EADDRNOTAVAIL',
  'ECONNABORTED',
  'EPIPE',
  'EAI_AGAIN',
]);

/** Whether the connection, and not the statement, failed: 57P01–57P03 are shutdowns, 53300 is a full server. */
export function isConnectionFailure(thrown: unknown): boolean {
  if (thrown instanceof DatabaseUnreachableError || thrown instanceof DatabaseClosedError) return true;
  const state = sqlState(thrown);
  if (state !== undefined) return state.startsWith('08') || state.startsWith('57P') || state === '53300';
  if (typeof thrown === 'object' && thrown !== null && 'code' in thrown && networkCodes.has(String(thrown.code)))
    return true;
  return (
    thrown instanceof Error &&
    /Connection terminated|is not queryable|timeout exceeded when trying to connect|^timeout expired$/i.test(
      thrown.message,
    )
  );
}

const neededRights = 'It has to CONNECT to the database, to CREATE in it, and to own its schemas engram and pgboss';

/**
 * Turns what connecting or creating threw into one of the classes above; returns anything else unchanged. `advice` says
 * what to do about a missing right, where more is known than what is needed in general.
 */
export function explainDatabaseError(thrown: unknown, advice: string = neededRights): unknown {
  if (thrown instanceof EngramdError) return thrown;
  const detail = detailOf(thrown);
  const state = sqlState(thrown);
  if (state === '25006') {
    return new DatabaseReadOnlyError(
      'DATABASE_URL points to a read-only database (a standby, or default_transaction_read_only is on); engramd needs to write',
      { cause: thrown },
    );
  }
  if (state === '42501') {
    return new DatabasePrivilegeError(`the role of DATABASE_URL lacks a right: ${detail}. ${advice}`, {
      cause: thrown,
    });
  }
  if (state?.startsWith('28') || state === '3D000' || isFailedHandshake(thrown)) {
    return new DatabaseRefusedError(`the database of DATABASE_URL refused the connection: ${detail}`, {
      cause: thrown,
    });
  }
  if (isConnectionFailure(thrown)) {
    return new DatabaseUnreachableError(`the database of DATABASE_URL does not answer: ${detail}`, { cause: thrown });
  }
  return thrown;
}

/** A name with several addresses fails with one error for each, and no text of its own. */
function detailOf(thrown: unknown): string {
  if (thrown instanceof AggregateError && thrown.message === '') return thrown.errors.map(errorMessage).join(', ');
  return errorMessage(thrown);
}

/** What node-postgres says itself where URL and server do not agree on password or TLS; none of it has a SQLSTATE. */
function isFailedHandshake(thrown: unknown): boolean {
  return (
    thrown instanceof Error &&
    /^SASL:|does not support SSL|self-signed certificate|unable to verify|altname/i.test(thrown.message)
  );
}
