import { describe, expect, test } from 'vitest';
import type { DueFacts } from '../../src/lifecycle/due-facts.ts';
import { nextDue } from '../../src/lifecycle/next-due.ts';

const now = new Date('2026-03-01T12:00:00Z');
const at = (ms: number) => new Date(now.getTime() + ms);
const nothing: DueFacts = { work: null, pauseEnd: null, cycle: null, quietHours: null };

describe('what is due next', () => {
  test('nothing needs no timer', () => {
    expect(nextDue(nothing, now)).toBeNull();
  });

  test.each(['work', 'pauseEnd', 'cycle', 'quietHours'] as const)('%s, where it comes first', (what) => {
    const others = { work: at(9), pauseEnd: at(9), cycle: at(9), quietHours: at(9) };
    expect(nextDue({ ...others, [what]: at(8) }, now)).toEqual({ at: at(8), what });
    expect(nextDue({ ...nothing, [what]: at(8) }, now)).toEqual({ at: at(8), what });
  });

  test('is never in the past: after a suspend all that was missed is due now, work first', () => {
    expect(nextDue({ ...nothing, cycle: at(-9_000_000) }, now)).toEqual({ at: now, what: 'cycle' });
    expect(nextDue({ ...nothing, cycle: at(-9_000_000), work: at(-1) }, now)).toEqual({ at: now, what: 'work' });
  });
});
