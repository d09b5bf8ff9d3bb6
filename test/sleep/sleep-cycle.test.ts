import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { createDrivenClock } from '../support/driven-clock.ts';
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts';
import { aborted, createCycleBench, failureRows, lead, scriptedStep, stepRows } from './cycle-bench.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
});
afterEach(async () => {
  await database.db.query('delete from engram.sleep_cycles');
  await database.db.query('delete from engram.step_failures');
  await database.db.query('update engram.lifecycle set honoured_force_at = null');
});
afterAll(() => database.drop());

const names = ['drain', 'dedup', 'contradictions', 'integrity', 'digest'] as const;
const quiet = () => names.map((name) => scriptedStep(name));
const runsOf = (steps: readonly { runs(): number }[]) => steps.map((step) => step.runs());

describe('a cycle', () => {
  test('does its steps in order, once each, and is clean', async () => {
    const order: string[] = [];
    const steps = names.map((name) =>
      scriptedStep(name, (context) => {
        order.push(name);
        expect(context).toMatchObject({ checkpoint: null, isForced: false });
        return { kind: 'done', note: `${name} was done` };
      }),
    );
    const bench = await createCycleBench(database, steps);
    const end = await bench.run();
    expect(end).toMatchObject({ kind: 'finished', outcome: 'clean' });
    expect(order).toEqual(names);
    const latest = await bench.cycle.latest();
    expect(latest).toMatchObject({ outcome: 'clean', trigger: 'idle', isForced: false, isRunning: false });
    expect(latest?.steps.map(({ status, runs, note }) => ({ status, runs, note }))).toEqual(
      names.map((name) => ({ status: 'done', runs: 1, note: `${name} was done` })),
    );
    expect(await failureRows(database)).toEqual([]);
    expect(await bench.cycle.hasOpen()).toBe(false);
  });

  test('shows the step at hand and its progress from memory, before anything is kept', async () => {
    const steps = quiet();
    const bench = await createCycleBench(database, steps);
    const isAtIt = Promise.withResolvers<void>();
    const goOn = Promise.withResolvers<void>();
    steps[1]?.acts(async ({ progress }) => {
      progress(3, 9, 'a third');
      isAtIt.resolve();
      await goOn.promise;
      return { kind: 'done' };
    });
    const running = bench.run();
    await isAtIt.promise;
    expect(bench.cycle.isRunning()).toBe(true);
    const latest = await bench.cycle.latest();
    expect(latest?.isRunning).toBe(true);
    expect(latest?.steps[1]).toMatchObject({ name: 'dedup', status: 'running', done: 3, total: 9, note: 'a third' });
    await expect(bench.run()).rejects.toMatchObject({ code: 'CYCLE_RUNNING' });
    goOn.resolve();
    await running;
    expect(bench.cycle.isRunning()).toBe(false);
  });

  test('goes on with the other steps, the digest too, after one that throws; what it threw is kept short and without secrets', async () => {
    const steps = quiet();
    steps[0]?.acts(() => {
      throw new Error(`api_key=hunter2hunter2 \0${'x'.repeat(900)}`);
    });
    const bench = await createCycleBench(database, steps);
    expect(await bench.run()).toMatchObject({ kind: 'finished', outcome: 'failed' });
    expect(runsOf(steps)).toEqual([1, 1, 1, 1, 1]);
    const error = (await bench.cycle.latest())?.steps[0]?.error ?? '';
    expect(error).toHaveLength(500);
    expect(error).not.toContain('hunter2');
    const { lastFailedAt, lastGoodAt, started, completed } = await bench.cycle.history();
    expect(lastFailedAt).toBeInstanceOf(Date);
    expect({ lastGoodAt, started, completed }).toEqual({ lastGoodAt: null, started: 1, completed: 0 });
  });

  test('a step that throws each time is run once a cycle, however often that is gone on with', async () => {
    const steps = quiet();
    steps[0]?.acts(() => {
      throw new Error('broken');
    });
    const bench = await createCycleBench(database, steps);
    for (let times = 0; times < 3; times += 1) {
      const stop = new AbortController();
      steps[1]?.acts(async (context) => {
        stop.abort();
        await aborted(context);
        return { kind: 'deferred' };
      });
      expect(await bench.run({ signal: stop.signal })).toMatchObject({ kind: 'interrupted' });
    }
    steps[1]?.acts(() => ({ kind: 'done' }));
    expect(await bench.run()).toMatchObject({ kind: 'finished', outcome: 'failed' });
    expect(runsOf(steps)).toEqual([1, 4, 1, 1, 1]);
    expect(await failureRows(database)).toMatchObject([{ step: 'drain', failures: 1, hours: null }]);
  });

  test('history is told by what came of the cycles', async () => {
    const steps = quiet();
    const bench = await createCycleBench(database, steps);
    await bench.run();
    steps[0]?.acts(() => {
      throw new Error('broken');
    });
    await bench.run();
    expect(await bench.cycle.history()).toMatchObject({ started: 2, completed: 1, lastFailedAt: expect.any(Date) });
    steps[0]?.acts(() => ({ kind: 'done' }));
    await bench.run();
    const history = await bench.cycle.history();
    expect(history).toMatchObject({ started: 3, completed: 2, lastFailedAt: null });
    expect(history.lastCleanAt).toEqual(history.lastGoodAt);
    const scraped = await bench.metrics.registry.metrics();
    expect(scraped).toContain('engramd_sleep_cycles_started 3');
    expect(scraped).toContain('engramd_sleep_cycles_completed 2');
    expect(scraped).toContain('engramd_sleep_steps_total{step="drain",outcome="failed"} 1');
  });

  test('nobody goes on with a cycle that was left alone for twelve hours', async () => {
    const steps = quiet();
    const bench = await createCycleBench(database, steps);
    const stop = new AbortController();
    steps[2]?.acts(async (context) => {
      stop.abort();
      await aborted(context);
      return { kind: 'deferred' };
    });
    await bench.run({ signal: stop.signal });
    await database.db.query("update engram.sleep_cycles set touched_at = now() - interval '11 hours 59 minutes'");
    expect(await bench.cycle.hasOpen()).toBe(true);
    await database.db.query("update engram.sleep_cycles set touched_at = now() - interval '12 hours 1 minute'");
    expect(await bench.cycle.hasOpen()).toBe(false);
    steps[2]?.acts(() => ({ kind: 'done' }));
    expect(await bench.run()).toMatchObject({ kind: 'finished', outcome: 'clean' });
    expect(runsOf(steps)).toEqual([2, 2, 2, 1, 1]);
    const { rows } = await database.db.query('select outcome from engram.sleep_cycles order by started_at');
    expect(rows).toEqual([{ outcome: 'abandoned' }, { outcome: 'clean' }]);
    expect(await bench.cycle.history()).toMatchObject({ started: 2, completed: 1, lastFailedAt: null });
  });
});

