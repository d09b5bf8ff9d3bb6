import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { HeldConnectionError } from '../../../src/db/errors.ts';
import { createSlots } from '../../../src/models/slots.ts';
import {
  answering,
  callFacts,
  createGateBench,
  failing,
  type GateBench,
  heldRequest,
  model,
  never,
  plenty,
} from './gate-bench.ts';

let bench: GateBench;
beforeAll(async () => {
  bench = await createGateBench();
});
beforeEach(() => bench.clear());
afterAll(() => bench.close());

it('makes no call while a connection is held, and holds none while it is made', async () => {
  const { gate, db } = bench.process();
  await expect(db.tx({ label: 'test' }, () => gate.run(callFacts(), answering('x'), never))).rejects.toThrow(
    new HeldConnectionError('a model call', { label: 'test', heldMs: 0 }).message.replace(/ \(.*/, ''),
  );
  const used: number[] = [];
  const perform = async () => {
    used.push(db.poolCounts().used);
    return { value: 'x', usage: null };
  };
  await gate.run(callFacts(), perform, never);
  expect(used).toEqual([0]);
});

it('shares its places with the gates of other models', async () => {
  const slots = createSlots(1);
  const [one, other] = [bench.process({ slots }), bench.process({ slots, model: 'gpt-5-nano' })];
  const first = heldRequest<string>();
  const call = one.gate.run(callFacts(), first.perform, never);
  await first.sent;
  let sent = 0;
  const second = other.gate.run(
    callFacts(),
    async () => {
      sent += 1;
      return { value: 'second', usage: null };
    },
    never,
  );
  await bench.settle();
  expect(sent).toBe(0);
  first.answer('first');
  expect(await Promise.all([call, second])).toEqual(['first', 'second']);
});

it('counts tokens by what the model has charged, also to earlier processes', async () => {
  const text = 'a'.repeat(100);
  const first = bench.process();
  expect(first.gate.tokensOf(text)).toBe(30);
  await first.gate.run(callFacts(), answering('x'), never);
  expect(first.gate.tokensOf(text)).toBe(25);

  const next = bench.process();
  await next.gate.run(callFacts(), answering('x', { usage: null }), never);
  expect(next.gate.tokensOf(text)).toBe(25);
  expect(next.gate.tokensOf('ä')).toBe(1);
  // Another model has a tokenizer of its own.
  const other = bench.process({ model: 'gpt-5-nano' });
  await other.gate.run(callFacts(), answering('x', { usage: null }), never);
  expect(other.gate.tokensOf(text)).toBe(30);
});

it('says in metrics what was called, charged and left', async () => {
  const { gate, metrics } = bench.process({ limits: { ...plenty, nanoUsd: 1_000_000_000 } });
  await gate.run(callFacts(), answering('x'), never);
  const refused = gate.run(callFacts({ purpose: 'adjudicate' }), failing('quota', { status: 429 }), never);
  await refused.catch(() => undefined);
  const values = async (name: 'modelCalls' | 'modelTokens' | 'modelCost' | 'budgetLeftRatio') =>
    (await metrics[name].get()).values.map(({ labels, value }) => ({ ...labels, value }));
  expect(await values('modelCalls')).toEqual([
    { purpose: 'consolidate', model, outcome: 'ok', value: 1 },
    { purpose: 'adjudicate', model, outcome: 'quota', value: 1 },
  ]);
  expect(await values('modelTokens')).toEqual([
    { purpose: 'consolidate', model, kind: 'prompt', value: 250 },
    { purpose: 'consolidate', model, kind: 'cached', value: 50 },
    { purpose: 'consolidate', model, kind: 'output', value: 100 },
  ]);
  expect((await values('modelCost'))[0]?.value).toBeCloseTo(0.00025125, 10);
  expect((await values('budgetLeftRatio'))[0]?.value).toBeCloseTo(1 - 0.00025125, 6);
});

it('gives a paid answer to its caller even where it could not be booked', async () => {
  const { gate, db, races } = bench.process();
  races.at('call:answered', () => db.close());
  expect(await gate.run(callFacts(), answering('paid'), never)).toBe('paid');
  expect(await bench.rows('select outcome, nano_usd > 0 as is_spent from engram.model_calls')).toEqual([
    { outcome: null, is_spent: true },
  ]);
  expect(bench.logged.some(({ msg }) => msg.includes('stays booked as reserved'))).toBe(true);
});
