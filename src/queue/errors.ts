import { EngramdError } from '../telemetry/engramd-error.ts';

/** pg-boss refused a call. Errors of the server itself keep their own class. */
export class QueueError extends EngramdError {
  readonly code = 'QUEUE_FAILED';
}

/** Another daemon has moved pg-boss's schema past what this one knows. It must not hand out work any more. */
export class QueueSchemaNewerError extends EngramdError {
  readonly code = 'QUEUE_SCHEMA_NEWER';
  override readonly exitCode = 2;
}

/** The job was taken from this worker (a lapsed heartbeat, an expiry, an operator) before it could be settled. */
export class LostClaimError extends EngramdError {
  readonly code = 'LOST_CLAIM';
}

/** A job whose payload is not what this version writes. */
export class JobPayloadError extends EngramdError {
  readonly code = 'JOB_PAYLOAD';
}
