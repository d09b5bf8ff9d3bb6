import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { countdown, decideIdle } from '../../src/lifecycle/idle-decision.ts';
import type { IdleDecision, IdleFacts, IdleThresholds } from '../../src/lifecycle/idle-facts.ts';
import { lifecycleStates } from '../../src/lifecycle/states.ts';

const thresholds: IdleThresholds = {
  drowsyAfterSeconds: 300,
  sleepAfterSeconds: 1800,
  hibernateAfterSeconds: 7200,
  hibernates: true,
};

const nothing: IdleFacts = {
  state: 'wake',
  secondsSinceWoken: 1e6,
  idleSeconds: 0,
  requestsInFlight: 0,
  workableRows: 0,
  jobsActive: 0,
  forceAgeSeconds: null,
  wasForced: false,
  inQuietHours: false,
  cycle: 'none',
};
const idle = (idleSeconds: number, rest: Partial<IdleFacts> = {}): IdleFacts => ({ ...nothing, idleSeconds, ...rest });
const stay = (heldBy: string, nextLookSeconds: number | null = null) => ({ to: 'stay', heldBy, nextLookSeconds });
const to = (state: string, reason: string) => ({ to: state, reason });

type Row = [what: string, facts: IdleFacts, decision: object, countdownSeconds: number | null];

function table(rows: readonly Row[]): void {
  test.each(rows)('%s', (_what, facts, decision, seconds) => {
    expect(decideIdle(facts, thresholds)).toEqual(decision);
    expect(countdown(facts, thresholds)?.seconds ?? null).toBe(seconds);
  });
}

describe('from WAKE', () => {
  table([
    ['299 s', idle(299), stay('idle_wait', 1), 1],
    ['300 s', idle(300), to('drowsy', 'idle'), 0],
    ['300 s, a request', idle(300, { requestsInFlight: 1 }), stay('requests_in_flight'), null],
    ['10 s, a request', idle(10, { requestsInFlight: 1 }), stay('requests_in_flight'), null],
    ['300 s, work', idle(300, { workableRows: 9, jobsActive: 1 }), to('drowsy', 'idle'), 0],
    ['300 s, unknown work', idle(300, { workableRows: 'unknown' }), to('drowsy', 'idle'), 0],
    ['1799 s', idle(1799), to('drowsy', 'idle'), 0],
    ['1800 s: through DROWSY', idle(1800), to('sleep', 'idle'), 0],
    ['1800 s, work', idle(1800, { workableRows: 1 }), to('drowsy', 'idle'), 0],
    ['a day: no deeper than SLEEP, whose cycle is to be run', idle(86_400), to('sleep', 'idle'), 0],
    ['idle for hours, woken 299 s ago', idle(9999, { secondsSinceWoken: 299 }), stay('idle_wait', 1), 1],
    ['idle for hours, woken 300 s ago', idle(9999, { secondsSinceWoken: 300 }), to('drowsy', 'idle'), 0],
  ]);
});

describe('from DROWSY', () => {
  const drowsy = (seconds: number, rest: Partial<IdleFacts> = {}) => idle(seconds, { ...rest, state: 'drowsy' });
  table([
    ['1799 s', drowsy(1799), stay('idle_wait', 1), 1],
    ['1800 s', drowsy(1800), to('sleep', 'idle'), 0],
    ['a request', drowsy(1800, { requestsInFlight: 1 }), stay('requests_in_flight'), null],
    ['a drain under way: 1801 s', drowsy(1801, { jobsActive: 1 }), stay('jobs_active'), null],
    ['a row', drowsy(1800, { workableRows: 1 }), stay('work_to_do'), null],
    ['rows unknown', drowsy(1800, { workableRows: 'unknown' }), stay('unknown_work'), null],
    ['jobs unknown', drowsy(1800, { jobsActive: 'unknown' }), stay('unknown_work'), null],
    ['a thousand rows that cannot be worked on are none', drowsy(1800, { workableRows: 0 }), to('sleep', 'idle'), 0],
    ['a request before all else', drowsy(0, { requestsInFlight: 1, jobsActive: 1 }), stay('requests_in_flight'), null],
    ['what holds it before the wait', drowsy(0, { workableRows: 1 }), stay('work_to_do'), null],
  ]);
});

