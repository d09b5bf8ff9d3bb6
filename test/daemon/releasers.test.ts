import { expect, it } from 'vitest';
import { createReleasers } from '../../src/daemon/releasers.ts';
import { stopDeadlineMs } from '../../src/daemon/stop-bounds.ts';
import { systemClock } from '../../src/telemetry/clock.ts';
import { silentLog } from '../../src/telemetry/log.ts';

const deps = { log: silentLog, clock: systemClock };

it('gives back last acquired first, every one of them, and throws the first failure', async () => {
  const done: string[] = [];
  const releasers = createReleasers(deps);
  for (const name of ['lock', 'server', 'pool', 'http']) {
    releasers.add(name, 1000, async () => {
      done.push(name);
      if (name === 'pool' || name === 'server') throw new Error(`${name} failed`);
    });
  }
  await expect(releasers.releaseAll()).rejects.toThrow('pool failed');
  expect(done).toEqual(['http', 'pool', 'server', 'lock']);
});

it('goes on when a step does not end, and says which', async () => {
  const done: string[] = [];
  const releasers = createReleasers(deps);
  releasers.add('lock', 1000, async () => void done.push('lock'));
  releasers.add('queue', 10, () => new Promise(() => undefined));
  await expect(releasers.releaseAll()).rejects.toThrow('queue did not stop within 10 ms');
  expect(done).toEqual(['lock']);
});

it('survives a step that fails after its time was up', async () => {
  const late = Promise.withResolvers<void>();
  const releasers = createReleasers(deps);
  releasers.add('queue', 10, () => late.promise);
  await expect(releasers.releaseAll()).rejects.toThrow('did not stop');
  late.reject(new Error('too late for anybody to listen'));
  // An unhandled rejection would fail this file.
  await new Promise((resolve) => setImmediate(resolve));
});

it('stops once, however often it is asked', async () => {
  const stops: string[] = [];
  const releasers = createReleasers(deps);
  releasers.add('server', 1000, async () => void stops.push('server'));
  await Promise.all([releasers.releaseAll(), releasers.releaseAll()]);
  expect(stops).toEqual(['server']);
  expect(() => releasers.add('late', 1000, async () => undefined)).toThrow('after the stop had begun');
});

it('keeps the whole stop within 25 seconds', () => {
  expect(stopDeadlineMs).toBeLessThanOrEqual(25_000);
});
