import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decideCycle, nextCycleAt } from '../../src/lifecycle/cycle-decision.ts';
import type { CycleDecision, CycleFacts } from '../../src/lifecycle/cycle-facts.ts';
import { lifecycleStates } from '../../src/lifecycle/states.ts';

const hourMs = 3_600_000;
const now = new Date('2026-03-01T12:00:00Z');
const ago = (ms: number) => new Date(now.getTime() - ms);
const hence = (ms: number) => new Date(now.getTime() + ms);

const asleep: CycleFacts = {
  state: 'sleep',
  now,
  wasForced: false,
  forcedCycleOver: false,
  paused: false,
  openCycle: false,
  lastGoodAt: null,
  lastCleanAt: null,
  lastFailedAt: null,
  bornAt: ago(hourMs),
};
const run = (trigger: string, resumes = false) => ({ kind: 'run', trigger, resumes });
const skip = (why: string, until: Date | null) => ({ kind: 'skip', why, until });

const coolMs = 4 * hourMs;
const backOffMs = 600_000;
const starvedMs = 48 * hourMs;
const starved = { lastCleanAt: ago(starvedMs) };

describe.each<[string, (readonly [string, Partial<CycleFacts>, object])[]]>([
  [
    'asleep',
    [
      ['the first one', {}, run('idle')],
      ['cooled down', { lastGoodAt: ago(coolMs) }, run('idle')],
      ['a millisecond before that', { lastGoodAt: ago(coolMs - 1) }, skip('cooling_down', hence(1))],
      ['backed off', { lastFailedAt: ago(backOffMs) }, run('idle')],
      ['a millisecond before that', { lastFailedAt: ago(backOffMs - 1) }, skip('backing_off', hence(1))],
      [
        'a good one before the failed one',
        { lastGoodAt: ago(hourMs), lastFailedAt: ago(0) },
        skip('cooling_down', hence(3 * hourMs)),
      ],
      [
        'a good one long before the failed one',
        { lastGoodAt: ago(coolMs - 1), lastFailedAt: ago(0) },
        skip('backing_off', hence(backOffMs)),
      ],
      ['interrupted, in the middle of a cool-down', { openCycle: true, lastGoodAt: ago(1) }, run('idle', true)],
      ['interrupted, in the middle of a back-off', { openCycle: true, lastFailedAt: ago(1) }, run('idle', true)],
      ['paused', { paused: true }, skip('paused', null)],
      ['paused and interrupted', { paused: true, openCycle: true }, skip('paused', null)],
      ['paused and starved', { paused: true, ...starved }, skip('paused', null)],
      ['paused and forced', { paused: true, wasForced: true }, skip('paused', null)],
      [
        'starved, and partial a while ago: each would follow the other',
        { ...starved, lastGoodAt: ago(hourMs) },
        skip('cooling_down', hence(3 * hourMs)),
      ],
    ],
  ],
  [
    'forced',
    [
      ['cool-down or not', { wasForced: true, lastGoodAt: ago(1) }, run('forced')],
      ['back-off or not', { wasForced: true, lastFailedAt: ago(1) }, run('forced')],
      ['goes on with what was interrupted', { wasForced: true, openCycle: true }, run('forced', true)],
      [
        'does not fire again after a clean one',
        { wasForced: true, forcedCycleOver: true, lastGoodAt: ago(0) },
        skip('forced_cycle_over', hence(coolMs)),
      ],
      [
        'does not fire again after a failed one',
        { wasForced: true, forcedCycleOver: true, lastFailedAt: ago(0) },
        skip('forced_cycle_over', hence(backOffMs)),
      ],
      [
        'and is like any other when that is over',
        { wasForced: true, forcedCycleOver: true, lastGoodAt: ago(coolMs) },
        run('idle'),
      ],
      [
        'hibernating behind a forced sleep is no force',
        { state: 'hibernation', wasForced: true, lastGoodAt: ago(1) },
        skip('cooling_down', hence(coolMs - 1)),
      ],
      ['nor is being awake', { state: 'wake', wasForced: true }, skip('awake', hence(47 * hourMs))],
    ],
  ],
  [
    'awake',
    [
      [
        'none, however long ago the last one',
        { state: 'wake', lastCleanAt: ago(starvedMs - 1) },
        skip('awake', hence(1)),
      ],
      ['drowsy: none', { state: 'drowsy', lastCleanAt: ago(hourMs) }, skip('awake', hence(47 * hourMs))],
      ['starved', { state: 'wake', ...starved }, run('starved')],
      ['starved and drowsy', { state: 'drowsy', ...starved }, run('starved')],
      ['starved since the beginning', { state: 'wake', bornAt: ago(starvedMs) }, run('starved')],
      ['not yet, of one that is young', { state: 'wake', bornAt: ago(starvedMs - 1) }, skip('awake', hence(1))],
      [
        'starved and interrupted',
        { state: 'wake', ...starved, openCycle: true, lastGoodAt: ago(1) },
        run('starved', true),
      ],
      [
        'interrupted alone',
        { state: 'wake', openCycle: true, lastCleanAt: ago(hourMs) },
        skip('awake', hence(47 * hourMs)),
      ],
      [
        'starved, and the last one failed a minute ago',
        { state: 'wake', ...starved, lastFailedAt: ago(60_000) },
        skip('backing_off', hence(540_000)),
      ],
      [
        'starved by partial ones, the last an hour ago',
        { state: 'wake', ...starved, lastGoodAt: ago(hourMs) },
        skip('cooling_down', hence(3 * hourMs)),
      ],
    ],
  ],
  [
    'hibernating',
    [
      ['cooled down', { state: 'hibernation', lastGoodAt: ago(coolMs) }, run('idle')],
      ['cooling', { state: 'hibernation', lastGoodAt: ago(coolMs - 1) }, skip('cooling_down', hence(1))],
    ],
  ],
])('%s', (_state, rows) => {
  test.each(rows)('%s', (_what, facts, decision) => {
    expect(decideCycle({ ...asleep, ...facts })).toEqual(decision);
  });
});

