import { EngramdError } from '../../telemetry/engramd-error.ts';

/** What was named is no snapshot of the bank, or more than one. */
export class SnapshotNotFoundError extends EngramdError {
  readonly code = 'SNAPSHOT_NOT_FOUND';
}

/** There is no such bank, or it went before the snapshot of it stood. */
export class SnapshotBankGoneError extends EngramdError {
  readonly code = 'BANK_NOT_FOUND';
}
