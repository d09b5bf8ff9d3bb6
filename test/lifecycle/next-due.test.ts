import { describe, expect, test } from 'vitest';
import type { DueFacts } from '../../src/lifecycle/due-facts.ts';
import { nextDue } from '../../src/lifecycle/next-due.ts';

const now = new Date('2026-03-01T12:00:00Z');
const at = (ms: number) => new Date(now.getTime() + ms);
const names = ['work', 'pauseEnd', 'cycle', 'quietHours', 'backup', 'snapshot'] as const;
const all = (ms: number): DueFacts => ({
  work: at(ms),
  pauseEnd: at(ms),
  cycle: at(ms),
  quietHours: at(ms),
  backup: at(ms),
  snapshot: at(ms),
});
const nothing: DueFacts = {
  work: null,
  pauseEnd: null,
  cycle: null,
  quietHours: null,
  backup: null,
  snapshot: null,
};

describe('what is due next', () => {
  test('nothing needs no timer', () => {
    expect(nextDue(nothing, now)).toBeNull();
  });

  test.each(names)('%s, where it comes first', (what) => {
    expect(nextDue({ ...all(9), [what]: at(8) }, now)).toEqual({ at: at(8), what });
    expect(nextDue({ ...nothing, [what]: at(8) }, now)).toEqual({ at: at(8), what });
  });

  test('is never in the past: after a suspend all that was missed is due now, work first', () => {
    expect(nextDue({ ...nothing, cycle: at(-9_000_000) }, now)).toEqual({ at: now, what: 'cycle' });
    expect(nextDue({ ...nothing, cycle: at(-9_000_000), work: at(-1) }, now)).toEqual({ at: now, what: 'work' });
  });
});