describe('an interruption', () => {
  test('a resumed cycle that never counts as done: interrupted in each step and resumed, it is completed exactly once', async () => {
    const steps = quiet();
    const bench = await createCycleBench(database, steps);
    let stop = new AbortController();
    for (const step of steps) {
      step.acts(async (context) => {
        if (context.checkpoint === 'half') return { kind: 'done' };
        await context.save('half');
        stop.abort();
        await aborted(context);
        return { kind: 'deferred' };
      });
    }
    for (let left = steps.length; left > 0; left -= 1) {
      stop = new AbortController();
      expect(await bench.run({ signal: stop.signal })).toMatchObject({ kind: 'interrupted' });
      expect(await bench.cycle.history()).toMatchObject({ started: 1, completed: 0 });
    }
    expect(await bench.run()).toMatchObject({ kind: 'finished', outcome: 'clean' });
    expect(runsOf(steps)).toEqual([2, 2, 2, 2, 2]);
    expect(await bench.cycle.history()).toMatchObject({ started: 1, completed: 1 });
    expect(await failureRows(database)).toEqual([]);
  });

  test('is no failure, also where the step says so by throwing, three times and more', async () => {
    const steps = quiet();
    const bench = await createCycleBench(database, steps);
    for (let times = 0; times < 4; times += 1) {
      const stop = new AbortController();
      steps[1]?.acts(async (context) => {
        stop.abort(new Error('somebody came'));
        context.signal.throwIfAborted();
        return { kind: 'done' };
      });
      expect(await bench.run({ signal: stop.signal })).toMatchObject({ kind: 'interrupted' });
    }
    expect(await bench.cycle.quarantine()).toEqual([]);
    expect((await stepRows(database)).map(({ status }) => status)).toEqual([
      'done',
      'pending',
      'pending',
      'pending',
      'pending',
    ]);
  });

  test('before anything was begun leaves no cycle behind', async () => {
    const bench = await createCycleBench(database, quiet());
    expect(await bench.run({ signal: AbortSignal.abort() })).toEqual({ kind: 'interrupted', cycleId: null });
    expect(await bench.cycle.latest()).toBeNull();
  });

  test('a step that ignores its signal is left behind after two seconds, and no other begins while it runs on', async () => {
    const steps = quiet();
    const waits: number[] = [];
    const clock = {
      now: () => new Date(),
      monotonicMs: () => 0,
      // What is waited for passes at once, but for the hours that a step has.
      sleep: async (ms: number, signal?: AbortSignal) =>
        ms > 2000 && signal ? aborted({ signal }) : void waits.push(ms),
    };
    const bench = await createCycleBench(database, steps, { clock });
    const goOn = Promise.withResolvers<void>();
    const late = Promise.withResolvers<unknown>();
    const stop = new AbortController();
    steps[0]?.acts(async (context) => {
      stop.abort();
      await goOn.promise;
      await context.save('too late').catch(late.resolve);
      return { kind: 'done' };
    });
    expect(await bench.run({ signal: stop.signal })).toMatchObject({ kind: 'interrupted' });
    expect(waits).toEqual([2000]);
    expect(await failureRows(database)).toMatchObject([{ failures: 0, running: false }]);

    steps[0]?.acts(() => ({ kind: 'done' }));
    const again = new AbortController();
    const waiting = bench.run({ signal: again.signal });
    again.abort();
    expect(await waiting).toMatchObject({ kind: 'interrupted' });
    const third = bench.run();
    expect(runsOf(steps)).toEqual([1, 0, 0, 0, 0]);
    goOn.resolve();
    expect(await third).toMatchObject({ kind: 'finished', outcome: 'clean' });
    expect(await late.promise).toMatchObject({ code: 'STEP_OVER' });
    expect((await stepRows(database))[0]).toMatchObject({ runs: 2, checkpoint: null });
  });
});

