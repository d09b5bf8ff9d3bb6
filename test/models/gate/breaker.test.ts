import { v7 as uuid } from 'uuid';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ModelContentError, ModelUnavailableError, ProviderError } from '../../../src/models/provider-errors.ts';
import { claimProbe, openBreaker, probeSoon, readModelHealth } from '../../../src/store/model-breakers.ts';
import {
  answering,
  callFacts,
  createGateBench,
  endpoint,
  failing,
  type GateBench,
  heldRequest,
  model,
  never,
  type Process,
  plenty,
} from './gate-bench.ts';

let bench: GateBench;
beforeAll(async () => {
  bench = await createGateBench();
});
beforeEach(() => bench.clear());
afterAll(() => bench.close());

type Rejection = ModelUnavailableError & Record<string, unknown>;
const rejection = (promise: Promise<unknown>): Promise<Rejection> =>
  promise.then(
    (value) => {
      throw new Error(`resolved with ${String(value)}`);
    },
    (thrown) => thrown,
  );

const row = async () => (await bench.rows<Record<string, unknown>>('select * from engram.model_breakers'))[0];
const inMs = (time: Date) => time.getTime() - bench.clock.now().getTime();

/** Opens the breaker through a process of its own, whose callers have gone again. */
async function outOfOrder(
  errorClass: ProviderError['errorClass'] = 'auth',
  options: { retryAfterMs?: number; status?: number } = {},
): Promise<void> {
  const thrown = await rejection(
    bench.process().gate.run(callFacts(), failing(errorClass, { status: 500, ...options }), never),
  );
  expect(thrown).toBeInstanceOf(ModelUnavailableError);
}

