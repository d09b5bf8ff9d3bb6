import { afterEach, expect, test } from 'vitest';
import { createDaemonsRig, type DaemonsRig } from '../support/daemons-rig.ts';
import { answerHonestly } from '../support/scripted-model/understand.ts';

let rig: DaemonsRig;
afterEach(() => rig.close());
const inAnHour = () => new Date(rig.clock.now().getTime() + 3_600_000);

interface Ledger {
  nano_usd: number;
  tokens: number;
}
const ledger = async () => (await rig.db.query<Ledger>('select * from engram.budget_ledger')).rows[0];

test.each([-1_000_000, 0.4, 0, 10_000.5])(
  'an embedder that says it used %d tokens costs no memory an attempt',
  async (promptTokens) => {
    rig = await createDaemonsRig({ embeds: 'at the endpoint' });
    await rig.remember('bank-1', 3);
    const honest = rig.model.onEmbed;
    rig.model.onEmbed = async (request) => {
      const reply = await honest(request);
      return reply.kind === 'vectors' ? { ...reply, usage: { promptTokens, outputTokens: 0 } } : reply;
    };
    await rig.work(inAnHour());
    expect(await rig.states()).toEqual({ consolidated: 3 });
    // What is not said has cost what was reserved.
    expect((await ledger())?.tokens).toBeGreaterThan(0);
    const { rows } = await rig.db.query('select from engram.model_calls where settled_at is null');
    expect(rows).toEqual([]);
  },
);

test('a server that counts nothing does not work for nothing: the budget holds', async () => {
  const budgetUsdPerDay = 0.05;
  rig = await createDaemonsRig({ engine: { chatModel: 'gpt-5-mini', budgetUsdPerDay } });
  await rig.remember('bank-1', 30);
  rig.model.onChat = (request) => {
    const reply = answerHonestly(request);
    return reply.kind === 'answer' ? { ...reply, usage: { promptTokens: 0, outputTokens: 0 } } : reply;
  };
  await rig.work(inAnHour());
  const { rows } = await rig.db.query<{ calls: number; spent: number }>(
    `select count(*)::int as calls, sum(nano_usd)::float8 as spent from engram.model_calls where nano_usd > 0`,
  );
  expect(rows[0]?.calls).toBeGreaterThan(0);
  expect(rows[0]?.calls).toBeLessThan(10);
  expect(rows[0]?.spent).toBeLessThanOrEqual(budgetUsdPerDay * 1e9);
});

test('one count that cannot be does not make every memory too long for a small window', async () => {
  rig = await createDaemonsRig({ engine: { contextTokens: 4096, budgetTokensPerDay: 900_000_000 } });
  await rig.remember('bank-1', 3);
  rig.model.onChat = (request) => {
    const reply = answerHonestly(request);
    return reply.kind === 'answer' ? { ...reply, usage: { promptTokens: 40_000_000, outputTokens: 10 } } : reply;
  };
  await rig.work(inAnHour());
  rig.model.onChat = answerHonestly;
  await rig.remember('bank-1', 9);
  await rig.work(inAnHour());
  expect(await rig.states()).toEqual({ consolidated: 12 });
  const { rows } = await rig.db.query(`select from engram.change_ops where reason like '%too long%'`);
  expect(rows).toEqual([]);
  expect(rig.model.count.chat).toBeGreaterThanOrEqual(4);
});
