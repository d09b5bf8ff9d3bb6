import { expect, test } from 'vitest';
import { heldLabel, withLease } from '../../src/db/lease.ts';
import { createHintCoalescer } from '../../src/queue/hint-coalescer.ts';
import { silentLog } from '../../src/telemetry/log.ts';
import { createHandClock } from './hand-clock.ts';

function rig(send?: (bankId: string) => Promise<void>) {
  const clock = createHandClock();
  const sent: [string, number][] = [];
  const hints = createHintCoalescer({
    async send(bankId) {
      sent.push([bankId, clock.monotonicMs()]);
      await send?.(bankId);
    },
    clock,
    log: silentLog,
  });
  return { clock, sent, hints };
}

test('a chatty writer costs one look a second, and its last word is heard', async () => {
  const { clock, sent, hints } = rig();
  for (let written = 0; written < 99; written += 1) {
    hints.hint('chatty');
    await clock.advance(50);
  }
  expect(sent.map(([, atMs]) => atMs)).toEqual([0, 1000, 2000, 3000, 4000]);
  await clock.advance(5000);
  expect(sent.map(([, atMs]) => atMs)).toEqual([0, 1000, 2000, 3000, 4000, 5000]);
});

test('banks do not wait for each other', async () => {
  const { clock, sent, hints } = rig();
  hints.hint('a');
  hints.hint('b');
  hints.hint('a');
  await clock.advance(0);
  expect(sent).toEqual([
    ['a', 0],
    ['b', 0],
  ]);
});

test('a hint that comes while one is being sent is sent after it', async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  const { clock, sent, hints } = rig(() => promise);
  hints.hint('a');
  hints.hint('a');
  await clock.advance(10_000);
  expect(sent).toHaveLength(1);
  resolve();
  await clock.advance(1000);
  expect(sent).toHaveLength(2);
});

test('a failure reaches nobody and ends nothing', async () => {
  const { clock, sent, hints } = rig(async () => {
    throw new Error('no database');
  });
  hints.hint('a');
  await clock.advance(2000);
  hints.hint('a');
  await clock.advance(0);
  expect(sent).toHaveLength(2);
});

test('a hint from inside a transaction is sent from outside of it', async () => {
  const labels: (string | undefined)[] = [];
  const { hints } = rig(async () => {
    labels.push(heldLabel());
  });
  await withLease('writer', async () => hints.hint('a'));
  expect(labels).toEqual([undefined]);
});

test('stopped, it takes nothing more and waits for what is being sent', async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  const { clock, sent, hints } = rig(() => promise);
  hints.hint('a');
  hints.hint('a');
  let isStopped = false;
  const stopping = hints.stop().then(() => {
    isStopped = true;
  });
  await clock.advance(5000);
  expect(isStopped).toBe(false);
  resolve();
  await stopping;
  hints.hint('a');
  hints.hint('b');
  await clock.advance(5000);
  expect(sent).toEqual([['a', 0]]);
});
