import { createHash } from 'node:crypto';
import { v7 as uuid } from 'uuid';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { readBudget } from '../../../src/models/budget.ts';
import { readPrices, reservationOf } from '../../../src/models/prices.ts';
import { BudgetSpentError, ModelContentError, ModelUnavailableError } from '../../../src/models/provider-errors.ts';
import { readModelHealth } from '../../../src/store/model-breakers.ts';
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

const price = readPrices().get('gpt-5-mini');
/** 1,000 bytes and 500 tokens of gpt-5-mini. */
const oneCall = reservationOf(callFacts(), price).nanoUsd;
/** As much as was reserved. */
const allOfIt = { promptTokens: 1000, cachedTokens: 0, outputTokens: 500 };

const ledger = async () =>
  (await bench.rows('select day::text, nano_usd, tokens, unpriced_tokens, calls from engram.budget_ledger'))[0];

describe('what a day holds', () => {
  it('is spent to the last call by four daemons together, and by no call more', async () => {
    expect(oneCall).toBe(1000 * 250 + 500 * 2000);
    const limits = { ...plenty, nanoUsd: Math.floor(oneCall * 6.5) };
    const processes = [1, 2, 3, 4].map(() => bench.process({ limits }));
    let sent = 0;
    const calls = processes.flatMap(({ gate }) =>
      Array.from({ length: 5 }, (_, n) =>
        gate.run(
          callFacts({ requestHash: createHash('sha256').update(`${n}`).digest() }),
          async () => {
            sent += 1;
            return { value: 'x', usage: allOfIt };
          },
          never,
        ),
      ),
    );
    const ends = await Promise.allSettled(calls);
    const refusals = ends.filter((end) => end.status === 'rejected').map((end) => end.reason);
    expect(sent).toBe(6);
    expect(refusals).toHaveLength(14);
    for (const refusal of refusals) expect(refusal).toBeInstanceOf(BudgetSpentError);
    expect(await ledger()).toMatchObject({ nano_usd: 6 * oneCall, tokens: 9000, calls: 6 });
  });

  it('is given back as calls use less than they reserved, and work waits for that and not for midnight', async () => {
    const { gate } = bench.process({ limits: { ...plenty, nanoUsd: Math.floor(oneCall * 1.5) } });
    const first = heldRequest<string>();
    const one = gate.run(callFacts(), first.perform, never);
    await first.sent;
    const two = gate.run(callFacts(), answering('two'), never);
    // Refused by now, and waiting.
    await bench.settle();
    first.answer('one');
    expect(await one).toBe('one');
    expect(await two).toBe('two');
    // 200 fresh and 50 cached prompt tokens, 100 of output.
    expect(await ledger()).toMatchObject({ nano_usd: 2 * (200 * 250 + 50 * 25 + 100 * 2000), tokens: 700, calls: 2 });
  });

  it('is asked for again soon where another daemon holds the rest, and at midnight where it is gone', async () => {
    const limits = { ...plenty, nanoUsd: Math.floor(oneCall * 1.5) };
    const other = bench.process({ limits });
    const held = heldRequest<string>();
    const call = other.gate.run(callFacts(), held.perform, never);
    await held.sent;

    const { gate } = bench.process({ limits });
    const soon = await gate.run(callFacts(), answering('x'), never).catch((thrown) => thrown);
    expect(soon).toBeInstanceOf(BudgetSpentError);
    expect(soon.retryAt.getTime() - bench.clock.now().getTime()).toBe(30_000);
    expect(await gate.readyAt()).toBeNull();

    held.answer('x', { usage: allOfIt });
    await call;
    const midnight = new Date(2026, 2, 2);
    const spent = await gate.run(callFacts(), answering('x'), never).catch((thrown) => thrown);
    expect(spent).toBeInstanceOf(BudgetSpentError);
    expect(spent.retryAt).toEqual(midnight);
    expect(await gate.readyAt()).toEqual(midnight);
    expect(await readBudget(bench.database.db, { limits, now: bench.clock.now() })).toMatchObject({
      day: '2026-03-01',
      resetsAt: midnight,
      nanoUsd: { limit: limits.nanoUsd, spent: oneCall, reserved: 0, left: limits.nanoUsd - oneCall },
      tokens: null,
    });
  });

  it('is not all for scores: two daemons with a backlog leave half of the day to the rest, and wait for the next', async () => {
    const limits = { ...plenty, nanoUsd: Math.floor(oneCall * 12.5) };
    const [one, other] = [bench.process({ limits }), bench.process({ limits })];
    const send = (gate: typeof one.gate, purpose: 'significance' | 'consolidate', times: number) =>
      Promise.allSettled(
        Array.from({ length: times }, (_, n) => {
          const requestHash = createHash('sha256').update(`${purpose} ${n}`).digest();
          return gate.run(callFacts({ purpose, requestHash }), answering('x', { usage: allOfIt }), never);
        }),
      );
    const scores = (await Promise.all([one, other].map(({ gate }) => send(gate, 'significance', 10)))).flat();
    expect(scores.filter(({ status }) => status === 'fulfilled')).toHaveLength(6);
    expect(await ledger()).toMatchObject({ nano_usd: 6 * oneCall, calls: 6 });
    const midnight = new Date(2026, 2, 2);
    const [refusal] = await send(one.gate, 'significance', 1);
    expect(refusal).toMatchObject({
      status: 'rejected',
      reason: { code: 'BUDGET_SPENT', retryAt: midnight, message: expect.stringContaining('half of the day') },
    });
    expect(await one.gate.readyAt('significance')).toEqual(midnight);
    expect(await one.gate.readyAt('consolidate')).toBeNull();

    const others = await send(other.gate, 'consolidate', 8);
    expect(others.filter(({ status }) => status === 'fulfilled')).toHaveLength(6);
    expect(await ledger()).toMatchObject({ nano_usd: 12 * oneCall, calls: 12 });
    expect(await other.gate.readyAt()).toEqual(midnight);
  });

  it('holds no score where its half is too small for one: scores wait, and the model is in order', async () => {
    const { gate } = bench.process({ limits: { ...plenty, nanoUsd: Math.floor(oneCall * 1.5) } });
    const score = gate.run(callFacts({ purpose: 'significance' }), answering('x'), never);
    await expect(score).rejects.toMatchObject({
      code: 'SCORE_TOO_LARGE',
      message: expect.stringMatching(/half of a day .*raise ENGRAMD_BUDGET_USD_PER_DAY/),
    });
    expect(await gate.readyAt('significance')).toBeNull();
    expect(await readModelHealth(bench.database.db)).toEqual([]);
    expect(await gate.run(callFacts(), answering('x'), never)).toBe('x');
  });

  it('says what to change where no day could ever hold the call', async () => {
    const { gate } = bench.process({ limits: { ...plenty, nanoUsd: oneCall - 1 } });
    for (let n = 0; n < 2; n += 1) {
      const refusal = await gate.run(callFacts(), answering('x'), never).catch((thrown) => thrown);
      expect(refusal).toBeInstanceOf(ModelUnavailableError);
      expect(refusal.errorClass).toBe('configuration');
      expect(refusal.message).toContain('raise ENGRAMD_BUDGET_USD_PER_DAY');
    }
    expect(bench.logged.filter(({ msg }) => msg.includes('ENGRAMD_BUDGET_USD_PER_DAY'))).toHaveLength(1);
    expect(await ledger()).toBeUndefined();
    // Whatever shows what is out of order shows it, and nothing is begun meanwhile; it is looked at again now and then.
    expect(await readModelHealth(bench.database.db)).toMatchObject([
      { model, errorClass: 'configuration', message: expect.stringContaining('raise ENGRAMD_BUDGET_USD_PER_DAY') },
    ]);
    expect((await gate.readyAt())?.getTime()).toBeGreaterThan(bench.clock.now().getTime());
    await bench.clock.advance(180_000);
    expect(await gate.readyAt()).toBeNull();
    await gate.run(callFacts(), answering('x'), never).catch(() => undefined);
    expect(await bench.rows('select failures, probe_id from engram.model_breakers')).toEqual([
      { failures: 2, probe_id: null },
    ]);
    const raised = bench.process({ limits: plenty });
    await bench.clock.advance(600_000);
    expect(await raised.gate.run(callFacts(), answering('raised'), never)).toBe('raised');
    expect(await readModelHealth(bench.database.db)).toEqual([]);
  });

  it('counts tokens of models without a price, says so once, and holds nobody else to that', async () => {
    const limits = { ...plenty, unpricedTokens: 2500 };
    const own = bench.process({ limits, model: 'llama-own' });
    expect(bench.logged.filter(({ msg }) => msg.includes('the price of llama-own is not known'))).toHaveLength(1);
    await own.gate.run(callFacts(), answering('x', { usage: allOfIt }), never);
    await expect(own.gate.run(callFacts(), answering('x'), never)).rejects.toBeInstanceOf(BudgetSpentError);
    expect(await ledger()).toMatchObject({ nano_usd: 0, tokens: 1500, unpriced_tokens: 1500 });

    await bench.process({ limits }).gate.run(callFacts(), answering('x'), never);
    const free = new Map([...readPrices(), ['llama-own', { input: 0, cached: 0, output: 0 }] as const]);
    await bench.process({ limits, model: 'llama-own', prices: free }).gate.run(callFacts(), answering('x'), never);
    expect(bench.logged.filter(({ msg }) => msg.includes('not known'))).toHaveLength(1);
  });

  it('holds every model to the tokens of ENGRAMD_BUDGET_TOKENS_PER_DAY', async () => {
    const limits = { ...plenty, tokens: 1600 };
    const { gate } = bench.process({ limits });
    await gate.run(callFacts(), answering('x', { usage: allOfIt }), never);
    await expect(gate.run(callFacts(), answering('x'), never)).rejects.toBeInstanceOf(BudgetSpentError);
  });
});