describe('a force', () => {
  /** A force reaches SLEEP. */
  const force = () => database.db.query('update engram.lifecycle set honoured_force_at = clock_timestamp()');
  const untilItStops = (stop: AbortController) => async (context: Parameters<typeof aborted>[0]) => {
    stop.abort();
    await aborted(context);
    return { kind: 'deferred' } as const;
  };

  /** Steps of which the third was interrupted, in a run of that kind. */
  async function interruptedNight(trigger: 'idle' | 'starved' | 'forced') {
    const steps = quiet();
    const bench = await createCycleBench(database, steps);
    const stop = new AbortController();
    steps[2]?.acts(untilItStops(stop));
    expect(await bench.run({ trigger, signal: stop.signal })).toMatchObject({ kind: 'interrupted' });
    steps[2]?.acts(() => ({ kind: 'done' }));
    expect(runsOf(steps)).toEqual([1, 1, 1, 0, 0]);
    return { steps, bench };
  }

  test.for(['idle', 'starved'] as const)(
    'a forced sleep that skips the drain: a night begun as %s and interrupted past it is done again from the drain on, and counts once',
    async (trigger) => {
      const { steps, bench } = await interruptedNight(trigger);
      await force();
      expect(await bench.run({ trigger: 'forced' })).toMatchObject({ kind: 'finished', outcome: 'clean' });
      expect(runsOf(steps)).toEqual([2, 2, 2, 1, 1]);
      expect(await bench.cycle.latest()).toMatchObject({ trigger: 'forced', isForced: true });
      expect(await bench.cycle.history()).toMatchObject({ started: 1, completed: 1 });
    },
  );

  test('a forced sleep that skips the drain: not after a force of yesterday that was interrupted past it either', async () => {
    await force();
    const { steps, bench } = await interruptedNight('forced');
    await force();
    await bench.run({ trigger: 'forced' });
    expect(runsOf(steps)).toEqual([2, 2, 2, 1, 1]);
  });

  test('does what failed again, and the drain gets its whole time: no step has its old checkpoint', async () => {
    const steps = quiet();
    const bench = await createCycleBench(database, steps);
    const stop = new AbortController();
    steps[0]?.acts(async (context) => {
      await context.save({ usedMs: 599_000 });
      throw new Error('broken');
    });
    steps[1]?.acts(async (context) => {
      await context.save('half');
      return untilItStops(stop)(context);
    });
    await bench.run({ signal: stop.signal });
    const checkpoints: unknown[] = [];
    for (const step of steps) {
      step.acts(({ checkpoint }) => {
        checkpoints.push(checkpoint);
        return { kind: 'done' };
      });
    }
    expect(await bench.run({ trigger: 'forced' })).toMatchObject({ kind: 'finished', outcome: 'clean' });
    expect(checkpoints).toEqual([null, null, null, null, null]);
  });

  test('that dies in the middle of its cycle is gone on with where it was, by the next leader and by a night', async () => {
    await force();
    const { steps, bench } = await interruptedNight('forced');
    const doomed = bench.race.hold('cycle:step-begun', ({ step }) => step === 'integrity');
    const dying = bench.run({ trigger: 'forced' });
    await doomed.reached;
    const next = await createCycleBench(database, steps);
    doomed.release();
    expect(await dying).toEqual({ kind: 'lost_leadership' });
    const stop = new AbortController();
    steps[4]?.acts(untilItStops(stop));
    expect(await next.run({ trigger: 'forced', signal: stop.signal })).toMatchObject({ kind: 'interrupted' });
    await database.db.query('update engram.lifecycle set honoured_force_at = null');
    steps[4]?.acts(() => ({ kind: 'done' }));
    expect(await next.run()).toMatchObject({ kind: 'finished', outcome: 'clean' });
    expect((await stepRows(database)).map(({ runs }) => runs)).toEqual([1, 1, 2, 2, 2]);
    expect(await next.cycle.history()).toMatchObject({ started: 1, completed: 1 });
  });
});

