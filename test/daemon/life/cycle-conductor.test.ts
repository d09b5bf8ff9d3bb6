import { expect, it } from 'vitest';
import { type CycleTrigger, createCycleConductor } from '../../../src/daemon/life/cycle-conductor.ts';
import type { CycleEnd, RunCycleRequest, SleepCycle } from '../../../src/sleep/sleep-cycle.ts';
import { silentLog } from '../../../src/telemetry/log.ts';
import { createMetrics } from '../../../src/telemetry/metrics.ts';
import { createDrivenClock } from '../../support/driven-clock.ts';

function rig(run: (request: RunCycleRequest) => Promise<CycleEnd>) {
  const runs: CycleTrigger[] = [];
  const clock = createDrivenClock();
  let overs = 0;
  const cycle = {
    run(request: RunCycleRequest) {
      runs.push(request.trigger);
      return run(request);
    },
  } as SleepCycle;
  const conductor = createCycleConductor({
    cycle,
    clock,
    log: silentLog,
    metrics: createMetrics(),
    onOver: () => {
      overs += 1;
    },
  });
  const term = { fence: 1, over: new AbortController().signal };
  const begin = (trigger: CycleTrigger) => conductor.begin({ term, trigger, ready: async () => true });
  const over = async (times: number) => {
    while (overs < times) await new Promise((resolve) => setImmediate(resolve));
  };
  return { conductor, clock, runs, begin, over };
}

const untilAborted = ({ signal }: RunCycleRequest) =>
  new Promise<CycleEnd>((resolve) => {
    signal.addEventListener('abort', () => resolve({ kind: 'interrupted', cycleId: 'c' }));
  });

it.each([
  ['fails', () => Promise.reject(new Error('the database is gone'))],
  ['comes to nothing', async () => ({ kind: 'interrupted', cycleId: 'c' }) as const],
  ['is another leader’s', async () => ({ kind: 'lost_leadership' }) as const],
])('does not begin anew with each tick where a run %s', async (_, run) => {
  const { clock, runs, begin, over } = rig(run);
  begin('idle');
  await over(1);
  begin('idle');
  await clock.advance(59_999);
  begin('idle');
  expect(runs).toEqual(['idle']);
  await clock.advance(1);
  begin('idle');
  await over(2);
  expect(runs).toEqual(['idle', 'idle']);
});

it('begins at once again after somebody came, and after an end', async () => {
  const ends: CycleEnd[] = [];
  const { conductor, runs, begin, over } = rig((request) =>
    ends.length > 0 ? Promise.resolve(ends[0] as CycleEnd) : untilAborted(request),
  );
  begin('idle');
  await new Promise((resolve) => setImmediate(resolve));
  conductor.interrupt('a request');
  await over(1);
  ends.push({ kind: 'finished', cycleId: 'c', outcome: 'clean' });
  begin('idle');
  await over(2);
  begin('idle');
  await over(3);
  expect(runs).toHaveLength(3);
});

it.each(['idle', 'starved'] as const)('lets a forced night take the place of one that is %s, once', async (trigger) => {
  const { conductor, runs, begin, over } = rig(untilAborted);
  begin(trigger);
  await new Promise((resolve) => setImmediate(resolve));
  begin('forced');
  await over(1);
  begin('forced');
  await new Promise((resolve) => setImmediate(resolve));
  begin('forced');
  expect(runs).toEqual([trigger, 'forced']);
  expect(conductor.isRunning()).toBe(true);
  await conductor.halt('the end');
});

it('leaves a starved night alone when somebody comes, and ends it for a pause', async () => {
  const { conductor, begin } = rig(untilAborted);
  begin('starved');
  await new Promise((resolve) => setImmediate(resolve));
  conductor.interrupt('a request');
  expect(conductor.isRunning()).toBe(true);
  await conductor.halt('paused');
  expect(conductor.isRunning()).toBe(false);
});
