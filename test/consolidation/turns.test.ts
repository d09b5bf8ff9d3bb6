import { describe, expect, it } from 'vitest';
import { createInOrder, createTurns } from '../../src/consolidation/turns.ts';

const { signal } = new AbortController();
const settled = () => new Promise<void>((resolve) => setImmediate(resolve));

describe('turns', () => {
  it('are as many as said, given in the order asked for, and back once however often they are given back', async () => {
    const turns = createTurns(2);
    const taken: string[] = [];
    const take = (name: string) =>
      turns.take(signal).then((back) => {
        taken.push(name);
        return back;
      });
    const [a, b] = [take('a'), take('b')];
    const [c, d] = [take('c'), take('d')];
    await settled();
    expect(taken).toEqual(['a', 'b']);
    const back = await a;
    back();
    back();
    await settled();
    expect(taken, 'one back, one given').toEqual(['a', 'b', 'c']);
    (await b)();
    (await c)();
    await d;
    expect(taken).toEqual(['a', 'b', 'c', 'd']);
  });

  it('of several banks: a bank that holds them all shares with one that comes later, turn by turn', async () => {
    const turns = createTurns(4);
    const order: string[] = [];
    const backs: (() => void)[] = [];
    const slice = async (name: string, batches: number) => {
      for (let batch = 0; batch < batches; batch += 1) {
        backs.push(await turns.take(signal));
        order.push(name);
      }
    };
    const first = slice('a', 8);
    await settled();
    const second = slice('b', 4);
    while (order.length < 12) {
      backs.shift()?.();
      await settled();
    }
    await Promise.all([first, second]);
    expect(order.join('')).toBe('aaaaabababab');
  });

  it('are not kept by whoever stops waiting', async () => {
    const turns = createTurns(1);
    const back = await turns.take(signal);
    const stop = new AbortController();
    const leaves = turns.take(stop.signal);
    const stays = turns.take(signal);
    stop.abort(new Error('stop'));
    await expect(leaves).rejects.toThrow('stop');
    await expect(turns.take(stop.signal)).rejects.toThrow('stop');
    back();
    await expect(stays).resolves.toBeTypeOf('function');
  });
});

describe('in order', () => {
  it('what is under one key runs one after the other, also past a failure; other keys do not wait', async () => {
    const inOrder = createInOrder();
    const order: string[] = [];
    const held = Promise.withResolvers<void>();
    const first = inOrder('a', async () => {
      order.push('a1');
      await held.promise;
      throw new Error('failed');
    });
    const second = inOrder('a', async () => order.push('a2'));
    await inOrder('b', async () => order.push('b1'));
    expect(order).toEqual(['a1', 'b1']);
    held.resolve();
    await expect(first).rejects.toThrow('failed');
    await second;
    expect(order).toEqual(['a1', 'b1', 'a2']);
  });
});
