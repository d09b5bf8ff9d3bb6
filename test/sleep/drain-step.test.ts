import { describe, expect, test } from 'vitest';
import type { DrainPort, Workable } from '../../src/sleep/drain-port.ts';
import { sleepStepNames } from '../../src/sleep/step.ts';
import { createSleepSteps, type SleepStepsDeps } from '../../src/sleep/steps/create-sleep-steps.ts';
import { createDrainStep } from '../../src/sleep/steps/drain-step.ts';
import { createDrivenClock } from '../support/driven-clock.ts';
import { stepContext } from './step-context.ts';

/** A queue that is as the test says, and what was asked of it. */
function createHandQueue(workable: Partial<Workable> = {}) {
  const clock = createDrivenClock();
  /** What the database's clock is before that of the host. */
  let skewMs = 0;
  const databaseNow = () => new Date(clock.now().getTime() + skewMs);
  const asked: string[] = [];
  const closed: number[] = [];
  let isClosed = Promise.resolve();
  const state = {
    now: { rows: 0, scores: 0, banks: [], jobsActive: 0, nextAt: null, heldBy: null, ...workable } as Workable,
    opened: 0,
  };
  const queue: DrainPort = {
    openHandOut(queues) {
      // Scores have a step of their own.
      expect(queues).toEqual(['consolidate', 'embed']);
      state.opened += 1;
      return {
        close: ({ graceMs }) => {
          closed.push(graceMs);
          return isClosed;
        },
      };
    },
    requestConsolidation: async (bankId) => void asked.push(bankId),
    requestScores: () => Promise.reject(new Error('not its affair')),
    workable: async (queues) => {
      expect(queues).toEqual(['consolidate', 'embed']);
      return state.now;
    },
  };
  const turn = () => new Promise<void>((resolve) => setImmediate(resolve));
  return {
    clock,
    asked,
    closed,
    databaseNow,
    step: createDrainStep({ queue, clock, databaseNow: async () => databaseNow() }),
    skew: (ms: number) => {
      skewMs = ms;
    },
    opened: () => state.opened,
    is: (next: Partial<Workable>) => {
      state.now = { ...state.now, ...next };
    },
    closesWith: (closing: Promise<void>) => {
      isClosed = closing;
    },
    /** Time, a second at a time, each with its turns. */
    async pass(seconds: number) {
      for (let left = seconds; left > 0; left -= 1) {
        await turn();
        await clock.advance(1000);
      }
    },
    isPending: async (promise: Promise<unknown>) => {
      await turn();
      return (await Promise.race([promise, turn().then(() => 'pending')])) === 'pending';
    },
  };
}

const wrongKey = 'the endpoint refuses the key';

describe('the backlog', () => {
  test('where there is none, nothing is handed out', async () => {
    const bench = createHandQueue();
    expect(await bench.step.run(stepContext())).toEqual({ kind: 'done' });
    expect(bench.opened()).toBe(0);
  });

  test('every bank is asked for at once, and again only where its job seems lost', async () => {
    const bench = createHandQueue({ rows: 30, banks: ['a', 'b', 'c'] });
    const context = stepContext();
    const ended = bench.step.run(context);
    await bench.pass(2);
    expect(bench.asked).toEqual(['a', 'b', 'c']);
    bench.is({ rows: 12, banks: ['c', 'd'], jobsActive: 1 });
    await bench.pass(30);
    expect(bench.asked).toEqual(['a', 'b', 'c', 'd', 'c']);
    bench.is({ rows: 0, banks: [], jobsActive: 0 });
    await bench.pass(1);
    expect(await ended).toEqual({ kind: 'done', note: '30 rows worked off' });
    expect(context.told.at(-1)).toEqual({ done: 30, total: 30 });
    expect(bench.closed).toHaveLength(1);
  });

  test('sleep begun under a running drain: the step is not over while a job is in hand, nor before what is called off is back', async () => {
    const bench = createHandQueue({ rows: 1, banks: ['a'] });
    const back = Promise.withResolvers<void>();
    bench.closesWith(back.promise);
    const ended = bench.step.run(stepContext());
    bench.is({ rows: 0, banks: [], jobsActive: 1 });
    await bench.pass(60);
    expect(bench.closed).toEqual([]);
    expect(await bench.isPending(ended)).toBe(true);
    bench.is({ jobsActive: 0 });
    await bench.pass(1);
    expect(bench.closed).toHaveLength(1);
    expect(await bench.isPending(ended)).toBe(true);
    back.resolve();
    expect(await ended).toEqual({ kind: 'done', note: '1 rows worked off' });
  });

  test('a wrong key: it is over at once, and says why', async () => {
    const bench = createHandQueue({ heldBy: wrongKey, nextAt: new Date('2026-03-05T00:00:00Z') });
    expect(await bench.step.run(stepContext())).toEqual({
      kind: 'done',
      note: `nothing workable is left: ${wrongKey}`,
    });
    expect(bench.opened()).toBe(0);
  });

  test('a key that stops working on the way: what was done is told as well', async () => {
    const bench = createHandQueue({ rows: 10, banks: ['a'] });
    const ended = bench.step.run(stepContext());
    await bench.pass(1);
    bench.is({ rows: 4 });
    await bench.pass(1);
    bench.is({ rows: 0, banks: [], heldBy: wrongKey });
    await bench.pass(1);
    expect(await ended).toMatchObject({ note: `10 rows worked off; nothing workable is left: ${wrongKey}` });
  });

  test('what was written right before a forced sleep is waited for until its bank is quiet', async () => {
    const bench = createHandQueue({
      heldBy: 'their bank is being written to',
      nextAt: new Date('2026-03-04T09:00:28Z'),
    });
    const ended = bench.step.run(stepContext({ isForced: true }));
    await bench.pass(29);
    expect(await bench.isPending(ended)).toBe(true);
    bench.is({ rows: 2, banks: ['a'], nextAt: null, heldBy: null });
    await bench.pass(2);
    expect(bench.asked).toEqual(['a']);
    bench.is({ rows: 0, banks: [] });
    await bench.pass(1);
    expect(await ended).toEqual({ kind: 'done', note: '2 rows worked off' });
  });

  test.for([-5, 5])(
    'the same where the clock of the database is %i minutes before that of the host',
    async (minutes) => {
      const bench = createHandQueue({ heldBy: 'their bank is being written to' });
      bench.skew(minutes * 60_000);
      const inSeconds = (seconds: number) => new Date(bench.databaseNow().getTime() + seconds * 1000);
      bench.is({ nextAt: inSeconds(36) });
      expect(await bench.step.run(stepContext())).toMatchObject({ kind: 'done' });
      expect(bench.opened()).toBe(0);
      bench.is({ nextAt: inSeconds(28) });
      const ended = bench.step.run(stepContext());
      await bench.pass(10);
      expect(await bench.isPending(ended)).toBe(true);
      bench.is({ rows: 2, banks: ['a'], nextAt: null, heldBy: null });
      await bench.pass(2);
      bench.is({ rows: 0, banks: [] });
      await bench.pass(1);
      expect(await ended).toEqual({ kind: 'done', note: '2 rows worked off' });
    },
  );

  test('what is always about to become workable, and never does, is waited for once', async () => {
    const bench = createHandQueue({ heldBy: 'an endpoint that comes and goes' });
    const soon = () => bench.is({ nextAt: new Date(bench.clock.now().getTime() + 5000) });
    soon();
    const ended = bench.step.run(stepContext());
    for (let seconds = 0; seconds < 36; seconds += 1) {
      await bench.pass(1);
      soon();
    }
    expect(await ended).toMatchObject({ kind: 'done' });
  });
});

