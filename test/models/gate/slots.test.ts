import { expect, it } from 'vitest';
import { createSlots } from '../../../src/models/slots.ts';

const never = new AbortController().signal;

/** Lets whoever was woken run. */
const settle = () => new Promise<void>((resolve) => setImmediate(resolve));

function queueOf(max: number) {
  const slots = createSlots(max);
  const entered: string[] = [];
  const leave = new Map<string, () => void>();
  return {
    slots,
    entered,
    ask(name: string, options: { urgent?: boolean; signal?: AbortSignal } = {}): Promise<void> {
      return slots.acquire({ signal: never, ...options }).then((left) => {
        entered.push(name);
        leave.set(name, left);
      });
    },
    leave: (name: string) => leave.get(name)?.(),
  };
}

it('lets in as many as there are places, then first come, first served', async () => {
  const queue = queueOf(2);
  const all = ['a', 'b', 'c', 'd'].map((name) => queue.ask(name));
  await settle();
  expect(queue.entered).toEqual(['a', 'b']);
  queue.leave('a');
  // Nobody who comes now is faster than one who waits.
  all.push(queue.ask('e'));
  await settle();
  expect(queue.entered).toEqual(['a', 'b', 'c']);
  for (const name of ['b', 'c', 'd', 'e']) {
    queue.leave(name);
    await settle();
  }
  await Promise.all(all);
  expect(queue.entered).toEqual(['a', 'b', 'c', 'd', 'e']);
});

it('lets what is urgent overtake what waits, and nothing that is in', async () => {
  const queue = queueOf(1);
  const all = [queue.ask('a'), queue.ask('b'), queue.ask('u', { urgent: true }), queue.ask('v', { urgent: true })];
  for (const name of ['a', 'u', 'v', 'b']) {
    await settle();
    expect(queue.entered.at(-1)).toBe(name);
    queue.leave(name);
  }
  await Promise.all(all);
});

it('gives a place back once, however often it is told to', async () => {
  const queue = queueOf(1);
  await queue.ask('a');
  const all = [queue.ask('b'), queue.ask('c')];
  queue.leave('a');
  queue.leave('a');
  await settle();
  expect(queue.entered).toEqual(['a', 'b']);
  queue.leave('b');
  await Promise.all(all);
});

it('forgets who gave up waiting, and gives no place to the dead', async () => {
  const queue = queueOf(1);
  await queue.ask('a');
  const abort = new AbortController();
  const gone = expect(queue.ask('b', { signal: abort.signal })).rejects.toThrow('enough');
  const next = queue.ask('c');
  abort.abort(new Error('enough'));
  await gone;
  queue.leave('a');
  await next;
  expect(queue.entered).toEqual(['a', 'c']);
  await expect(queue.ask('d', { signal: abort.signal })).rejects.toThrow('enough');
});

it('grows at once and shrinks as places come back', async () => {
  const queue = queueOf(1);
  const all = ['a', 'b', 'c'].map((name) => queue.ask(name));
  queue.slots.resize(3);
  await Promise.all(all);
  queue.slots.resize(1);
  const last = queue.ask('d');
  queue.leave('a');
  queue.leave('b');
  await settle();
  expect(queue.entered).toEqual(['a', 'b', 'c']);
  queue.leave('c');
  await last;
});