describe('a step that hangs, with nobody to interrupt it', () => {
  const clock = createDrivenClock();
  const hour = 3_600_000;

  test('is told to stop after an hour and has failed, and the others go on', async () => {
    const steps = quiet();
    const bench = await createCycleBench(database, steps, { clock });
    const hangs = Promise.withResolvers<void>();
    steps[1]?.acts(async (context) => {
      hangs.resolve();
      await aborted(context);
      return { kind: 'deferred' };
    });
    const night = bench.run();
    await hangs.promise;
    await clock.advance(hour - 1);
    expect(bench.cycle.isRunning()).toBe(true);
    await clock.advance(1);
    expect(await night).toMatchObject({ kind: 'finished', outcome: 'failed' });
    expect(runsOf(steps)).toEqual([1, 1, 1, 1, 1]);
    expect((await bench.cycle.latest())?.steps[1]?.error).toContain('came no further');
    expect(await bench.cycle.quarantine()).toMatchObject([{ step: 'dedup', failures: 1 }]);
  });

  test('and has come further in its hour goes on from there', async () => {
    const steps = quiet();
    const bench = await createCycleBench(database, steps, { clock });
    const works = Promise.withResolvers<void>();
    const checkpoints: unknown[] = [];
    steps[1]?.acts(async (context, run) => {
      checkpoints.push(context.checkpoint);
      if (run === 2) return { kind: 'done' };
      await context.save('further');
      works.resolve();
      await aborted(context);
      return { kind: 'deferred' };
    });
    const night = bench.run();
    await works.promise;
    expect(await clock.drive(night, () => checkpoints.length < 2)).toMatchObject({ outcome: 'clean' });
    expect(checkpoints).toEqual([null, 'further']);
  });

  test('and does not listen either has failed as well; the others wait another hour for it, and no longer', async () => {
    const steps = quiet();
    const bench = await createCycleBench(database, steps, { clock });
    const hangs = Promise.withResolvers<void>();
    steps[0]?.acts(() => {
      hangs.resolve();
      return new Promise(() => undefined);
    });
    const night = bench.run();
    await hangs.promise;
    await clock.advance(hour + 2000);
    expect(await night).toMatchObject({ kind: 'interrupted' });
    expect(await bench.cycle.quarantine()).toMatchObject([{ step: 'drain', failures: 1 }]);
    const again = bench.run();
    await clock.advance(hour - 1);
    expect(runsOf(steps)).toEqual([1, 0, 0, 0, 0]);
    await clock.advance(1);
    expect(await again).toMatchObject({ kind: 'finished', outcome: 'failed' });
    expect(runsOf(steps)).toEqual([1, 1, 1, 1, 1]);
    expect((await bench.cycle.latest())?.steps[0]?.error).toContain('did not return within an hour');
  });
});