describe('in quiet hours', () => {
  const quiet = (seconds: number, rest: Partial<IdleFacts> = {}) =>
    idle(seconds, { inQuietHours: true, cycle: 'due', ...rest });
  table([
    ['29 s', quiet(29), stay('idle_wait', 1), 1],
    ['30 s, a cycle is due', quiet(30), to('sleep', 'quiet_hours'), 0],
    ['30 s, drowsy', quiet(30, { state: 'drowsy' }), to('sleep', 'quiet_hours'), 0],
    ['30 s, none is due', quiet(30, { cycle: 'none' }), stay('idle_wait', 270), 270],
    ['30 s, one runs', quiet(30, { cycle: 'running' }), stay('idle_wait', 270), 270],
    ['30 s, not quiet', quiet(30, { inQuietHours: false }), stay('idle_wait', 270), 270],
    ['30 s, a request', quiet(30, { requestsInFlight: 1 }), stay('requests_in_flight'), null],
    ['30 s, work', quiet(30, { workableRows: 1 }), stay('idle_wait', 270), 270],
    ['30 s, drowsy, work', quiet(30, { state: 'drowsy', workableRows: 1 }), stay('work_to_do'), null],
    ['30 s, unknown', quiet(30, { state: 'drowsy', jobsActive: 'unknown' }), stay('unknown_work'), null],
    ['1800 s: idle like any other time', quiet(1800), to('sleep', 'idle'), 0],
    ['hours, woken 29 s ago', quiet(9999, { secondsSinceWoken: 29 }), stay('idle_wait', 1), 1],
  ]);

  test('drowsiness may be the shorter wait', () => {
    const short = { ...thresholds, drowsyAfterSeconds: 10 };
    expect(decideIdle(quiet(10), short)).toEqual(to('sleep', 'quiet_hours'));
    expect(decideIdle(quiet(9), short)).toEqual(stay('idle_wait', 1));
  });
});

describe('a forced sleep', () => {
  const forced = (rest: Partial<IdleFacts> = {}) => idle(0, { forceAgeSeconds: 0, ...rest });
  table([
    ['waits for nothing', forced(), to('sleep', 'forced'), 0],
    ['drowsy', forced({ state: 'drowsy' }), to('sleep', 'forced'), 0],
    ['4.5 s after a wake stays pending', forced({ secondsSinceWoken: 4.5 }), stay('just_woken', 0.5), 0.5],
    ['5 s after a wake', forced({ secondsSinceWoken: 5 }), to('sleep', 'forced'), 0],
    ['during a drain stays pending', forced({ jobsActive: 1 }), stay('jobs_active'), null],
    [
      'during a drain, idle for hours: pending, not drowsy',
      forced({ jobsActive: 1, idleSeconds: 9999 }),
      stay('jobs_active'),
      null,
    ],
    ['during what may be a drain', forced({ jobsActive: 'unknown' }), stay('unknown_work'), null],
    ['rows that nobody has in hand', forced({ workableRows: 10_000 }), to('sleep', 'forced'), 0],
    ['rows that nobody could count', forced({ workableRows: 'unknown' }), to('sleep', 'forced'), 0],
    ['during a request', forced({ requestsInFlight: 1 }), stay('requests_in_flight', 30), 30],
    ['29 s into a request', forced({ requestsInFlight: 1, forceAgeSeconds: 29 }), stay('requests_in_flight', 1), 1],
    ['30 s into a request', forced({ requestsInFlight: 1, forceAgeSeconds: 30 }), to('sleep', 'forced'), 0],
    [
      'a request and a drain',
      forced({ requestsInFlight: 1, jobsActive: 1, forceAgeSeconds: 30 }),
      stay('jobs_active'),
      null,
    ],
    ['asleep already: honoured, the wait is another one', forced({ state: 'sleep' }), stay('idle_wait', 7200), 7200],
  ]);
});

describe('from SLEEP', () => {
  const asleep = (seconds: number, rest: Partial<IdleFacts> = {}) => idle(seconds, { ...rest, state: 'sleep' });
  table([
    ['7199 s', asleep(7199), stay('idle_wait', 1), 1],
    ['7200 s', asleep(7200), to('hibernation', 'idle'), 0],
    ['a cycle runs', asleep(7200, { cycle: 'running' }), stay('cycle'), null],
    ['a cycle is due', asleep(7200, { cycle: 'due' }), stay('cycle'), null],
    ['a request that hangs', asleep(7200, { requestsInFlight: 1 }), stay('requests_in_flight'), null],
    ['a job', asleep(7200, { jobsActive: 1 }), stay('jobs_active'), null],
    ['jobs unknown', asleep(7200, { jobsActive: 'unknown' }), stay('unknown_work'), null],
    ['rows that the drain has left', asleep(7200, { workableRows: 5 }), to('hibernation', 'idle'), 0],
    ['forced, its cycle over', asleep(60, { wasForced: true }), to('hibernation', 'forced_cycle_over'), 0],
    ['forced, its cycle under way', asleep(60, { wasForced: true, cycle: 'running' }), stay('cycle'), null],
    ['forced, its cycle to come', asleep(60, { wasForced: true, cycle: 'due' }), stay('cycle'), null],
  ]);

  test('no deeper where hibernation is off', () => {
    const off = { ...thresholds, hibernates: false };
    expect(decideIdle(asleep(9999), off)).toEqual(stay('hibernation_off'));
    expect(countdown(asleep(9999), off)).toBeNull();
  });
});