const anyAgo = fc.option(fc.integer({ min: 0, max: 60 * hourMs }).map(ago));
const anyFacts = fc.record<CycleFacts>({
  state: fc.constantFrom(...lifecycleStates),
  now: fc.constant(now),
  wasForced: fc.boolean(),
  forcedCycleOver: fc.boolean(),
  paused: fc.boolean(),
  openCycle: fc.boolean(),
  lastGoodAt: anyAgo,
  lastCleanAt: anyAgo,
  lastFailedAt: anyAgo,
  bornAt: fc.integer({ min: 0, max: 60 * hourMs }).map(ago),
});

describe('whatever the facts', () => {
  const at = (facts: CycleFacts, time: Date): CycleDecision => decideCycle({ ...facts, now: time });

  test('what is skipped until then runs then, and not before', () => {
    fc.assert(
      fc.property(anyFacts, (facts) => {
        const next = nextCycleAt(facts);
        const decision = decideCycle(facts);
        if (decision.kind === 'run') expect(next).toEqual(now);
        else if (next === null) expect(facts.paused).toBe(true);
        else {
          expect(next > now).toBe(true);
          expect(at(facts, next).kind).toBe('run');
          expect(at(facts, new Date(next.getTime() - 1)).kind).toBe('skip');
        }
      }),
      { numRuns: 2000 },
    );
  });

  test('one that has just ended, well or not, is not followed by the next at once', () => {
    fc.assert(
      fc.property(anyFacts, fc.constantFrom('lastGoodAt', 'lastFailedAt'), (facts, ended) => {
        const over = { ...facts, openCycle: false, forcedCycleOver: true, [ended]: now };
        expect(decideCycle(over).kind).toBe('skip');
      }),
      { numRuns: 2000 },
    );
  });

  test('without a clean one for 48 hours one runs within four hours more, whatever the state, but for a pause', () => {
    fc.assert(
      fc.property(anyFacts, (facts) => {
        const hungry = { ...facts, paused: false, lastCleanAt: ago(starvedMs) };
        expect((nextCycleAt(hungry)?.getTime() ?? Infinity) - now.getTime()).toBeLessThanOrEqual(coolMs);
      }),
      { numRuns: 2000 },
    );
  });
});
