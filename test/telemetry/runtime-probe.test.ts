import { expect, it } from 'vitest';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { createRuntimeProbe } from '../../src/telemetry/runtime-probe.ts';

function block(ms: number): void {
  const untilMs = performance.now() + ms;
  while (performance.now() < untilMs) Math.random();
}

const turn = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

it('tells how late the event loop was, of the time since the last scrape, and nothing while parked', async () => {
  const metrics = createMetrics();
  const probe = createRuntimeProbe({ metrics });
  const value = async (percentile: number) => {
    const { values } = await metrics.eventLoopDelaySeconds.get();
    return values.find(({ labels }) => labels.percentile === percentile)?.value;
  };
  expect(probe.delay()).toBeNull();
  probe.enable();
  await turn(150);
  block(300);
  await turn(150);
  // It was blocked for 300 ms, of which the sample has seen all but the wait for its turn.
  expect(probe.delay()).toMatchObject({ p99Ms: expect.toSatisfy((ms: number) => ms >= 240) });
  probe.collect();
  expect(await value(99)).toBeGreaterThanOrEqual(0.24);
  expect(await value(100)).toBeGreaterThanOrEqual(0.24);
  // `quantile` belongs to summaries, say the linters.
  expect(await metrics.registry.metrics()).not.toContain('quantile=');
  // The window before, until this one has a sample.
  expect(probe.delay()?.p99Ms).toBeGreaterThanOrEqual(240);
  // Of this window alone.
  do {
    await turn(60);
    probe.collect();
  } while (((await value(100)) ?? 0) >= 0.24);

  probe.disable();
  expect(probe.delay()).toBeNull();
  probe.collect();
  expect(await value(99)).toBeUndefined();
  probe.enable();
  expect(probe.delay()).toBeNull();
  while (probe.delay() === null) await turn(20);
  probe.disable();
});

it('reads CPU and memory at a scrape only', async () => {
  const metrics = createMetrics();
  const probe = createRuntimeProbe({ metrics });
  expect((await metrics.residentBytes.get()).values).toEqual([{ labels: {}, value: 0 }]);
  probe.collect();
  expect((await metrics.residentBytes.get()).values[0]?.value).toBeGreaterThan(10 * 2 ** 20);
  const { values } = await metrics.cpuSeconds.get();
  expect(values.map(({ labels }) => labels.mode)).toEqual(['user', 'system']);
  expect(values[0]?.value).toBeGreaterThan(0);
});