describe('what a call is booked with', () => {
  const promptOnly = 300 * 250;
  const content = (kind: 'too_long' | 'refused' | 'truncated' | 'malformed') => async () => {
    throw new ModelContentError(kind, 'content', { sentAtMs: 0 });
  };
  const unsent = Object.assign(new Error('connect'), { code: 'ECONNREFUSED' });

  it.each([
    ['an answer with its use', answering('x'), 'ok', 251_250],
    ['an answer without one, all that was reserved', answering('x', { usage: null }), 'ok', oneCall],
    ['a 500, nothing', failing('transient', { status: 500 }), 'transient', 0],
    ['a refused connection, nothing', failing('transient', { cause: { cause: unsent } }), 'transient', 0],
    ['a connection cut after sending, its prompt', failing('transient'), 'transient', promptOnly],
    ['a time-out, its prompt', failing('timeout'), 'timeout', promptOnly],
    ['a 429, nothing', failing('rate_limit', { status: 429, retryAfterMs: 60_000 }), 'rate_limit', 0],
    ['a spent quota, nothing', failing('quota', { status: 429 }), 'quota', 0],
    ['a wrong key, nothing', failing('auth', { status: 401 }), 'auth', 0],
    ['a wrong name, nothing', failing('configuration', { status: 404 }), 'configuration', 0],
    ['a prompt that is too long, nothing', content('too_long'), 'content', 0],
    ['a filter, nothing', content('refused'), 'content', 0],
    ['a truncated answer, all that was reserved', content('truncated'), 'content', oneCall],
    ['an error of ours, its prompt', () => Promise.reject(new Error('bug')), 'failed', promptOnly],
  ] as const)('%s', async (_name, perform, outcome, nanoUsd) => {
    const { gate } = bench.process();
    const call = gate.run(callFacts(), perform, never);
    await bench.until(call.catch(() => undefined));
    const [first] = await bench.rows(
      'select outcome, nano_usd, settled_at is not null as is_settled from engram.model_calls order by id limit 1',
    );
    expect(first).toEqual({ outcome, nano_usd: nanoUsd, is_settled: true });
  });

  it('is booked also where a counter of the metrics would not take a number', async () => {
    const { gate, metrics } = bench.process();
    metrics.modelTokens.inc = () => {
      throw new Error('not a number');
    };
    expect(await gate.run(callFacts(), answering('x'), never)).toBe('x');
    expect(await bench.rows('select outcome, nano_usd from engram.model_calls where settled_at is not null')).toEqual([
      { outcome: 'ok', nano_usd: 251_250 },
    ]);
  });

  it('an abort while it is out, its prompt; before it is sent, nothing', async () => {
    const { gate, races } = bench.process();
    const abort = new AbortController();
    const out = heldRequest<string>();
    const call = gate.run(callFacts(), out.perform, abort.signal);
    const refused = expect(call).rejects.toThrow('enough');
    await out.sent;
    abort.abort(new Error('enough'));
    out.fail(new Error('socket closed'));
    await refused;
    expect(await ledger()).toMatchObject({ nano_usd: promptOnly });

    const early = new AbortController();
    races.at('call:reserved', () => early.abort(new Error('too early')));
    await expect(gate.run(callFacts(), answering('x'), early.signal)).rejects.toThrow('too early');
    expect(await ledger()).toMatchObject({ nano_usd: promptOnly, calls: 2 });
    expect(await bench.rows('select from engram.model_breakers')).toEqual([]);
  });

  it('a call that never comes back stays spent; one that comes after midnight settles on its own day', async () => {
    const time = { now: new Date(2026, 9, 24, 23, 59) };
    const clock = { ...bench.clock, now: () => time.now };
    const { gate } = bench.process({ clock });
    const out = heldRequest<string>();
    const call = gate.run(callFacts(), out.perform, never);
    await out.sent;
    expect(await ledger()).toMatchObject({ day: '2026-10-24', nano_usd: oneCall });
    time.now = new Date(2026, 9, 25, 0, 1);
    await gate.run(callFacts(), answering('x'), never);
    out.answer('late');
    await call;
    expect(await bench.rows('select day::text, nano_usd from engram.budget_ledger order by day')).toEqual([
      { day: '2026-10-24', nano_usd: 251_250 },
      { day: '2026-10-25', nano_usd: 251_250 },
    ]);
  });
});