describe('slices', () => {
  test('a step goes on from its checkpoint slice after slice, with a turn for others between them', async () => {
    const steps = quiet();
    const bench = await createCycleBench(database, steps);
    const seen: unknown[] = [];
    steps[2]?.acts(async (context, run) => {
      seen.push(context.checkpoint);
      if (run === 4) return { kind: 'done' };
      await context.save(run);
      await aborted(context);
      return { kind: 'deferred' };
    });
    expect(await bench.run({ trigger: 'starved', sliceMs: 5 })).toMatchObject({ kind: 'finished', outcome: 'clean' });
    expect(seen).toEqual([null, 1, 2, 3]);
    // Begun once, however many slices it took.
    expect((await stepRows(database))[2]).toMatchObject({ runs: 1, checkpoint: 3 });
  });

  test('work re-run on each tick without progress: a step that comes no further is left alone after three slices, the others go on', async () => {
    const steps = quiet();
    let nowMs = 0;
    const clock = {
      now: () => new Date(),
      monotonicMs: () => nowMs,
      sleep: (ms: number, signal?: AbortSignal) =>
        new Promise<void>((resolve) => {
          signal?.addEventListener('abort', () => resolve(), { once: true });
          // The end of an ignored signal is not what this is about.
          if (ms < 2000) setImmediate(resolve);
        }),
    };
    const bench = await createCycleBench(database, steps, { clock });
    steps[1]?.acts(async (context) => {
      context.progress(0, 10);
      await aborted(context);
      return { kind: 'deferred' };
    });
    const tick = () => bench.run({ trigger: 'starved', sliceMs: 50 });
    expect(await tick()).toMatchObject({ kind: 'interrupted' });
    expect(runsOf(steps)).toEqual([1, 3, 1, 1, 1]);
    const touched = 'select touched_at::text as at from engram.sleep_cycles';
    const before = (await database.db.query(touched)).rows;
    for (let ticks = 0; ticks < 5; ticks += 1) expect(await tick()).toMatchObject({ kind: 'interrupted' });
    expect(runsOf(steps)).toEqual([1, 3, 1, 1, 1]);
    // Nothing done is nothing kept alive: in the end it is given up.
    expect((await database.db.query(touched)).rows).toEqual(before);
    nowMs += 10 * 60_000;
    steps[1]?.acts(() => ({ kind: 'done' }));
    expect(await tick()).toMatchObject({ kind: 'finished', outcome: 'clean' });
    expect(await bench.cycle.history()).toMatchObject({ started: 1, completed: 1 });
  });

  test('what two seconds are too short for may take its time when nobody is there', async () => {
    const steps = quiet();
    const bench = await createCycleBench(database, steps);
    steps[1]?.acts(async (context) => {
      await aborted(context);
      return { kind: 'deferred' };
    });
    expect(await bench.run({ trigger: 'starved', sliceMs: 1 })).toMatchObject({ kind: 'interrupted' });
    steps[1]?.acts(() => ({ kind: 'done' }));
    expect(await bench.run()).toMatchObject({ kind: 'finished', outcome: 'clean' });
  });

  test('a step that defers without being told to, and comes no further, has failed: nothing is left open by it', async () => {
    const steps = quiet();
    const bench = await createCycleBench(database, steps);
    steps[3]?.acts(() => ({ kind: 'deferred' }));
    expect(await bench.run()).toMatchObject({ kind: 'finished', outcome: 'failed' });
    expect(runsOf(steps)).toEqual([1, 1, 1, 3, 1]);
    expect(await bench.cycle.quarantine()).toMatchObject([{ step: 'integrity', failures: 1 }]);
  });
});