describe('an endpoint that is out of order', () => {
  it('costs the calls in flight, one line of log, and nothing after that', async () => {
    const { gate, metrics } = bench.process();
    let sent = 0;
    const calls = Array.from({ length: 20 }, () =>
      rejection(
        gate.run(
          callFacts(),
          async () => {
            sent += 1;
            throw new ProviderError('auth', 'the key is refused; set OPENAI_API_KEY', { status: 401 });
          },
          never,
        ),
      ),
    );
    for (const thrown of await Promise.all(calls)) {
      expect(thrown).toBeInstanceOf(ModelUnavailableError);
      expect(thrown).toMatchObject({ errorClass: 'auth', message: 'the key is refused; set OPENAI_API_KEY' });
      expect(inMs(thrown.retryAt)).toBe(90_000);
    }
    expect(sent).toBeLessThanOrEqual(4);
    expect(await row()).toMatchObject({ failures: 1, error_class: 'auth' });
    expect(bench.logged.filter(({ level }) => level === 40)).toHaveLength(1);
    expect(await gate.readyAt()).toEqual(new Date(bench.clock.now().getTime() + 90_000));
    expect((await metrics.modelBreakerOpen.get()).values).toMatchObject([{ value: 1, labels: { model } }]);
    expect(await readModelHealth(bench.database.db)).toMatchObject([
      { endpoint, model, errorClass: 'auth', message: 'the key is refused; set OPENAI_API_KEY' },
    ]);
  });

  it('is left alone by a process that has never met it', async () => {
    await outOfOrder();
    const { gate } = bench.process();
    let sent = 0;
    const thrown = await rejection(gate.run(callFacts(), async () => ({ value: ++sent, usage: null }), never));
    expect(thrown).toMatchObject({ errorClass: 'auth' });
    expect(sent).toBe(0);
    expect(await bench.rows(`select from engram.model_calls where outcome is distinct from 'auth'`)).toEqual([]);
  });

  it('is not sent what had reserved before it was known', async () => {
    const { gate, races } = bench.process();
    const hold = races.hold('call:reserved');
    let sent = 0;
    const early = rejection(gate.run(callFacts(), async () => ({ value: ++sent, usage: null }), never));
    await hold.reached;
    await rejection(gate.run(callFacts(), failing('auth', { status: 401 }), never));
    hold.release();
    expect(await early).toBeInstanceOf(ModelUnavailableError);
    expect(sent).toBe(0);
    expect(await bench.rows(`select nano_usd from engram.model_calls where outcome = 'not_sent'`)).toEqual([
      { nano_usd: 0 },
    ]);
  });

  it('is out of order for this process before the database knows', async () => {
    const { gate, db } = bench.process();
    await db.query('select 1');
    const locked = Promise.withResolvers<void>();
    const release = Promise.withResolvers<void>();
    const lock = bench.database.db.tx({ label: 'test' }, async (tx) => {
      // Rows can be read and not written.
      await tx.query('lock table engram.model_breakers in exclusive mode');
      locked.resolve();
      await release.promise;
    });
    await locked.promise;
    const first = heldRequest();
    const failed = rejection(gate.run(callFacts(), first.perform, never));
    await first.sent;
    first.fail(new ProviderError('auth', 'refused', { status: 401 }));
    let sent = 0;
    const perform = async () => ({ value: ++sent, usage: null });
    await bench.clock.advance(5000);
    const others = [1, 2, 3].map(() => rejection(gate.run(callFacts(), perform, never)));
    for (const thrown of await Promise.all(others)) expect(thrown).toMatchObject({ errorClass: 'auth' });
    release.resolve();
    await lock;
    expect(await failed).toMatchObject({ errorClass: 'auth' });
    expect(sent).toBe(0);
  });

  it('is tried again by the call that failed, which its caller never hears of', async () => {
    const { gate } = bench.process();
    let sent = 0;
    const call = gate.run(
      callFacts(),
      async () => {
        sent += 1;
        if (sent < 3) throw new ProviderError('transient', 'a 500', { status: 500 });
        return { value: 'answer', usage: null };
      },
      never,
    );
    expect(await bench.until(call)).toBe('answer');
    expect(sent).toBe(3);
    expect(await row()).toBeUndefined();
    expect(bench.logged.map(({ msg }) => msg)).toEqual(['model out of order: a 500', 'model in order again']);
  });

  it('is not asked before the time it has named, to the millisecond', async () => {
    const { gate } = bench.process();
    const [first, second] = [heldRequest<string>(), heldRequest<string>()];
    let sent = 0;
    const call = gate.run(
      callFacts(),
      (signal) => {
        sent += 1;
        return (sent === 1 ? first : second).perform(signal);
      },
      never,
    );
    await first.sent;
    first.fail(new ProviderError('rate_limit', 'slow down', { status: 429, retryAfterMs: 7350 }));
    await bench.settle();
    await bench.clock.advance(7349);
    await bench.settle();
    expect(sent).toBe(1);
    await bench.clock.advance(1);
    await second.sent;
    second.answer('well');
    expect(await call).toBe('well');

    const thrown = await rejection(gate.run(callFacts(), failing('rate_limit', { retryAfterMs: 3_600_000 }), never));
    expect(inMs(thrown.retryAt)).toBe(3_600_000);
  });

  it('opens for as long as the last of those in flight was told', async () => {
    const { gate } = bench.process();
    const [one, two, three] = [heldRequest(), heldRequest(), heldRequest()];
    const calls = [one, two, three].map(({ perform }) => rejection(gate.run(callFacts(), perform, never)));
    await Promise.all([one.sent, two.sent, three.sent]);
    one.fail(new ProviderError('rate_limit', 'slow down', { status: 429, retryAfterMs: 30_000 }));
    await calls[0];
    two.fail(new ProviderError('rate_limit', 'slow down', { status: 429, retryAfterMs: 60_000 }));
    await calls[1];
    three.fail(new ProviderError('transient', 'a 500', { status: 500 }));
    expect(inMs((await calls[2])?.retryAt ?? new Date(0))).toBe(60_000);
    expect(await row()).toMatchObject({ failures: 1, error_class: 'rate_limit' });
  });

  it('is not in order because something came back that was sent before it failed', async () => {
    const { gate } = bench.process();
    const early = heldRequest<string>();
    const call = gate.run(callFacts(), early.perform, never);
    await early.sent;
    await rejection(gate.run(callFacts(), failing('auth', { status: 401 }), never));
    early.answer('early');
    expect(await call).toBe('early');
    expect(await row()).toMatchObject({ error_class: 'auth' });
    expect(await rejection(gate.run(callFacts(), answering('x'), never))).toBeInstanceOf(ModelUnavailableError);
  });
});

