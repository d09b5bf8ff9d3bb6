import type { JobPayload } from './payload.ts';
import type { BankQueueName } from './queues.ts';

/** Why a job's work was called off. */
export type CallOff = 'shutdown' | 'lost_claim' | 'deadline';

/** How a job ended for this process; the label of a metric. */
export type JobOutcome =
  | 'drained'
  | 'time_up'
  | 'yielded'
  | 'deferred'
  | 'aborted'
  | 'bank_gone'
  /** It came before its time, or for nothing, and left a job for later where there is a later. */
  | 'early'
  | 'embedded'
  | 'scored'
  | 'failed'
  | 'handed_back'
  | 'lost_claim';

/** A job that this process works on. */
export interface Claim {
  readonly id: string;
  readonly retryCount: number;
  readonly queue: BankQueueName;
  readonly payload: JobPayload;
  /** Aborted with a {@link CallOff}. */
  readonly signal: AbortSignal;
}
