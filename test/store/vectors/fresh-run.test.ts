import fc from 'fast-check';
import { expect, it } from 'vitest';
import { createFreshRun } from '../../../src/store/vectors/fresh-run.ts';

it('gives every caller a run that began after the call, one at a time', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.scheduler(),
      fc.array(fc.boolean(), { minLength: 1, maxLength: 12 }),
      async (scheduler, outcomes) => {
        let begun = 0;
        let running = 0;
        let mostAtOnce = 0;
        const fresh = createFreshRun(async () => {
          begun += 1;
          const run = begun;
          running += 1;
          mostAtOnce = Math.max(mostAtOnce, running);
          await scheduler.schedule(Promise.resolve(), `run ${run}`);
          running -= 1;
          // A run that fails is no reason for the next one not to begin.
          if (run % 3 === 0) throw new Error(`run ${run}`);
          return run;
        });
        const calls = outcomes.map(async (twice, at) => {
          for (let round = 0; round < (twice ? 2 : 1); round += 1) {
            await scheduler.schedule(Promise.resolve(), `call ${at}`);
            const before = begun;
            const run = await fresh().catch((thrown: Error) => Number(thrown.message.slice('run '.length)));
            expect(run).toBeGreaterThan(before);
          }
        });
        await scheduler.waitFor(Promise.all(calls));
        expect(mostAtOnce).toBe(1);
      },
    ),
  );
});

it('runs twice for any number of callers that come while it runs', async () => {
  const gates: PromiseWithResolvers<void>[] = [];
  const fresh = createFreshRun(async () => {
    const gate = Promise.withResolvers<void>();
    gates.push(gate);
    await gate.promise;
    return gates.length;
  });
  const first = fresh();
  const later = Array.from({ length: 20 }, () => fresh());
  gates[0]?.resolve();
  await first;
  await expect.poll(() => gates.length).toBe(2);
  gates[1]?.resolve();
  expect(new Set(await Promise.all(later))).toEqual(new Set([2]));
});

it('does not run beside a call made at the very moment at which the last run ends', async () => {
  const gates: PromiseWithResolvers<void>[] = [];
  let running = 0;
  let mostAtOnce = 0;
  const fresh = createFreshRun(async () => {
    running += 1;
    mostAtOnce = Math.max(mostAtOnce, running);
    const gate = Promise.withResolvers<void>();
    gates.push(gate);
    await gate.promise;
    running -= 1;
  });
  const first = fresh();
  const again = first.then(() => fresh());
  const waiting = fresh();
  gates[0]?.resolve();
  await first;
  await expect.poll(() => gates.length).toBeGreaterThan(1);
  for (const gate of gates) gate.resolve();
  await Promise.all([again, waiting]);
  expect(mostAtOnce).toBe(1);
});