describe('one probe at a time', () => {
  it('over two daemons; when it succeeds, all go on', async () => {
    await outOfOrder('auth');
    await bench.clock.advance(90_000);
    const daemons = [bench.process(), bench.process()];
    const probe = heldRequest<string>();
    let sent = 0;
    const perform = (signal: AbortSignal) => {
      sent += 1;
      return sent === 1 ? probe.perform(signal) : answering('other')();
    };
    const calls = daemons.flatMap(({ gate }) => [1, 2, 3].map(() => gate.run(callFacts(), perform, never)));
    await bench.until(probe.sent);
    await bench.clock.advance(5000);
    expect(sent).toBe(1);
    probe.answer('probe');
    expect((await bench.until(Promise.all(calls))).toSorted()).toEqual([...Array(5).fill('other'), 'probe']);
    expect(await row()).toBeUndefined();
    expect(bench.logged.filter(({ msg }) => msg === 'model in order again')).toHaveLength(1);
  });

  it('that fails is followed by a longer rest, and everybody is told the same time', async () => {
    await outOfOrder('auth');
    await bench.clock.advance(90_000);
    const daemons = [bench.process(), bench.process()];
    const dueMs = bench.clock.now().getTime();
    let sent = 0;
    const calls = daemons.flatMap(({ gate }) =>
      [1, 2].map(() =>
        rejection(
          gate.run(
            callFacts(),
            async () => {
              sent += 1;
              throw new ProviderError('auth', 'still refused', { status: 401 });
            },
            never,
          ),
        ),
      ),
    );
    const thrown = await bench.until(Promise.all(calls));
    expect(sent).toBe(1);
    // Half-way between a minute and four.
    expect(thrown.map(({ retryAt }) => retryAt.getTime() - dueMs)).toEqual([150_000, 150_000, 150_000, 150_000]);
    expect(await row()).toMatchObject({ failures: 2, message: 'still refused', probe_id: null });
    // One when it opened, none since.
    expect(bench.logged.filter(({ level }) => level === 40)).toHaveLength(1);
  });

  it('by one who died is waited for until its time is over', async () => {
    await outOfOrder('auth');
    await bench.clock.advance(90_000);
    const dead = bench.process();
    const lost = heldRequest<string>();
    const gone = dead.gate.run(callFacts(), lost.perform, never);
    await lost.sent;

    const { gate } = bench.process();
    const thrown = await bench.until(rejection(gate.run(callFacts(), answering('too early'), never)));
    expect(thrown).toBeInstanceOf(ModelUnavailableError);
    // Soon, and not when its time is over: most who are waited for are alive.
    expect(inMs(thrown.retryAt)).toBe(15_000);
    expect(inMs((await gate.readyAt()) ?? new Date(0))).toBe(15_000);

    await bench.clock.advance(60_000);
    expect(await gate.readyAt()).toBeNull();
    expect(await bench.until(gate.run(callFacts(), answering('in its place'), never))).toBe('in its place');
    expect(await row()).toBeUndefined();
    lost.answer('late');
    expect(await gone).toBe('late');
  });

  it('whose result never reached the database is taken over as well', async () => {
    await outOfOrder('auth');
    await bench.clock.advance(90_000);
    const cut = bench.process();
    const probe = heldRequest<string>();
    const call = cut.gate.run(callFacts(), probe.perform, never);
    await probe.sent;
    await cut.db.close();
    probe.answer('paid for');
    expect(await call).toBe('paid for');
    expect(await row()).toMatchObject({ error_class: 'auth' });

    await bench.clock.advance(70_000);
    expect(await bench.until(bench.process().gate.run(callFacts(), answering('x'), never))).toBe('x');
    expect(await row()).toBeUndefined();
  });

  it('that is aborted leaves the turn to the next at once', async () => {
    await outOfOrder('auth');
    await bench.clock.advance(90_000);
    const { gate } = bench.process();
    const abort = new AbortController();
    const probe = heldRequest<string>();
    const call = rejection(gate.run(callFacts(), probe.perform, abort.signal));
    await probe.sent;
    abort.abort(new Error('enough'));
    probe.fail(new Error('socket closed'));
    expect((await call).message).toBe('enough');
    expect(await row()).toMatchObject({ failures: 1, probe_id: null });
    expect(await gate.run(callFacts(), answering('x'), never)).toBe('x');
  });

  it('that the budget does not cover leaves the turn to another as well', async () => {
    await outOfOrder('auth');
    await bench.clock.advance(90_000);
    const limits = { ...plenty, nanoUsd: 100 };
    const thrown = await rejection(bench.process({ limits }).gate.run(callFacts(), answering('x'), never));
    expect(thrown.message).toContain('ENGRAMD_BUDGET_USD_PER_DAY');
    expect(await row()).toMatchObject({ probe_id: null, probe_until: null });
  });

  it('is waited for, but no longer than ten seconds, and by a search hardly at all', async () => {
    await outOfOrder('auth');
    await bench.clock.advance(90_000);
    const { gate } = bench.process();
    const probe = heldRequest<string>();
    const call = gate.run(callFacts(), probe.perform, never);
    await probe.sent;
    const startMs = bench.clock.monotonicMs();
    const waited = (urgent: boolean) =>
      rejection(gate.run(callFacts({ urgent }), answering('x'), never)).then((thrown) => {
        expect(thrown).toBeInstanceOf(ModelUnavailableError);
        return bench.clock.monotonicMs() - startMs;
      });
    const [searchMs, batchMs] = await bench.until(Promise.all([waited(true), waited(false)]));
    expect([searchMs, batchMs]).toEqual([1000, 10_000]);
    probe.answer('after all');
    await call;
  });

  it('can be waited for no more once the caller has gone', async () => {
    const now = bench.clock.now();
    const failure = { errorClass: 'transient', message: '', now, reopensAt: new Date(now.getTime() + 9000) } as const;
    await openBreaker(bench.database.db, { endpoint, model }, { ...failure, isNamed: false });
    const { gate } = bench.process();
    const abort = new AbortController();
    const call = rejection(gate.run(callFacts(), answering('x'), abort.signal));
    await bench.settle();
    abort.abort(new Error('enough'));
    expect((await call).message).toBe('enough');
  });
});

