import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  changesPerSnapshot,
  type SnapshotFacts,
  snapshotDue,
  snapshotEveryMs,
} from '../../src/lifecycle/snapshot-due.ts';

const now = new Date('2026-03-29T01:30:00Z');
const ago = (ms: number) => new Date(now.getTime() - ms);
const hour = 3_600_000;

describe('when a bank is due', () => {
  const table: [name: string, facts: SnapshotFacts, due: ReturnType<typeof snapshotDue>][] = [
    ['nothing has changed for a year', { since: ago(8760 * hour), appliedOps: 0, hasChanged: false }, null],
    ['nothing has changed since just now', { since: now, appliedOps: 0, hasChanged: false }, null],
    [
      'one change a moment ago: six hours after the last one',
      { since: now, appliedOps: 1, hasChanged: true },
      { at: new Date(now.getTime() + snapshotEveryMs), trigger: 'time' },
    ],
    [
      'a millisecond short of six hours',
      { since: ago(snapshotEveryMs - 1), appliedOps: 1, hasChanged: true },
      { at: new Date(now.getTime() + 1), trigger: 'time' },
    ],
    ['six hours', { since: ago(snapshotEveryMs), appliedOps: 1, hasChanged: true }, { at: now, trigger: 'time' }],
    [
      'six hours and no op, only a memory or a pin',
      { since: ago(snapshotEveryMs), appliedOps: 0, hasChanged: true },
      { at: now, trigger: 'time' },
    ],
    [
      '499 changes',
      { since: now, appliedOps: changesPerSnapshot - 1, hasChanged: true },
      { at: new Date(now.getTime() + snapshotEveryMs), trigger: 'time' },
    ],
    [
      '500 changes within a second',
      { since: now, appliedOps: changesPerSnapshot, hasChanged: true },
      { at: now, trigger: 'changes' },
    ],
    [
      'a last one from the future, the clock having been set back',
      { since: ago(-72 * hour), appliedOps: 0, hasChanged: true },
      { at: now, trigger: 'time' },
    ],
    [
      'a last one a moment ahead, the two having been read one after the other',
      { since: ago(-5), appliedOps: 0, hasChanged: true },
      { at: new Date(now.getTime() + 5 + snapshotEveryMs), trigger: 'time' },
    ],
    ['from the future without a change', { since: ago(-72 * hour), appliedOps: 0, hasChanged: false }, null],
  ];
  it.each(table)('%s', (_, facts, due) => expect(snapshotDue(facts, now)).toEqual(due));
});

it('a day of any ticks: never two within six hours but by changes, never a change older than six hours without one', () => {
  const minute = 60_000;
  const step = fc.record({ minutes: fc.integer({ min: 1, max: 200 }), ops: fc.integer({ min: 0, max: 300 }) });
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 60 }), (steps) => {
      let clock = now.getTime();
      let since = clock;
      let [appliedOps, firstChange] = [0, Number.POSITIVE_INFINITY];
      for (const { minutes, ops } of steps) {
        clock += minutes * minute;
        if (ops > 0 && appliedOps === 0) firstChange = clock;
        appliedOps += ops;
        const facts = { since: new Date(since), appliedOps, hasChanged: appliedOps > 0 };
        const due = snapshotDue(facts, new Date(clock));
        if (appliedOps === 0) expect(due).toBeNull();
        if (due === null || due.at.getTime() > clock) {
          expect(appliedOps).toBeLessThan(changesPerSnapshot);
          if (appliedOps > 0) expect(clock - Math.max(since, firstChange)).toBeLessThan(snapshotEveryMs);
          continue;
        }
        if (due.trigger === 'time') expect(clock - since).toBeGreaterThanOrEqual(snapshotEveryMs);
        [since, appliedOps, firstChange] = [clock, 0, Number.POSITIVE_INFINITY];
      }
    }),
  );
});
