import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type DueFacts, dueAt } from '../../src/queue/due-at.ts';
import type { StandingJob } from '../../src/queue/job-rows.ts';
import { isImmediate, jobTriggers } from '../../src/queue/payload.ts';
import { placeJob } from '../../src/queue/placement.ts';
import { successorOf } from '../../src/queue/successor.ts';

const noon = new Date('2026-03-01T12:00:00Z');
const at = (offsetMs: number) => new Date(noon.getTime() + offsetMs);
const job = (startsInMs: number, overrides: Partial<StandingJob> = {}): StandingJob => ({
  id: 'j',
  bankId: 'b',
  state: 'created',
  trigger: 'hint',
  startAfter: at(startsInMs),
  createdAt: at(-1000),
  ...overrides,
});
const hint = (inMs: number) => ({ at: at(inMs), trigger: 'hint', bringsForward: true }) as const;
const asked = { at: noon, trigger: 'requested', bringsForward: true } as const;
const letters = (count: number, agoMs: number) => ({
  ids: Array.from({ length: count }, (_, i) => `d${i}`),
  newestAt: at(-agoMs),
});
const keep = { kind: 'keep', jobId: 'j' };

describe('where a wish for a job goes', () => {
  test('no job: one is sent', () => {
    expect(placeJob(hint(30_000), null, null)).toEqual({ kind: 'send', at: at(30_000) });
  });

  test('a later job is moved, an earlier one stands', () => {
    expect(placeJob(hint(30_000), job(86_400_000), null)).toEqual({
      kind: 'move',
      jobId: 'j',
      at: at(30_000),
      trigger: 'hint',
    });
    expect(placeJob(hint(30_000), job(5000), null)).toEqual(keep);
    expect(placeJob(hint(30_000), job(30_900), null)).toEqual(keep);
  });

  test('a wish that moves nothing takes any job', () => {
    expect(placeJob({ ...hint(0), bringsForward: false }, job(86_400_000), null)).toEqual(keep);
  });

  test('an active job is left alone by everybody', () => {
    expect(placeJob(hint(0), job(-60_000, { state: 'active' }), null)).toEqual({ kind: 'active', at: noon });
    expect(placeJob(asked, job(-60_000, { state: 'active' }), null)).toEqual({ kind: 'active', at: noon });
  });

  test('a job in retry keeps its pause unless somebody asks', () => {
    const retrying = job(300_000, { state: 'retry' });
    expect(placeJob(hint(0), retrying, null)).toEqual(keep);
    expect(placeJob(asked, retrying, null)).toEqual({ kind: 'move', jobId: 'j', at: noon, trigger: 'requested' });
  });

  test('a request replaces a job in time that would look at the debounce, and no other', () => {
    expect(placeJob(asked, job(-10), null)).toEqual({ kind: 'move', jobId: 'j', at: at(-10), trigger: 'requested' });
    expect(placeJob(asked, job(-10, { trigger: 'requested' }), null)).toEqual(keep);
    expect(placeJob(asked, job(-10, { trigger: 'successor' }), null)).toEqual(keep);
  });

  test('a deferred job comes forward for a new row, stays deferred, and not within the quiet time of its deferral', () => {
    const deferred = job(86_400_000, { trigger: 'deferred' });
    expect(placeJob(hint(0), deferred, null)).toEqual({
      kind: 'move',
      jobId: 'j',
      at: at(29_000),
      trigger: 'deferred',
    });
    const longAgo = job(86_400_000, { trigger: 'deferred', createdAt: at(-3_600_000) });
    expect(placeJob(hint(0), longAgo, null)).toEqual({ kind: 'move', jobId: 'j', at: noon, trigger: 'deferred' });
    expect(placeJob(asked, deferred, null)).toEqual({ kind: 'move', jobId: 'j', at: noon, trigger: 'requested' });
  });

  test('a write a second with the budget spent until midnight: a slice for nothing every 30 s at most', () => {
    const midnight = at(12 * 3_600_000);
    // Overdue rows wait for the money, so that the bank is due whenever somebody asks.
    const facts = (nowMs: number): DueFacts => ({
      now: at(nowMs),
      due: 400,
      replans: 0,
      oldestDueAt: at(-3 * 3_600_000),
      lastWriteAt: at(nowMs),
      nextAttemptAt: null,
    });
    const deferral = (nowMs: number) => {
      const successor = successorOf({ outcome: 'deferred', retryAt: midnight }, facts(nowMs));
      if (!successor) throw new Error('a deferral without a successor');
      return job(0, { trigger: successor.trigger, startAfter: successor.at, createdAt: at(nowMs) });
    };
    let standing = deferral(0);
    let slices = 0;
    for (let nowMs = 1000; nowMs <= 600_000; nowMs += 1000) {
      const wished = dueAt(facts(nowMs)) ?? midnight;
      const placed = placeJob({ at: wished, trigger: 'hint', bringsForward: true }, standing, null);
      if (placed.kind === 'move') standing = { ...standing, startAfter: placed.at, trigger: placed.trigger };
      if (standing.startAfter > at(nowMs)) continue;
      expect(standing.trigger !== null && isImmediate(standing.trigger)).toBe(false);
      slices += 1;
      standing = deferral(nowMs);
    }
    expect(slices).toBeLessThanOrEqual(20);
    expect(slices, 'a new memory does bring the job forward').toBeGreaterThan(0);
  });

  test.each([
    [1, 3_600_000],
    [2, 2 * 3_600_000],
    [4, 8 * 3_600_000],
    [5, 16 * 3_600_000],
    [6, 24 * 3_600_000],
    [50, 24 * 3_600_000],
  ])('a bank with %i dead letters is held for %i ms after the newest', (count, holdMs) => {
    expect(placeJob(hint(0), null, letters(count, 1000))).toEqual({ kind: 'send', at: at(holdMs - 1000) });
    expect(placeJob(hint(0), null, letters(count, holdMs))).toEqual({ kind: 'send', at: noon });
    expect(placeJob(hint(0), job(holdMs - 1000), letters(count, 1000))).toEqual(keep);
    expect(placeJob(asked, null, letters(count, 1000))).toEqual({ kind: 'send', at: noon });
  });

  test('no wish ever moves a job later', () => {
    const wish = fc.record({
      at: fc.integer({ min: -100_000, max: 100_000 }).map(at),
      trigger: fc.constantFrom(...jobTriggers),
      bringsForward: fc.boolean(),
    });
    const standing = fc.record({
      startsInMs: fc.integer({ min: -100_000, max: 100_000 }),
      state: fc.constantFrom('created', 'retry'),
      trigger: fc.constantFrom(...jobTriggers),
    });
    fc.assert(
      fc.property(wish, standing, fc.integer({ min: 0, max: 7 }), (wished, { startsInMs, ...rest }, dead) => {
        const placed = placeJob(wished, job(startsInMs, rest), dead ? letters(dead, 60_000) : null);
        if (placed.kind === 'move') expect(placed.at.getTime()).toBeLessThanOrEqual(at(startsInMs).getTime());
      }),
    );
  });
});
