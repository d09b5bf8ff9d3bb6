import { EngramdError } from '../../telemetry/engramd-error.ts';

/** No systemd and no launchd here, or one that engramd writes no files for. */
export class NoSupervisorError extends EngramdError {
  readonly code = 'NO_SUPERVISOR';
}

/** A file of the service cannot be written or removed. Nothing was. */
export class ServiceFileError extends EngramdError {
  readonly code = 'SERVICE_FILE';
}

/** A file that somebody else wrote stands where ours would. */
export class ForeignServiceFileError extends EngramdError {
  readonly code = 'SERVICE_FILE_FOREIGN';
  override readonly exitCode = 4;
}

/** systemctl or launchctl refused. */
export class SupervisorError extends EngramdError {
  readonly code = 'SUPERVISOR';
}