describe('from HIBERNATION', () => {
  table([
    ['there is nothing deeper', idle(9999, { state: 'hibernation' }), stay('asleep'), null],
    ['nor by force', idle(9999, { state: 'hibernation', forceAgeSeconds: 60 }), stay('asleep'), null],
  ]);
});

describe('whatever the facts', () => {
  const seconds = (...boundaries: number[]) =>
    fc.oneof(
      fc.constantFrom(...boundaries.flatMap((boundary) => [boundary - 1, boundary, boundary + 1]), 0),
      fc.integer({ min: 0, max: 10_000 }),
    );
  const counted = fc.oneof(fc.integer({ min: 0, max: 2 }), fc.constant('unknown' as const));
  const anyFacts = fc.record<IdleFacts>({
    state: fc.constantFrom(...lifecycleStates),
    secondsSinceWoken: seconds(5, 30, 300, 1800, 7200),
    idleSeconds: seconds(5, 30, 300, 1800, 7200),
    requestsInFlight: fc.integer({ min: 0, max: 2 }),
    workableRows: counted,
    jobsActive: counted,
    forceAgeSeconds: fc.option(seconds(5, 30)),
    wasForced: fc.boolean(),
    inQuietHours: fc.boolean(),
    cycle: fc.constantFrom('running', 'due', 'none'),
  });
  const decide = (facts: IdleFacts) => decideIdle(facts, thresholds);
  const depth = (facts: IdleFacts, { to: target }: IdleDecision) =>
    lifecycleStates.indexOf(target === 'stay' ? facts.state : target);
  const always = (holds: (facts: IdleFacts, decision: IdleDecision) => void) =>
    fc.assert(
      fc.property(anyFacts, (facts) => holds(facts, decide(facts))),
      { numRuns: 3000 },
    );

  test('it never goes deeper while a request is in flight, but for a force that has waited 30 s', () =>
    always((facts, decision) => {
      if (facts.requestsInFlight > 0 && (facts.forceAgeSeconds ?? 0) < 30) expect(decision.to).toBe('stay');
    }));

  test('it never goes deeper within 5 s of a wake', () =>
    always((facts, decision) => {
      if (facts.secondsSinceWoken < 5) expect(decision.to).toBe('stay');
    }));

  test('unknown is not empty: it never sleeps', () =>
    always((facts, decision) => {
      const isUnknown =
        facts.jobsActive === 'unknown' || (facts.workableRows === 'unknown' && facts.forceAgeSeconds === null);
      if (isUnknown && facts.state !== 'sleep') expect(decision.to).not.toBe('sleep');
      if (facts.jobsActive === 'unknown') expect(decision.to).not.toBe('hibernation');
    }));

  test('sleep never begins under a running drain, forced or not', () =>
    always((facts, decision) => {
      if (facts.jobsActive !== 0) expect(['stay', 'drowsy']).toContain(decision.to);
    }));

  test('it goes deeper or stays, and hibernates only out of SLEEP', () =>
    always((facts, decision) => {
      if (decision.to === 'stay') return;
      expect(lifecycleStates.indexOf(decision.to)).toBeGreaterThan(lifecycleStates.indexOf(facts.state));
      if (decision.to === 'hibernation') expect(facts).toMatchObject({ state: 'sleep', cycle: 'none' });
    }));

  test('with time alone it only gets deeper', () =>
    fc.assert(
      fc.property(anyFacts, fc.integer({ min: 0, max: 10_000 }), (facts, later) => {
        expect(depth(facts, decide(past(facts, later)))).toBeGreaterThanOrEqual(depth(facts, decide(facts)));
      }),
      { numRuns: 3000 },
    ));

  test('what is told to be looked at again then moves then, and no sooner', () =>
    always((facts, decision) => {
      if (decision.to !== 'stay' || decision.nextLookSeconds === null) return;
      expect(decide(past(facts, decision.nextLookSeconds)).to).not.toBe('stay');
      expect(decide(past(facts, decision.nextLookSeconds - 1)).to).toBe('stay');
    }));

  test('the countdown is to what comes then', () =>
    always((facts, decision) => {
      const ahead = countdown(facts, thresholds);
      if (decision.to === 'stay') expect(ahead?.seconds ?? null).toBe(decision.nextLookSeconds);
      if (decision.to === 'stay' && ahead) expect(decide(past(facts, ahead.seconds)).to).toBe(ahead.to);
      else if (ahead) expect(ahead.seconds).toBe(0);
    }));

  function past(facts: IdleFacts, later: number): IdleFacts {
    return {
      ...facts,
      idleSeconds: facts.idleSeconds + later,
      secondsSinceWoken: facts.secondsSinceWoken + later,
      forceAgeSeconds: facts.forceAgeSeconds === null ? null : facts.forceAgeSeconds + later,
    };
  }
});
