import { EngramdError } from '../telemetry/engramd-error.ts';
import type { FieldError } from './field-errors.ts';

/** An Idempotency-Key came back with another request. Answering either would be wrong. */
export class IdempotencyKeyReusedError extends EngramdError {
  readonly code = 'IDEMPOTENCY_KEY_REUSED';

  constructor() {
    super('this Idempotency-Key was used for another request; use a new key for a new request');
  }
}

/** Elements carry an idempotency key that stands for another text. Nothing was written. */
export class IngestKeyConflictError extends EngramdError {
  readonly code = 'INGEST_KEY_CONFLICT';
  readonly errors: readonly FieldError[];

  constructor(errors: readonly FieldError[]) {
    super('an idempotency key stands for another memory already; nothing was written');
    this.errors = errors;
  }
}
