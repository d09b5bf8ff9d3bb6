import { afterEach, expect, test } from 'vitest';
import { readModelHealth } from '../../src/store/model-breakers.ts';
import { createDaemonsRig, type DaemonsRig } from '../support/daemons-rig.ts';

let rig: DaemonsRig;
afterEach(() => rig.close());

test('a model whose call no day can pay for: work waits, says so for as long as it does, and asks nobody', async () => {
  rig = await createDaemonsRig({ engine: { chatModel: 'gpt-5-pro', budgetUsdPerDay: 0.5 } });
  await rig.remember('bank-1', 6);
  const [report] = await rig.work(new Date(rig.clock.now().getTime() + 26 * 3_600_000));
  expect(report).toMatchObject({ outcome: 'deferred', retryAt: expect.any(Date) });
  expect(await rig.states()).toEqual({ pending: 6 });
  expect(rig.model.count.chat).toBe(0);
  expect(await readModelHealth(rig.db)).toMatchObject([
    {
      model: 'gpt-5-pro',
      errorClass: 'configuration',
      message: expect.stringContaining('raise ENGRAMD_BUDGET_USD_PER_DAY'),
    },
  ]);
  // Said when it began, and not at each look of a day.
  expect(rig.logged.filter((line) => line.includes('raise ENGRAMD_BUDGET_USD_PER_DAY'))).toHaveLength(1);
});
