import { EngramdError } from '../telemetry/engramd-error.ts';

/**
 * What an expensive build came to for one who asked, as it is counted. `built`: the asker's own run made it. `joined`:
 * another caller of this process did. `loaded`: it had been saved. `timed_out`: it took longer than is waited.
 */
export type BuildOutcome = 'built' | 'joined' | 'loaded' | 'failed' | 'timed_out';

/** Somebody builds, and has not come to an end within the time that others wait for it. The build goes on. */
export class BuildWaitTimeoutError extends EngramdError {
  readonly code = 'BUILD_WAIT_TIMEOUT';
  override readonly retryable = true;

  constructor(what: string, waitedMs: number) {
    super(`${what} is being built by another, and was not there after ${Math.round(waitedMs / 1000)} s`);
  }
}

/** A build took longer than any may; it was told to stop. */
export class BuildTooLongError extends EngramdError {
  readonly code = 'BUILD_TOO_LONG';
  override readonly retryable = true;

  constructor(what: string, limitMs: number) {
    super(`building ${what} took longer than ${Math.round(limitMs / 1000)} s and was ended`);
  }
}

/** The process lets go of what it builds, to park or to end; somebody who still wants it asks again. */
export class BuildStoppedError extends EngramdError {
  readonly code = 'BUILD_STOPPED';
  override readonly retryable = true;

  constructor() {
    super('the build was ended, since the process lets go of everything');
  }
}

/** The bank was deleted: there is nothing to build of, now or later. */
export class BuildBankGoneError extends EngramdError {
  readonly code = 'BUILD_BANK_GONE';

  constructor(what: string) {
    super(`${what} cannot be built: its bank is gone`);
  }
}
