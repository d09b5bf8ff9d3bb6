import { expect, it } from 'vitest';
import { BuildTooLongError, BuildWaitTimeoutError } from '../../src/builds/build-outcome.ts';
import { createSingleFlight, type SingleFlightOptions } from '../../src/builds/single-flight.ts';
import { createDrivenClock } from '../support/driven-clock.ts';

const clock = createDrivenClock();
const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

function gate(options: Partial<SingleFlightOptions> = {}) {
  const outcomes: string[] = [];
  const flights = createSingleFlight<number>({
    clock,
    waitMs: 1000,
    buildMs: 5000,
    rounds: 4,
    onOutcome: (outcome) => outcomes.push(outcome),
    ...options,
  });
  const counts = { begun: 0, running: 0, mostAtOnce: 0 };
  /** A build that ends when it is told to, with its number. */
  const pending: PromiseWithResolvers<void>[] = [];
  const build = async () => {
    counts.begun += 1;
    counts.running += 1;
    counts.mostAtOnce = Math.max(counts.mostAtOnce, counts.running);
    const number = counts.begun;
    const end = Promise.withResolvers<void>();
    pending.push(end);
    try {
      await end.promise;
      return number;
    } finally {
      counts.running -= 1;
    }
  };
  const eight = (key = 'bank') => Array.from({ length: 8 }, () => flights.run(key, build));
  return { flights, outcomes, counts, pending, build, eight };
}

it('several subsystems computing the same structure at once: eight callers are one build', async () => {
  const { counts, eight, flights, outcomes, pending } = gate();
  const calls = eight();
  await turn();
  pending[0]?.resolve();
  expect(await Promise.all(calls)).toEqual(Array(8).fill(1));
  expect(counts).toMatchObject({ begun: 1, mostAtOnce: 1 });
  expect(outcomes.toSorted()).toEqual(['built', ...Array(7).fill('joined')]);
  expect(flights.size).toBe(0);
});

it('the leader dies: exactly one successor builds, and only the leader has its error', async () => {
  const { counts, eight, flights, pending } = gate();
  const calls = eight();
  const ends = Promise.allSettled(calls);
  await turn();
  pending[0]?.reject(new Error('died'));
  await turn();
  expect(counts).toMatchObject({ begun: 2, mostAtOnce: 1 });
  pending[1]?.resolve();
  const statuses = (await ends).map((end) => (end.status === 'fulfilled' ? end.value : String(end.reason)));
  expect(statuses).toEqual(['Error: died', ...Array(7).fill(2)]);
  expect(flights.size).toBe(0);
});

it('a build that fails every time is tried as often as there are rounds, one at a time, and then is an error for all', async () => {
  const { counts, flights, outcomes } = gate();
  const failing = async () => {
    counts.begun += 1;
    counts.running += 1;
    counts.mostAtOnce = Math.max(counts.mostAtOnce, counts.running);
    await turn();
    counts.running -= 1;
    throw new Error('no');
  };
  const ends = await Promise.allSettled(Array.from({ length: 8 }, () => flights.run('bank', failing)));
  expect(ends.map((end) => end.status)).toEqual(Array(8).fill('rejected'));
  expect(counts).toMatchObject({ begun: 4, mostAtOnce: 1 });
  expect(outcomes).toEqual(Array(8).fill('failed'));
  expect(flights.size).toBe(0);
});

it('a build that throws before it waits for anything is a failure like any other', async () => {
  const { flights } = gate();
  const call = flights.run('bank', () => {
    throw new Error('at once');
  });
  await expect(call).rejects.toThrow('at once');
  expect(flights.size).toBe(0);
});

it('a leader that never ends: followers leave within the bound, itself within its own, and nothing is left', async () => {
  const { eight, flights, outcomes, counts } = gate();
  const ends = Promise.allSettled(eight());
  const signals: AbortSignal[] = [];
  const hanging = flights.run('hangs', (signal) => {
    signals.push(signal);
    return new Promise(() => undefined);
  });
  const hangs = expect(hanging).rejects.toThrow(BuildTooLongError);
  await turn();
  await clock.advance(999);
  expect(outcomes).toEqual([]);
  await clock.advance(1);
  expect(outcomes).toEqual(Array(7).fill('timed_out'));
  expect(flights.size).toBe(2);
  await clock.advance(4000);
  await hangs;
  expect(signals[0]?.aborted).toBe(true);
  expect(flights.size).toBe(0);
  const reasons = (await ends).map((end) => (end.status === 'rejected' ? end.reason : end.value));
  expect(reasons[0]).toBeInstanceOf(BuildTooLongError);
  for (const reason of reasons.slice(1)) {
    expect(reason).toBeInstanceOf(BuildWaitTimeoutError);
    expect(reason).toMatchObject({ code: 'BUILD_WAIT_TIMEOUT', retryable: true });
  }
  expect(counts.begun).toBe(1);
});

it('a build that was given up does not take its successor out of its place when it ends at last', async () => {
  const { build, counts, flights, pending } = gate();
  const first = expect(flights.run('bank', build)).rejects.toThrow(BuildTooLongError);
  await turn();
  await clock.advance(5000);
  await first;
  const second = flights.run('bank', build);
  await turn();
  pending[0]?.resolve();
  await turn();
  expect(flights.size).toBe(1);
  const third = flights.run('bank', build);
  await turn();
  pending[1]?.resolve();
  expect(await Promise.all([second, third])).toEqual([2, 2]);
  expect(counts.begun).toBe(2);
});

it('distinct keys do not wait for each other, and each is built once', async () => {
  const { build, counts, flights, pending } = gate();
  const calls = ['a', 'b', 'a', 'b'].map((key) => flights.run(key, build));
  await turn();
  expect(counts).toMatchObject({ begun: 2, running: 2 });
  pending[1]?.resolve();
  expect(await calls[1]).toBe(2);
  pending[0]?.resolve();
  expect(await Promise.all(calls)).toEqual([1, 2, 1, 2]);
});

it("a caller's signal frees that caller alone, also where the build is its own", async () => {
  const { build, flights, pending } = gate();
  const leaving = new AbortController();
  const signals: AbortSignal[] = [];
  const mine = flights.run(
    'bank',
    (signal) => {
      signals.push(signal);
      return build();
    },
    { signal: leaving.signal },
  );
  const other = flights.run('bank', build);
  await turn();
  leaving.abort(new Error('gone'));
  await expect(mine).rejects.toThrow('gone');
  expect(signals[0]?.aborted).toBe(false);
  pending[0]?.resolve();
  expect(await other).toBe(1);
});

it('a build that nobody waits for any more is told to stop, and the next caller neither shares its end nor builds beside it', async () => {
  const { counts, flights } = gate();
  const leaving = new AbortController();
  const build = async (signal: AbortSignal): Promise<number> => {
    counts.begun += 1;
    counts.running += 1;
    counts.mostAtOnce = Math.max(counts.mostAtOnce, counts.running);
    const number = counts.begun;
    await turn();
    await turn();
    counts.running -= 1;
    signal.throwIfAborted();
    return number;
  };
  const first = flights.run('bank', build, { signal: leaving.signal });
  await Promise.resolve();
  leaving.abort(new Error('gone'));
  await expect(first).rejects.toThrow('gone');
  expect(flights.size).toBe(1);
  expect(await flights.run('bank', build)).toBe(2);
  expect(counts).toMatchObject({ begun: 2, mostAtOnce: 1 });
});