it('a claim is given to one of two who ask at once', async () => {
  await outOfOrder('auth');
  await bench.clock.advance(90_000);
  const [one, other] = [bench.process().db, bench.process().db];
  const now = bench.clock.now();
  const until = new Date(now.getTime() + 60_000);
  const claims = await Promise.all(
    [one, other, one, other].map((db) => claimProbe(db, { endpoint, model }, { probeId: uuid(), now, until })),
  );
  expect(claims.filter((claimed) => claimed !== undefined)).toHaveLength(1);
});

describe('a slow start', () => {
  it('keeps all but four from an endpoint that has not answered yet', async () => {
    const { gate } = bench.process();
    const requests = Array.from({ length: 10 }, () => heldRequest<string>());
    let sent = 0;
    const calls = requests.map(({ perform }) =>
      gate.run(
        callFacts(),
        (signal) => {
          sent += 1;
          return perform(signal);
        },
        never,
      ),
    );
    await Promise.all(requests.slice(0, 4).map((request) => request.sent));
    await bench.settle();
    expect(sent).toBe(4);
    requests[0]?.answer('first');
    await Promise.all(requests.map((request) => request.sent));
    for (const request of requests) request.answer('x');
    await Promise.all(calls);
  });
});

/** An hour in which it fails, with work coming all the time; then it is well again. */
async function injectedHour(thrown: () => ProviderError): Promise<{ sent: number; resumedMs: number; opened: number }> {
  const daemons: Process[] = [bench.process(), bench.process()];
  const endMs = bench.clock.monotonicMs() + 3_600_000;
  let sent = 0;
  let resumedMs = 0;
  const inFlight = Promise.withResolvers<void>();
  const perform = async () => {
    if (bench.clock.monotonicMs() >= endMs) return { value: 'well', usage: null };
    sent += 1;
    if (sent === 8) inFlight.resolve();
    await bench.clock.sleep(2000);
    throw thrown();
  };
  // Each works on whenever it is told that it may, as a slice does.
  const worker = async ({ gate }: Process) => {
    for (;;) {
      const ready = await gate.readyAt();
      if (ready !== null) await bench.clock.sleep(Math.max(1, inMs(ready)));
      try {
        await gate.run(callFacts(), perform, never);
        resumedMs ||= bench.clock.monotonicMs() - endMs;
        return;
      } catch (error) {
        if (!(error instanceof ModelUnavailableError)) throw error;
        await bench.clock.sleep(Math.max(1, inMs(error.retryAt)));
      }
    }
  };
  const work = Promise.all(daemons.flatMap((daemon) => [1, 2, 3, 4].map(() => worker(daemon))));
  await inFlight.promise;
  await bench.until(work);
  const opened = bench.logged.filter(({ msg }) => msg.startsWith('model out of order')).length;
  return { sent, resumedMs, opened };
}

