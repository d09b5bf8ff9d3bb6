import type { Status } from '../api-types.ts';
import { showSeconds } from '../duration.ts';
import type { Terminal } from '../terminal.ts';

export type Life = NonNullable<Status['life']>;
export type Cycle = NonNullable<Life['cycle']>;
export type Step = Cycle['steps'][number];
export type Paint = Pick<Terminal, 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'cyan'>;

/** How people say it. */
export const stateWords: Readonly<Record<Life['state'], string>> = {
  wake: 'awake',
  drowsy: 'drowsy',
  sleep: 'asleep',
  hibernation: 'hibernating',
};

/** Of what keeps it from going further; null where nothing does. */
export const heldWords: Readonly<Record<NonNullable<Life['held_by']>, string | null>> = {
  idle_wait: null,
  asleep: null,
  requests_in_flight: 'requests are being answered',
  jobs_active: 'jobs are in hand',
  work_to_do: 'there is work to do',
  unknown_work: 'the work could not be counted',
  just_woken: 'it has just woken',
  cycle: 'the sleep cycle comes first',
  hibernation_off: 'ENGRAMD_HIBERNATE is off',
};

/** `sleep` of a countdown is something one falls into. */
export const nextStateWords: Readonly<Record<NonNullable<Life['idle_countdown']>['to'], string>> = {
  drowsy: 'drowsy',
  sleep: 'asleep',
  hibernation: 'hibernating',
};

const dueWords: Readonly<Record<string, string>> = {
  work: 'work that waits',
  pauseEnd: 'the end of the pause',
  cycle: 'a sleep cycle',
  quietHours: 'quiet hours',
  backup: 'a backup',
  snapshot: 'a snapshot',
};

export function showDue(what: string): string {
  return dueWords[what] ?? showReason(what);
}

/** `rows_by_sql`: rows by sql. */
export function showReason(reason: string): string {
  return reason.replaceAll('_', ' ');
}

/** `a`, or `3 as`. */
export function many(count: number, one: string, more = `${one}s`): string {
  return `${count.toLocaleString('en-US')} ${count === 1 ? one : more}`;
}

/** To the tenth where it is short enough to matter: `3.1 s`. */
export function showTook(seconds: number): string {
  return seconds < 10 ? `${seconds.toFixed(1)} s` : showSeconds(seconds);
}

export function isOver(step: Step): boolean {
  return step.status === 'done' || step.status === 'failed' || step.status === 'quarantined';
}

/** What a step has come to: `done, 12 memories (3.1 s)`. */
export function stepText(step: Step): string {
  const took =
    step.started_at !== null && step.finished_at !== null
      ? ` (${showTook(Math.max(0, Date.parse(step.finished_at) - Date.parse(step.started_at)) / 1000)})`
      : '';
  switch (step.status) {
    case 'pending':
      return step.runs > 0 ? 'interrupted, goes on later' : 'to come';
    case 'running':
      return progressText(step) ?? 'running';
    case 'done':
      return `done${step.note === null ? '' : `, ${step.note}`}${took}`;
    case 'failed':
      return `failed${step.error === null ? '' : `: ${step.error}`}${took}`;
    case 'quarantined':
      return `left out, in quarantine${step.error === null ? '' : `: ${step.error}`}`;
  }
}

/** `412 of 1,000`, with what the step says of itself. */
export function progressText({ done, total, note }: Step): string | null {
  if (done === null) return note;
  const count = done.toLocaleString('en-US');
  const known = total === null ? count : `${count} of ${total.toLocaleString('en-US')}`;
  return note === null ? known : `${known}, ${note}`;
}
