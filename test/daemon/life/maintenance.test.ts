import { expect, it } from 'vitest';
import { createMaintenance } from '../../../src/daemon/life/maintenance.ts';
import type { LifeRow } from '../../../src/store/lifecycle.ts';
import { createDrivenClock } from '../../support/driven-clock.ts';

const asleep = { state: 'sleep', pause: null, forceAgeSeconds: null, honouredForceAt: null } as unknown as LifeRow;
const awake: LifeRow = { ...asleep, state: 'wake' };

function rig() {
  const did: string[] = [];
  const clock = createDrivenClock();
  const maintenance = createMaintenance({
    handOut: {
      open: () => void did.push('opens'),
      close: () => void did.push('closes'),
      isOpen: () => false,
      settled: async () => undefined,
    },
    clock,
  });
  const look = (row: LifeRow, workableRows: number | 'unknown', jobsActive: number, mayRun = true) =>
    maintenance.look({ row, workableRows, jobsActive, mayRun });
  return { did, clock, maintenance, look };
}

it('works off rows that are due again, until neither rows nor jobs are left', () => {
  const { did, maintenance, look } = rig();
  look(asleep, 0, 3);
  expect(did).toEqual([]);
  look(asleep, 2, 0);
  look(asleep, 0, 1);
  expect(maintenance.isRunning()).toBe(true);
  look(asleep, 0, 0);
  expect(maintenance.isRunning()).toBe(false);
  expect(did).toEqual(['opens', 'opens', 'closes']);
});

it.each([
  ['a pause', { ...asleep, pause: { since: new Date(), until: null } }],
  ['a force that is pending', { ...asleep, forceAgeSeconds: 1 }],
  ['a force that was honoured', { ...asleep, honouredForceAt: new Date() }],
])('ends at once for %s, whatever is in hand', (_, row) => {
  const { did, maintenance, look } = rig();
  look(asleep, 2, 0);
  look(row, 2, 5);
  expect(maintenance.isRunning()).toBe(false);
  expect(did).toEqual(['opens', 'closes']);
});

it('ends after ten minutes, and does not begin where what is due is unknown, a cycle runs, or somebody is there', async () => {
  const { clock, maintenance, look } = rig();
  look(asleep, 'unknown', 1);
  look(asleep, 2, 0, false);
  look(awake, 2, 0);
  expect(maintenance.isRunning()).toBe(false);
  look(asleep, 2, 0);
  await clock.advance(599_999);
  look(asleep, 2, 1);
  expect(maintenance.isRunning()).toBe(true);
  await clock.advance(1);
  look(asleep, 2, 1);
  expect(maintenance.isRunning()).toBe(false);
});

it('leaves hand-out to whoever is awake, and to another leader', () => {
  const { did, maintenance, look } = rig();
  look(asleep, 2, 0);
  look(awake, 2, 0);
  expect(did).toEqual(['opens']);
  look(asleep, 2, 0);
  maintenance.end(asleep);
  expect(did).toEqual(['opens', 'opens', 'closes']);
});