describe('its time', () => {
  test('ten minutes a cycle, over all interruptions; then it says what is left', async () => {
    const bench = createHandQueue({ rows: 500, banks: ['a'] });
    const first = stepContext({ checkpoint: { usedMs: 595_000 } });
    const ended = bench.step.run(first);
    await bench.pass(4);
    expect(await bench.isPending(ended)).toBe(true);
    await bench.pass(2);
    expect(await ended).toEqual({ kind: 'done', note: 'ten minutes were not enough: 500 rows are left' });
    expect(bench.closed).toHaveLength(1);

    const again = createHandQueue({ rows: 500, banks: ['a'] });
    expect(await again.step.run(stepContext({ checkpoint: { usedMs: 600_000 } }))).toMatchObject({ kind: 'done' });
    expect(again.opened()).toBe(0);
  });

  test('is kept on the way, for a crash, and at an interruption', async () => {
    const bench = createHandQueue({ rows: 500, banks: ['a'] });
    const stop = new AbortController();
    const context = stepContext({ signal: stop.signal });
    const ended = bench.step.run(context);
    await bench.pass(17);
    expect(context.saved).toEqual([{ usedMs: 15_000 }]);
    stop.abort();
    expect(await ended).toEqual({ kind: 'deferred' });
    expect(context.saved.at(-1)).toEqual({ usedMs: 17_000 });
  });

  test('an interruption closes the hand-out and calls off what is in hand, and is not kept waiting by a batch that does not listen', async () => {
    const bench = createHandQueue({ rows: 500, banks: ['a'], jobsActive: 1 });
    bench.closesWith(new Promise(() => undefined));
    const stop = new AbortController();
    const ended = bench.step.run(stepContext({ signal: stop.signal }));
    await bench.pass(3);
    stop.abort();
    expect(await bench.isPending(ended)).toBe(true);
    expect(bench.closed).toEqual([0]);
    await bench.clock.advance(1499);
    expect(await bench.isPending(ended)).toBe(true);
    await bench.clock.advance(1);
    expect(await ended).toEqual({ kind: 'deferred' });
  });

  test('an interruption of the last wait ends that too', async () => {
    const bench = createHandQueue({ rows: 500, banks: ['a'] });
    bench.closesWith(new Promise(() => undefined));
    const stop = new AbortController();
    const ended = bench.step.run(stepContext({ signal: stop.signal, checkpoint: { usedMs: 599_500 } }));
    await bench.pass(2);
    expect(bench.closed).toEqual([20_000]);
    stop.abort();
    await bench.pass(2);
    expect(await ended).toMatchObject({ kind: 'done' });
  });

  test('the hand-out is closed also where a look at the queue fails', async () => {
    const bench = createHandQueue({ rows: 1, banks: ['a'] });
    const context = stepContext({ checkpoint: { usedMs: 'nonsense' }, save: () => Promise.reject(new Error('lost')) });
    const ended = bench.step.run(context);
    ended.catch(() => undefined);
    await bench.pass(17);
    await expect(ended).rejects.toThrow('lost');
    expect(bench.closed).toHaveLength(1);
  });
});

test('the night has its steps in their order', () => {
  expect(createSleepSteps({} as SleepStepsDeps).map(({ name }) => name)).toEqual(sleepStepNames);
});