describe('what is kept', () => {
  const requestHash = createHash('sha256').update('kept').digest();

  async function bankWith(memoryId: string): Promise<string> {
    await bench.rows(`insert into engram.banks (id) values ('kept') on conflict do nothing`);
    await bench.rows(`insert into engram.memories (bank_id, id, text) values ('kept', $1, 'a secret kite')`, [
      memoryId,
    ]);
    return 'kept';
  }

  it('is the answer, under the hash of its request, and is there when the process dies right after', async () => {
    const id = uuid();
    const bankId = await bankWith(id);
    const { gate, races } = bench.process();
    races.at('call:settled', () => {
      throw new Error('killed');
    });
    const facts = callFacts({ bankId, requestHash, subjectIds: [id] });
    await expect(gate.run(facts, answering('x', { answer: { ops: [] } }), never)).rejects.toThrow('killed');
    const restarted = bench.process();
    expect(await restarted.gate.storedAnswer(bankId, requestHash)).toEqual({ ops: [] });
    expect(await restarted.gate.storedAnswer('other', requestHash)).toBeUndefined();
  });

  it('is nothing of a bank or a memory that went while the model was thinking', async () => {
    const id = uuid();
    const bankId = await bankWith(id);
    const { gate } = bench.process();
    const facts = callFacts({ bankId, requestHash, subjectIds: [id] });
    for (const gone of ['delete from engram.memories', 'delete from engram.banks']) {
      const out = heldRequest<string>();
      const call = gate.run(facts, out.perform, never);
      await out.sent;
      await bench.rows(gone);
      out.answer('x', { answer: 'the kite is secret' });
      await call;
      expect(await bench.rows('select from engram.model_answers')).toEqual([]);
    }
    expect(await bench.rows('select from engram.model_calls where settled_at is null')).toEqual([]);
  });

  it('is nothing while somebody erases, who is not waited for', async () => {
    const id = uuid();
    const bankId = await bankWith(id);
    const { gate } = bench.process();
    const erasing = Promise.withResolvers<void>();
    const begun = Promise.withResolvers<void>();
    const erasure = bench.database.db.tx({ label: 'test' }, async (tx) => {
      await tx.query('delete from engram.memories where id = $1', [id]);
      begun.resolve();
      await erasing.promise;
    });
    await begun.promise;
    await gate.run(callFacts({ bankId, requestHash, subjectIds: [id] }), answering('x', { answer: 'kite' }), never);
    erasing.resolve();
    await erasure;
    expect(await bench.rows('select from engram.model_answers')).toEqual([]);
  });

  it('is nothing that the database cannot hold; the call is settled all the same', async () => {
    const id = uuid();
    const bankId = await bankWith(id);
    const { gate } = bench.process();
    await gate.run(callFacts({ bankId, requestHash }), answering('x', { answer: 'a\u0000b' }), never);
    expect(await bench.rows('select outcome from engram.model_calls')).toEqual([{ outcome: 'ok' }]);
    expect(await bench.rows('select from engram.model_answers')).toEqual([]);
  });
});
