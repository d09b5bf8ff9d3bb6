import { expect, it } from 'vitest';
import { createParking, type ParkedPart } from '../../../src/daemon/life/parking.ts';
import { QueueSchemaNewerError } from '../../../src/queue/errors.ts';
import { silentLog } from '../../../src/telemetry/log.ts';
import { createDrivenClock } from '../../support/driven-clock.ts';

function rig(parts: (done: string[]) => readonly ParkedPart[]) {
  const done: string[] = [];
  const clock = createDrivenClock();
  const parking = createParking({
    parts: parts(done),
    onParked: async () => void done.push('parked'),
    onUp: () => void done.push('up'),
    onFatal: (error) => void done.push(error.message),
    clock,
    log: silentLog,
  });
  return { done, clock, parking };
}

const part = (done: string[], name: string): ParkedPart => ({
  name,
  release: async () => void done.push(`-${name}`),
  restore: async () => void done.push(`+${name}`),
});

it('lets go in order and takes back in the opposite one, again and again', async () => {
  const { done, parking } = rig((into) => [part(into, 'queue'), part(into, 'vectors'), part(into, 'pool')]);
  for (let turn = 0; turn < 3; turn += 1) {
    await parking.park();
    expect(parking.isParked()).toBe(true);
    await parking.unpark();
    expect(parking.isParked()).toBe(false);
  }
  const turn = ['-queue', '-vectors', '-pool', 'parked', '+pool', '+vectors', '+queue', 'up'];
  expect(done).toEqual([...turn, ...turn, ...turn]);
});

it('turns round where it is when somebody comes while it lets go', async () => {
  const held = Promise.withResolvers<void>();
  const reached = Promise.withResolvers<void>();
  const { done, parking } = rig((into) => [
    part(into, 'queue'),
    {
      ...part(into, 'vectors'),
      release() {
        reached.resolve();
        return held.promise.then(() => void into.push('-vectors'));
      },
    },
    part(into, 'pool'),
  ]);
  const parked = parking.park();
  await reached.promise;
  const up = parking.unpark();
  held.resolve();
  await Promise.all([parked, up]);
  expect(parking.isParked()).toBe(false);
  expect(done).toEqual(['-queue', '-vectors', '+vectors', '+queue', 'up']);
});

it('parks all the same when a part cannot be released, and tries again what does not come back', async () => {
  let failures = 3;
  const { done, clock, parking } = rig((into) => [
    {
      name: 'queue',
      release: () => Promise.reject(new Error('the database is gone')),
      restore: async () => {
        failures -= 1;
        if (failures >= 0) throw new Error('the database is gone');
        into.push('+queue');
      },
    },
  ]);
  await parking.park();
  expect(parking.isParked()).toBe(true);
  const up = parking.unpark();
  // Half a second, one, two.
  await clock.advance(4000);
  await up;
  expect(done).toEqual(['parked', '+queue', 'up']);
});

it('ends while a part does not come back', async () => {
  const { parking } = rig(() => [
    { name: 'queue', release: async () => undefined, restore: () => Promise.reject(new Error('gone for good')) },
  ]);
  await parking.park();
  const up = parking.unpark();
  await parking.stop();
  await up;
  expect(parking.isParked()).toBe(false);
});

it('is wanted up at the very end of parking', async () => {
  const { done, parking } = rig((into) => [part(into, 'pool')]);
  await parking.park().then(() => parking.unpark());
  expect(done).toEqual(['-pool', 'parked', '+pool', 'up']);
});

it('gives up on a part that can never come back, and says so', async () => {
  const { done, parking } = rig(() => [
    {
      name: 'queue',
      release: async () => undefined,
      restore: () => Promise.reject(new QueueSchemaNewerError('a newer engramd has migrated it')),
    },
  ]);
  await parking.park();
  await parking.unpark();
  expect(done).toEqual(['parked', 'a newer engramd has migrated it', 'up']);
});