describe('leadership', () => {
  test('lost in the middle of a step: nothing more is written, and the next leader goes on there', async () => {
    const steps = quiet();
    const bench = await createCycleBench(database, steps);
    let successor: Awaited<ReturnType<typeof lead>> | undefined;
    let refusal: unknown;
    steps[1]?.acts(async (context) => {
      await context.save('mine');
      successor = await lead(database);
      refusal = await context.save('stolen').catch((thrown: unknown) => thrown);
      // Even one that makes nothing of it.
      return { kind: 'done' };
    });
    expect(await bench.run()).toEqual({ kind: 'lost_leadership' });
    expect(refusal).toMatchObject({ code: 'LEADERSHIP_LOST' });
    expect(runsOf(steps)).toEqual([1, 1, 0, 0, 0]);
    expect((await stepRows(database))[1]).toEqual({ name: 'dedup', status: 'running', runs: 1, checkpoint: 'mine' });
    expect(await bench.run()).toEqual({ kind: 'lost_leadership' });

    steps[1]?.acts((context) => {
      expect(context.checkpoint).toBe('mine');
      return { kind: 'done' };
    });
    const next = await createCycleBench(database, steps, { leader: successor });
    expect(await next.run()).toMatchObject({ kind: 'finished', outcome: 'clean' });
    expect(runsOf(steps)).toEqual([1, 2, 1, 1, 1]);
    expect(await next.cycle.history()).toMatchObject({ started: 1, completed: 1 });
  });

  test.for(['cycle:begun', 'cycle:step-begun', 'cycle:before-step-end', 'cycle:before-end'] as const)(
    'lost at %s: nothing more is written',
    async (point) => {
      const steps = quiet();
      const bench = await createCycleBench(database, steps);
      const hold = bench.race.hold(point);
      const running = bench.run();
      await hold.reached;
      await database.db.query("update engram.leader set expires_at = now() - interval '1 second'");
      const standing = async () => ({
        steps: await stepRows(database),
        failures: await failureRows(database),
        cycle: (await database.db.query('select outcome, touched_at::text from engram.sleep_cycles')).rows,
      });
      const before = await standing();
      hold.release();
      expect(await running).toEqual({ kind: 'lost_leadership' });
      expect(await standing()).toEqual(before);
      expect(before.cycle).toMatchObject([{ outcome: null }]);
    },
  );

  test('two runners on one database: one cycle is open, and only the leader works at it', async () => {
    const [mine, theirs] = [quiet(), quiet()];
    const other = await createCycleBench(database, theirs);
    const bench = await createCycleBench(database, mine);
    const ends = await Promise.all([bench.run(), other.run()]);
    expect(ends).toMatchObject([{ kind: 'finished' }, { kind: 'lost_leadership' }]);
    expect(runsOf(theirs)).toEqual([0, 0, 0, 0, 0]);
    await expect(
      database.db.query(
        `insert into engram.sleep_cycles (id, trigger, is_forced, instance_id)
         select gen_random_uuid(), 'idle', false, $1 from generate_series(1, 2)`,
        [bench.instanceId],
      ),
    ).rejects.toMatchObject({ code: '23505' });
  });
});

describe('another build', () => {
  test('a resumed cycle finds its steps by name: a new one is done, one that nobody knows any more keeps no cycle open', async () => {
    const steps = quiet();
    const bench = await createCycleBench(database, [scriptedStep('drain'), steps[2] ?? scriptedStep('digest')]);
    const hold = bench.race.hold('cycle:before-end');
    const running = bench.run();
    await hold.reached;
    await lead(database);
    hold.release();
    await running;
    await database.db.query(
      `insert into engram.sleep_steps (cycle_id, name, position) select id, 'graph', 3 from engram.sleep_cycles`,
    );
    const later = await createCycleBench(database, steps);
    expect(await later.run()).toMatchObject({ kind: 'finished', outcome: 'clean' });
    expect(runsOf(steps)).toEqual([0, 1, 1, 1, 1]);
    expect((await stepRows(database)).map(({ name }) => name)).toEqual(names);
  });
});
