import { afterEach, describe, expect, test } from 'vitest';
import { readBudget } from '../../src/models/budget.ts';
import type { CallFacts, ModelGate } from '../../src/models/model-gate.ts';
import { priceOf, readPrices, reservationOf } from '../../src/models/prices.ts';
import { createDaemonsRig, type DaemonsRig, perCall } from '../support/daemons-rig.ts';

/*
 * Four daemons on one database, each with a pool, a gate and a bank of its own, and a budget that is enough for five calls
 * and a half. Each call uses all that it reserves, so that nothing is given back.
 */

const dayMs = 24 * 3_600_000;
const daemons = 4;
const callsEach = 3;
const callsADay = 5;
const chatModel = 'gpt-5-mini';

let rig: DaemonsRig | undefined;
afterEach(async () => {
  await rig?.close();
  rig = undefined;
});

/** Calls of one size: all texts are as long as each other, and each call has a scope where nothing else is known. */
async function rememberCalls(of: DaemonsRig): Promise<void> {
  for (const [daemon, bank] of of.banks.entries()) {
    for (let call = 0; call < callsEach; call += 1) {
      const texts = Array.from(
        { length: perCall },
        (_, at) => `Shelf ${daemon}${call}${at} holds the ${words[at]} folders.`,
      );
      await of.rememberTexts(bank, texts, { tags: [`call-${call}`] });
    }
  }
}

const words = ['green', 'white', 'brown'];

/** What the model understands is known from then on, and with it the size of a request. */
async function getToKnow(of: DaemonsRig): Promise<void> {
  await of.rememberTexts(of.banks[0] ?? '', ['Shelf 999 holds the black folders.'], { tags: ['earlier'] });
  await of.work(new Date(of.clock.now().getTime() + 1000));
}

/** Says that a call used what was reserved for it, as the ledger reckons. */
function spendsEverything(gate: ModelGate, seen?: CallFacts[]): ModelGate {
  return {
    ...gate,
    run: (facts, perform, signal) => {
      seen?.push(facts);
      const usage = { promptTokens: facts.promptBytes, cachedTokens: 0, outputTokens: facts.maxOutputTokens };
      return gate.run(facts, async (signalOfCall) => ({ ...(await perform(signalOfCall)), usage }), signal);
    },
  };
}

/** What one of the calls reserves, as they are once the model's abilities are known. */
async function reservationOfOne(): Promise<number> {
  const seen: CallFacts[] = [];
  rig = await createDaemonsRig({ engine: { chatModel, wrapGate: (gate) => spendsEverything(gate, seen) } });
  await getToKnow(rig);
  seen.length = 0;
  await rememberCalls(rig);
  await rig.work(new Date(rig.clock.now().getTime() + 1000));
  await rig.close();
  rig = undefined;
  const sizes = new Set(seen.map((facts) => reservationOf(facts, priceOf(readPrices(), chatModel)).nanoUsd));
  expect([...sizes]).toHaveLength(1);
  return [...sizes][0] ?? 0;
}

describe('a budget for five calls and a half', () => {
  test('is exactly five calls by four daemons together, and five more after midnight', async () => {
    const nanoUsd = await reservationOfOne();
    const budgetUsdPerDay = (nanoUsd * (callsADay + 0.5)) / 1e9;
    rig = await createDaemonsRig({
      daemons,
      engine: { chatModel, budgetUsdPerDay, wrapGate: (gate) => spendsEverything(gate) },
    });
    const of = rig;
    await getToKnow(of);
    await of.clock.advance(dayMs);
    await rememberCalls(of);
    of.model.reset();

    const total = daemons * callsEach;
    for (let done = 0; done < total; ) {
      const now = of.clock.now();
      const midnight = new Date(now.getFullYear(), now.getMonth(), now.getDate() + 1);
      const reports = await of.work(new Date(midnight.getTime() - 1));
      done = Math.min(total, done + callsADay);
      expect(of.model.count.chat).toBe(done);
      const waiting = total - done;
      expect(await of.states()).toEqual({
        consolidated: 1 + done * perCall,
        ...(waiting > 0 && { pending: waiting * perCall }),
      });
      if (waiting === 0) break;

      const deferred = reports.filter(({ outcome }) => outcome === 'deferred');
      expect(deferred.length).toBeGreaterThan(0);
      expect(new Set(deferred.map(({ retryAt }) => retryAt?.getTime()))).toEqual(new Set([midnight.getTime()]));
      expect(of.logged.join('')).toMatch(
        /day's budget has no room for another call of gpt-5-mini \(ENGRAMD_BUDGET_USD/,
      );
      const limits = { nanoUsd: Math.round(budgetUsdPerDay * 1e9), tokens: null, unpricedTokens: 2_000_000 };
      const said = await readBudget(of.db, { limits, now: of.clock.now() });
      expect(said).toMatchObject({ resetsAt: midnight, nanoUsd: { spent: callsADay * nanoUsd, reserved: 0 } });
      expect(said.nanoUsd.left).toBeLessThan(nanoUsd);
      await of.clock.advanceTo(midnight);
    }
  });
});
