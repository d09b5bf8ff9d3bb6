import { describe, expect, type TestContext, test } from 'vitest';
import type { BreakerClass } from '../../src/models/breaker-policy.ts';
import { probesWithin } from '../outage/expected-probes.ts';
import {
  concurrency,
  createDaemonsRig,
  type DaemonsRig,
  type DaemonsRigOptions,
  perCall,
} from '../support/daemons-rig.ts';
import { apiError, hang, html, reset, status } from '../support/scripted-model/reply.ts';
import { answerHonestly, embedHonestly } from '../support/scripted-model/understand.ts';
import type { Handler } from '../support/scripted-model.ts';

/*
 * An hour of each kind of trouble, by a clock that the test moves. What it may cost is what was in flight when it began
 * and the breaker's probes; no memory is to blame; and the first probe after it is over is the first of the real work.
 */

const hourMs = 3_600_000;

interface Outage {
  readonly name: string;
  readonly errorClass: BreakerClass;
  readonly handler: Handler;
  readonly retryAfterMs?: number;
  /** How long the endpoint keeps a request until it fails. */
  readonly answerMs?: number;
}

const outages: readonly Outage[] = [
  {
    name: '429 with Retry-After',
    errorClass: 'rate_limit',
    handler: () => apiError(429, { message: 'Rate limit reached' }, { 'retry-after': '90' }),
    retryAfterMs: 90_000,
  },
  { name: '429 without', errorClass: 'rate_limit', handler: () => apiError(429, { message: 'Rate limit reached' }) },
  { name: '500', errorClass: 'transient', handler: () => status(500) },
  { name: 'hangs', errorClass: 'timeout', handler: hang, answerMs: 120_000 },
  {
    name: 'resets, before an answer and in the middle of it',
    errorClass: 'transient',
    handler: ({ bytes }) => reset(bytes % 2 === 0 ? 'before' : 'middle'),
  },
  { name: '401', errorClass: 'auth', handler: () => apiError(401, { code: 'invalid_api_key' }) },
  { name: 'HTML with 200', errorClass: 'configuration', handler: () => html() },
  {
    name: 'a quota until a time',
    errorClass: 'quota',
    handler: () => apiError(429, { code: 'insufficient_quota' }, { 'retry-after': '2400' }),
    retryAfterMs: 2_400_000,
  },
  { name: 'a quota without an end', errorClass: 'quota', handler: () => apiError(429, { code: 'insufficient_quota' }) },
];

async function openRig({ onTestFinished }: TestContext, options: DaemonsRigOptions = {}): Promise<DaemonsRig> {
  const rig = await createDaemonsRig(options);
  onTestFinished(() => rig.close());
  return rig;
}

/** Each daemon has had answers, so that nothing limits what it has in flight when the trouble begins. */
async function warmUp(of: DaemonsRig): Promise<void> {
  for (const bank of of.banks) await of.remember(bank, perCall);
  await of.work(soon(of, hourMs));
}

const soon = (of: DaemonsRig, ms: number) => new Date(of.clock.now().getTime() + ms);

const memories = 12;

describe.concurrent('an hour of', { timeout: 90_000 }, () => {
  test.for(outages)('$name', async (outage, context) => {
    const of = await openRig(context);
    await warmUp(of);
    await anHourOf(of, outage, { most: concurrency, waiting: memories });
  });

  test.for(outages.filter(({ name }) => ['429 without', 'hangs', '401'].includes(name)))(
    '$name for two daemons, which share the probes',
    async (outage, context) => {
      const of = await openRig(context, { daemons: 2 });
      await warmUp(of);
      await anHourOf(of, outage, { most: 2 * concurrency, waiting: memories });
    },
  );
});

/** `most` requests may be in flight when it begins. */
async function anHourOf(of: DaemonsRig, outage: Outage, expected: { most: number; waiting: number }): Promise<void> {
  const { model, banks } = of;
  const before = await of.states();
  for (const bank of banks) await of.remember(bank, expected.waiting);
  const callsBefore = model.count.chat;
  model.onChat = outage.handler;

  const reports = await of.work(soon(of, hourMs));
  const probes = probesWithin(hourMs, {
    errorClass: outage.errorClass,
    retryAfterMs: outage.retryAfterMs ?? null,
    answerMs: outage.answerMs ?? 0,
  });
  expect(reports.map(({ outcome }) => outcome)).toEqual(banks.map(() => 'deferred'));
  expect(model.count.chat - callsBefore).toBeLessThanOrEqual(expected.most + probes);
  expect(await of.states()).toEqual({ ...before, pending: banks.length * expected.waiting });
  const { rows } = await of.db.query('select error_class as "errorClass" from engram.model_breakers');
  expect(rows).toEqual([{ errorClass: outage.errorClass }]);
  // One line for the outage, and no other for the hundred looks since.
  expect(of.logged.map((line) => JSON.parse(line).msg)).toEqual([expect.stringMatching(/^model out of order: /)]);

  // Over. The next look is a batch of its own, and all others follow it.
  model.onChat = answerHonestly;
  const callsInTrouble = model.count.chat;
  await of.work(soon(of, 2 * hourMs));
  expect(model.count.chat - callsInTrouble).toBe((banks.length * expected.waiting) / perCall);
  const total = Object.values(before).reduce((sum, n) => sum + n, 0) + banks.length * expected.waiting;
  expect(await of.states()).toEqual({ consolidated: total });
  expect((await of.db.query('select from engram.model_breakers')).rowCount).toBe(0);
}

describe.concurrent('a wrong model name with 1,000 memories waiting costs at most 10 calls in an hour', () => {
  test.for([
    { name: '404', handler: () => apiError(404, { code: 'model_not_found', message: 'The model does not exist' }) },
    { name: '400', handler: () => apiError(400, { code: 'model_not_found', message: 'invalid model ID' }) },
  ])('$name', async ({ handler }, context) => {
    const of = await openRig(context);
    await of.remember(of.banks[0] ?? '', 1000);
    of.model.onChat = handler;
    await of.work(soon(of, hourMs));
    expect(of.model.count.chat).toBeLessThanOrEqual(10);
    expect(await of.states()).toEqual({ pending: 1000 });
    const said = of.logged.filter((line) => line.includes('ENGRAMD_LLM_MODEL'));
    expect(said.length, 'one clear line says what to change').toBeGreaterThanOrEqual(1);
  });
});

describe.concurrent('an hour of the embedder alone', { timeout: 90_000 }, () => {
  test.for(outages.filter(({ name }) => ['429 without', '401', 'hangs'].includes(name)))(
    '$name',
    async (outage, context) => {
      const of = await openRig(context, { embeds: 'at the endpoint' });
      await warmUp(of);
      const [bank = ''] = of.banks;
      await of.remember(bank, memories);
      const before = { ...of.model.count };
      of.model.onEmbed = outage.handler;
      await of.work(soon(of, hourMs));
      const probes = probesWithin(hourMs, {
        retryAfterMs: null,
        answerMs: 0,
        ...outage,
        ...(outage.answerMs !== undefined && { answerMs: 30_000 }),
      });
      expect(of.model.count.embed - before.embed).toBeLessThanOrEqual(4 + probes);
      expect(of.model.count.chat - before.chat, 'nothing is asked that cannot be used').toBe(0);
      expect(await of.states()).toEqual({ consolidated: perCall, pending: memories });

      of.model.onEmbed = embedHonestly;
      await of.work(soon(of, 2 * hourMs));
      expect(await of.states()).toEqual({ consolidated: perCall + memories });
    },
  );
});