describe('an injected hour', () => {
  it.each([
    // Eight in flight at its start, and what is left of an hour at the mean of each rest.
    ['429 with Retry-After', () => new ProviderError('rate_limit', '429', { status: 429, retryAfterMs: 60_000 }), 90],
    ['429 without', () => new ProviderError('rate_limit', '429', { status: 429 }), 50],
    ['401', () => new ProviderError('auth', '401', { status: 401 }), 24],
    ['a quota until its end', () => new ProviderError('quota', 'quota', { status: 429, retryAfterMs: 3_600_000 }), 9],
  ])(
    'of %s costs the calls in flight and the probes, and work resumes with the next of them',
    async (_name, thrown, most) => {
      const { sent, resumedMs, opened } = await injectedHour(thrown);
      expect(sent).toBeLessThanOrEqual(most);
      expect(sent).toBeGreaterThanOrEqual(8);
      // The longest rest of these classes, for the probe that finds it well.
      expect(resumedMs).toBeLessThanOrEqual(600_000);
      expect(opened).toBe(1);
      expect(await row()).toBeUndefined();
    },
    120_000,
  );
});

describe('a model that answers to no use', () => {
  const content = (sentAtMs = bench.clock.monotonicMs()) => new ModelContentError('malformed', 'no JSON', { sentAtMs });
  const useless = answering('garbage', { isUsable: false });

  /** As a memory alone goes: asked about, no use, blamed. */
  async function alone({ gate }: Process, memoryId: string = uuid()): Promise<'memory' | 'model'> {
    const sentAtMs = bench.clock.monotonicMs();
    await gate.run(callFacts({ subjectIds: [memoryId] }), useless, never);
    return gate.contentFailed(content(sentAtMs), memoryId);
  }

  it('is to blame where it has answered nobody since, and a memory where it has', async () => {
    const daemon = bench.process();
    expect(await alone(daemon)).toBe('model');
    const sentAtMs = bench.clock.monotonicMs();
    await bench.clock.advance(10);
    await daemon.gate.run(callFacts(), useless, never);
    expect(await daemon.gate.contentFailed(content(sentAtMs), 'm1')).toBe('model');
    await daemon.gate.run(callFacts(), answering('fine'), never);
    expect(await daemon.gate.contentFailed(content(sentAtMs), 'm2')).toBe('memory');
    await bench.clock.advance(10);
    // The answer of use began a new count.
    expect([await alone(daemon), await alone(daemon)]).toEqual(['model', 'model']);
    expect(await row()).toBeUndefined();
  });

  it('is not found out over one memory, however often that fails, nor over three with an answer between', async () => {
    const daemon = bench.process();
    for (let n = 0; n < 6; n += 1) expect(await alone(daemon, 'poison')).toBe('model');
    await alone(daemon);
    await daemon.gate.run(callFacts({ subjectIds: ['other'] }), answering('fine'), never);
    await bench.clock.advance(10);
    await alone(daemon);
    await alone(daemon);
    expect(await row()).toBeUndefined();
    // It had failed before that answer about another.
    expect(await alone(daemon, 'poison')).toBe('memory');
    // Counted once; an answer about itself alone is none about another.
    await daemon.gate.run(callFacts({ subjectIds: ['poison'] }), answering('fine'), never);
    await bench.clock.advance(10);
    expect(await alone(daemon, 'poison')).toBe('model');
  });

  it('says what to set where the window is too small', async () => {
    const daemon = bench.process({ windowSetting: 'ENGRAMD_LLM_CONTEXT_TOKENS' });
    for (const about of ['a', 'b', 'c']) {
      await daemon.gate.contentFailed(new ModelContentError('too_long', 'too long', { sentAtMs: 0 }), about);
    }
    expect(await row()).toMatchObject({ error_class: 'model_unfit' });
    expect((await row())?.message).toContain('set ENGRAMD_LLM_CONTEXT_TOKENS');
  });

  it('is left alone after three memories in a row, and an answer does not change that, but one of use does', async () => {
    const daemon = bench.process();
    for (let n = 0; n < 3; n += 1) expect(await alone(daemon)).toBe('model');
    expect(await row()).toMatchObject({ error_class: 'model_unfit', failures: 1 });
    const refused = await rejection(daemon.gate.run(callFacts(), answering('x'), never));
    expect(refused).toMatchObject({ errorClass: 'model_unfit' });
    expect(refused.message).toContain('ENGRAMD_LLM_MODEL');

    // Due: one at a time may try, a batch and its halves, until three more memories got nothing.
    await bench.clock.advance(10 * 60_000);
    for (let n = 0; n < 4; n += 1) expect(await daemon.gate.run(callFacts(), useless, never)).toBe('garbage');
    expect(await row()).toMatchObject({ error_class: 'model_unfit', failures: 1, probe_id: null });
    for (let n = 0; n < 3; n += 1) await alone(daemon);
    expect(await row()).toMatchObject({ error_class: 'model_unfit', failures: 2 });
    await rejection(daemon.gate.run(callFacts(), answering('x'), never));

    // Nor is the name lost over a probe that met something else.
    await bench.clock.advance(20 * 60_000);
    await bench.until(rejection(daemon.gate.run(callFacts(), failing('auth', { status: 401 }), never)));
    expect(await row()).toMatchObject({ error_class: 'model_unfit', failures: 3 });

    await bench.clock.advance(60 * 60_000);
    expect(await daemon.gate.run(callFacts(), answering('of use'), never)).toBe('of use');
    expect(await row()).toBeUndefined();
  });

  it('is in order for every other class once it answers at all', async () => {
    await outOfOrder('auth');
    await bench.clock.advance(90_000);
    expect(await bench.process().gate.run(callFacts(), useless, never)).toBe('garbage');
    expect(await row()).toBeUndefined();

    await outOfOrder('auth');
    await bench.clock.advance(90_000);
    const tooLong = new ModelContentError('too_long', 'too long', { sentAtMs: 0 });
    await expect(bench.process().gate.run(callFacts(), () => Promise.reject(tooLong), never)).rejects.toBe(tooLong);
    expect(await row()).toBeUndefined();
  });
});

