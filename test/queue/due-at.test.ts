import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type DueFacts, dueAt, dueAtOnceCount, longestWaitMs, quietMs } from '../../src/queue/due-at.ts';

const noon = new Date('2026-03-01T12:00:00Z');
const at = (offsetMs: number) => new Date(noon.getTime() + offsetMs);
const nothing: DueFacts = { now: noon, due: 0, replans: 0, oldestDueAt: null, lastWriteAt: null, nextAttemptAt: null };

describe('when a bank is due', () => {
  test('a bank without rows is never due', () => {
    expect(dueAt(nothing)).toBeNull();
  });

  test.each([
    ['written just now', 0, 0, quietMs],
    ['a millisecond before the quiet ends', -quietMs + 1, -quietMs + 1, 1],
    ['as the quiet ends', -quietMs, -quietMs, 0],
    ['quiet for an hour', -3_600_000, -3_600_000, 0],
    ['written to without a pause for less than the longest wait', -longestWaitMs + quietMs + 1, 0, quietMs],
    ['written to without a pause for nearly the longest wait', -longestWaitMs + 1, 0, 1],
    ['written to without a pause for the longest wait', -longestWaitMs, 0, 0],
  ])('%s', (_case, oldestMs, lastWriteMs, dueInMs) => {
    const facts = { oldestDueAt: at(oldestMs), lastWriteAt: at(lastWriteMs) };
    expect(dueAt({ ...nothing, ...facts, due: 1 })).toEqual(at(dueInMs));
    expect(dueAt({ ...nothing, ...facts, replans: 1 })).toEqual(at(dueInMs));
  });

  test('500 rows are due at once, 499 wait for the quiet', () => {
    const facts = { ...nothing, oldestDueAt: noon, lastWriteAt: noon };
    expect(dueAt({ ...facts, due: dueAtOnceCount - 1 })).toEqual(at(quietMs));
    expect(dueAt({ ...facts, due: dueAtOnceCount })).toEqual(noon);
  });

  test('rows that are tried again later make the bank due then', () => {
    expect(dueAt({ ...nothing, nextAttemptAt: at(7_200_000) })).toEqual(at(7_200_000));
    const written = { due: 1, oldestDueAt: noon, lastWriteAt: noon };
    expect(dueAt({ ...nothing, ...written, nextAttemptAt: at(7_200_000) })).toEqual(at(quietMs));
    expect(dueAt({ ...nothing, ...written, nextAttemptAt: at(10_000) })).toEqual(at(10_000));
  });

  const facts = fc
    .record({
      due: fc.integer({ min: 0, max: dueAtOnceCount }),
      replans: fc.integer({ min: 0, max: dueAtOnceCount }),
      oldestMs: fc.integer({ min: 0, max: 2 * longestWaitMs }),
      sinceWrite: fc.double({ min: 0, max: 1, noNaN: true }),
      nextMs: fc.option(fc.integer({ min: 1, max: 86_400_000 })),
    })
    .map(({ due, replans, oldestMs, sinceWrite, nextMs }): DueFacts => {
      const has = due > 0 || replans > 0;
      return {
        now: noon,
        due,
        replans,
        oldestDueAt: has ? at(-oldestMs) : null,
        lastWriteAt: has ? at(-Math.floor(oldestMs * sinceWrite)) : null,
        nextAttemptAt: nextMs === null ? null : at(nextMs),
      };
    });

  test('never in the past, never later than the quiet from now, the longest wait of the oldest, or the next attempt', () => {
    fc.assert(
      fc.property(facts, (given) => {
        const due = dueAt(given);
        if (due === null) {
          expect(given.due + given.replans).toBe(0);
          expect(given.nextAttemptAt).toBeNull();
          return;
        }
        expect(due.getTime()).toBeGreaterThanOrEqual(noon.getTime());
        if (given.oldestDueAt) {
          expect(due.getTime()).toBeLessThanOrEqual(noon.getTime() + quietMs);
          expect(due.getTime()).toBeLessThanOrEqual(
            Math.max(noon.getTime(), given.oldestDueAt.getTime() + longestWaitMs),
          );
        }
        if (given.nextAttemptAt) expect(due.getTime()).toBeLessThanOrEqual(given.nextAttemptAt.getTime());
      }),
    );
  });

  test('more rows never make a bank due later', () => {
    fc.assert(
      fc.property(facts, fc.integer({ min: 1, max: dueAtOnceCount }), (given, more) => {
        fc.pre(given.due > 0);
        const before = dueAt(given);
        const after = dueAt({ ...given, due: Math.min(dueAtOnceCount, given.due + more) });
        expect(after?.getTime()).toBeLessThanOrEqual(before?.getTime() ?? 0);
      }),
    );
  });
});
