import { EngramdError } from '../telemetry/engramd-error.ts';

/** The command line says something that makes no sense. */
export class UsageError extends EngramdError {
  readonly code = 'USAGE';
  override readonly exitCode = 2;
}

/** There should be a daemon, and none answers. */
export class DaemonUnreachableError extends EngramdError {
  readonly code = 'DAEMON_UNREACHABLE';
  override readonly retryable = true;
  override readonly exitCode = 3;
}

/** The daemon, or the same routes in this process, answered with an error. */
export class ApiError extends EngramdError {
  readonly code: string;
  readonly status: number;
  override readonly exitCode: 1 | 2 | 4;
  /** What the answer said besides: fields at fault, changes in the way. */
  readonly details: readonly { readonly path: string; readonly message: string }[];

  constructor(status: number, code: string, message: string, details: ApiError['details'] = []) {
    super(message);
    this.status = status;
    this.code = code;
    this.details = details;
    this.exitCode = exitCodeOf(status);
  }
}

/** Whose fault it is decides: the input's or the settings' (a wrong token), a conflict, or neither. */
function exitCodeOf(status: number): 1 | 2 | 4 {
  switch (status) {
    case 400:
    case 401:
    case 403:
    case 413:
    case 415:
    case 422:
      return 2;
    case 409:
      return 4;
    default:
      return 1;
  }
}
