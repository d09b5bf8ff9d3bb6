import { EngramdError } from '../telemetry/engramd-error.ts';

/** A setting that cannot be used: names the variable and where its value came from. Secrets are never part of the text. */
export class ConfigError extends EngramdError {
  readonly code = 'CONFIG';
  override readonly exitCode = 2;
}
