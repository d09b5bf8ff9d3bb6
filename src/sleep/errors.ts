import { EngramdError } from '../telemetry/engramd-error.ts';

/** Somebody else leads by now: nothing is written in the name of this process any more. */
export class LeadershipLostError extends EngramdError {
  readonly code = 'LEADERSHIP_LOST';

  constructor() {
    super('another process leads by now; nothing more is written');
  }
}

/** A step went on after it had been ended: it ignored its signal, and what it wants to keep comes too late. */
export class StepOverError extends EngramdError {
  readonly code = 'STEP_OVER';

  constructor(step: string) {
    super(`the step ${step} was ended already; it has to return when its signal aborts`);
  }
}

/** A second run while one is under way. Always a bug. */
export class CycleRunningError extends EngramdError {
  readonly code = 'CYCLE_RUNNING';

  constructor() {
    super('a sleep cycle is under way in this process already');
  }
}

/** A step put itself off time after time, although it had all the time it wanted, and came no further. */
export class StepStalledError extends EngramdError {
  readonly code = 'STEP_STALLED';

  constructor(step: string) {
    super(`the step ${step} came no further, though nothing interrupted it`);
  }
}

/** A step did not return within the hour that it has, nor when it was told to. */
export class StepHangsError extends EngramdError {
  readonly code = 'STEP_HANGS';

  constructor(step: string) {
    super(`the step ${step} did not return within an hour, nor when it was told to`);
  }
}
