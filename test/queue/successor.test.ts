import { expect, test } from 'vitest';
import type { SliceOutcome } from '../../src/consolidation/engine.ts';
import { type DueFacts, quietMs } from '../../src/queue/due-at.ts';
import { type Successor, successorOf } from '../../src/queue/successor.ts';

const now = new Date('2026-03-01T12:00:00Z');
const at = (offsetMs: number) => new Date(now.getTime() + offsetMs);
const done: DueFacts = { now, due: 0, replans: 0, oldestDueAt: null, lastWriteAt: null, nextAttemptAt: null };
const left: DueFacts = { ...done, due: 3, oldestDueAt: at(-60_000), lastWriteAt: at(-60_000) };
const fresh: DueFacts = { ...done, due: 1, oldestDueAt: at(-10), lastWriteAt: at(-10) };
const paused: DueFacts = { ...done, nextAttemptAt: at(300_000) };

const cases: readonly [SliceOutcome, Date | null, string, DueFacts | null, Successor | null][] = [
  ['drained', null, 'nothing left', done, null],
  ['drained', null, 'rows for later', paused, { at: at(300_000), trigger: 'scheduled' }],
  ['drained', null, 'a row written during its last look', fresh, { at: at(quietMs), trigger: 'scheduled' }],
  ['drained', null, 'rows that it will not take', left, { at: at(quietMs), trigger: 'scheduled' }],
  ['time_up', null, 'rows left', left, { at: now, trigger: 'successor' }],
  ['time_up', null, 'nothing left', done, null],
  ['time_up', null, 'rows for later', paused, { at: at(300_000), trigger: 'scheduled' }],
  ['yielded', null, 'rows left', left, { at: now, trigger: 'successor' }],
  ['aborted', null, 'rows left', left, { at: now, trigger: 'successor' }],
  ['aborted', null, 'nothing left', done, null],
  ['deferred', at(600_000), 'rows left', left, { at: at(600_000), trigger: 'deferred' }],
  ['deferred', at(-5), 'rows left', left, { at: at(5000), trigger: 'deferred' }],
  ['deferred', null, 'rows left', left, { at: at(60_000), trigger: 'deferred' }],
  ['deferred', at(600_000), 'nothing left', done, null],
  ['bank_gone', null, 'no bank', null, null],
  ['time_up', null, 'no bank', null, null],
];

test.each(cases)('%s at %s, %s', (outcome, retryAt, _what, work, expected) => {
  expect(successorOf({ outcome, retryAt }, work)).toEqual(expected);
});
