import type { FieldError } from '../ingest/field-errors.ts';
import { EngramdError } from '../telemetry/engramd-error.ts';

/** A request that is answered with a problem. `message` is for whoever sent it. */
export class ApiError extends EngramdError {
  readonly code: string;
  readonly status: number;
  readonly details: readonly FieldError[] | undefined;

  constructor(status: number, code: string, message: string, details?: readonly FieldError[]) {
    super(message);
    this.status = status;
    this.code = code;
    this.details = details;
  }
}

export function bankNotFound(bankId: string): ApiError {
  return new ApiError(404, 'BANK_NOT_FOUND', `there is no bank ${JSON.stringify(bankId)}`);
}

export function notFound(what: string, id: string): ApiError {
  return new ApiError(404, 'NOT_FOUND', `there is no ${what} ${id} in this bank`);
}
