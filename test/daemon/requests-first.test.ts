import { expect, it } from 'vitest';
import type { ApiQueue } from '../../src/api/app-deps.ts';
import { createRequestsFirst } from '../../src/daemon/requests-first.ts';
import type { Clock } from '../../src/telemetry/clock.ts';

it('leaves no timer behind where the queue is up: it would hold the end of the process up', async () => {
  const signals: AbortSignal[] = [];
  const clock: Clock = {
    now: () => new Date(),
    monotonicMs: () => 0,
    sleep: (_, signal) => {
      if (signal) signals.push(signal);
      return new Promise((resolve) => signal?.addEventListener('abort', () => resolve()));
    },
  };
  const queue = { requestConsolidation: async () => ({ jobId: 'job' }) } as unknown as ApiQueue;
  const first = createRequestsFirst({ queue, inFlight: () => 0, whenUp: async () => undefined, clock });
  expect(await first.queue.requestConsolidation('bank')).toEqual({ jobId: 'job' });
  expect(signals.map(({ aborted }) => aborted)).toEqual([true]);
});