it('what cannot be asked as things are set is out of order, and is looked at again as seldom', async () => {
  const daemon = bench.process();
  const told = await daemon.gate.misconfigured('the window is too small: set ENGRAMD_LLM_CONTEXT_TOKENS', never);
  expect(told).toMatchObject({ errorClass: 'configuration', message: expect.stringContaining('CONTEXT_TOKENS') });
  expect(await daemon.gate.readyAt()).toEqual(told.retryAt);
  expect(await row()).toMatchObject({ error_class: 'configuration', failures: 1 });
  await expect(daemon.gate.misconfigured('again', never)).rejects.toBeInstanceOf(ModelUnavailableError);
  expect(await row()).toMatchObject({ failures: 1 });
  await bench.clock.advance(180_000);
  await daemon.gate.misconfigured('still so', never);
  expect(await row()).toMatchObject({ failures: 2, probe_id: null, message: 'still so' });
  await bench.clock.advance(600_000);
  expect(await daemon.gate.run(callFacts(), answering('corrected'), never)).toBe('corrected');
  expect(await row()).toBeUndefined();
});

it('a check sends once', async () => {
  const { gate } = bench.process();
  let sent = 0;
  const perform = () => {
    sent += 1;
    return failing('timeout')();
  };
  await bench.until(rejection(gate.run(callFacts({ purpose: 'check' }), perform, never)));
  expect(sent).toBe(1);
});

it('at a start, what a person has to change is tried at once', async () => {
  await outOfOrder('configuration');
  const others = [
    { endpoint, model: 'another' },
    { endpoint: 'http://elsewhere/v1', model },
  ];
  expect(await probeSoon(bench.database.db, others, bench.clock.now())).toBe(0);
  expect(await probeSoon(bench.database.db, [...others, { endpoint, model }], bench.clock.now())).toBe(1);
  expect(await bench.process().gate.run(callFacts(), answering('changed'), never)).toBe('changed');

  await outOfOrder('rate_limit', { retryAfterMs: 60_000 });
  expect(await probeSoon(bench.database.db, [{ endpoint, model }], bench.clock.now())).toBe(0);
  expect(await rejection(bench.process().gate.run(callFacts(), answering('x'), never))).toMatchObject({
    errorClass: 'rate_limit',
  });
});
