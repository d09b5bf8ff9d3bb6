import type { Status } from '../../src/cli/api-types.ts';
import type { Cycle, Life, Step } from '../../src/cli/status-view/life-words.ts';
import { life as lifeDocument, statusDocument } from '../daemon/control/control-fixture.ts';

/** Documents of a daemon at ten in the morning, with what a test changes. */
export const tenOClock = new Date('2026-03-04T10:00:00Z');

export function lifeOf(change: Partial<Life> = {}): Life {
  return { ...(lifeDocument as Life), ...change };
}

export function statusOf(change: Partial<Status> = {}): Status {
  return { ...(statusDocument as Status), ...change };
}

export function stepOf(name: Step['name'], status: Step['status'], change: Partial<Step> = {}): Step {
  const runs = status === 'pending' ? 0 : 1;
  const base = { done: null, total: null, note: null, error: null, started_at: null, finished_at: null };
  return { name, status, runs, ...base, ...change };
}

export function cycleOf(change: Partial<Cycle> = {}): Cycle {
  return {
    id: 'one',
    trigger: 'forced',
    forced: true,
    started_at: '2026-03-04T09:59:00.000Z',
    finished_at: null,
    outcome: null,
    running: true,
    steps: [stepOf('drain', 'pending'), stepOf('dedup', 'pending')],
    ...change,
  };
}

/** A drain that took 3.1 s. */
export const drained = stepOf('drain', 'done', {
  note: '12 memories',
  started_at: '2026-03-04T09:59:00.000Z',
  finished_at: '2026-03-04T09:59:03.100Z',
});
