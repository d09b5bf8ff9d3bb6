import { JobPayloadError } from './errors.ts';

/**
 * Why a job is there.
 *
 * - `hint`: a writer said that it wrote
 * - `reconciler`: rows were due that no job stood for
 * - `scheduled`: rows that become due later
 * - `deferred`: an outside service failed; it is worth trying again then
 * - `requested`: somebody asked for it by name
 * - `successor`: the slice before it ended with work left
 */
export const jobTriggers = ['hint', 'reconciler', 'scheduled', 'deferred', 'requested', 'successor'] as const;

export type JobTrigger = (typeof jobTriggers)[number];

/** All that a job carries: never a text, never a secret (law L20). */
export interface JobPayload {
  readonly bankId: string;
  readonly trigger: JobTrigger;
}

/** Whether such a job runs when it is taken, whatever was written a moment ago. */
export function isImmediate(trigger: JobTrigger): boolean {
  return trigger === 'requested' || trigger === 'successor';
}

export function isJobTrigger(value: unknown): value is JobTrigger {
  return jobTriggers.some((trigger) => trigger === value);
}

/** @throws JobPayloadError where the payload is of another shape */
export function readPayload(data: unknown): JobPayload {
  if (typeof data === 'object' && data !== null && 'bankId' in data && 'trigger' in data) {
    const { bankId, trigger } = data;
    if (typeof bankId === 'string' && bankId !== '' && isJobTrigger(trigger)) return { bankId, trigger };
  }
  throw new JobPayloadError('the payload of a job is not { bankId, trigger }; was it sent by another version?');
}
