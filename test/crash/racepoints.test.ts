import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type RacepointName, racepointNames } from '../../src/telemetry/racepoints.ts';
import { type BankStory, expectAppliedOnce, readStory } from './bank-state.ts';
import { killDaemons } from './daemon-process.ts';
import { createLane, type Lane, soon } from './lane.ts';
import {
  callPoints,
  cyclePoints,
  decisionPoints,
  keepingPoints,
  lifePoints,
  scorePoints,
  workPoints,
} from './points.ts';
import { createPool } from './pool.ts';
import { load } from './workload.ts';

/*
 * SIGKILL of the real daemon at every racepoint, while a dozen memories of two scopes are on their way. A client sends
 * them and sends them again with the same key where the connection broke; the daemon is started again in the same place;
 * and nothing else is done for it.
 */

interface Death {
  readonly point: RacepointName;
  readonly visit: number;
}

/** Each point once; where two batches are under way side by side, the second comes there while the first is ahead. */
const deaths: readonly Death[] = workPoints.flatMap((point) => {
  const visits = point.startsWith('ingest:') ? [1, 3] : /^(batch|apply):/.test(point) ? [1, 2] : [1];
  return visits.map((visit) => ({ point, visit }));
});

/** Points that leave an attempt without an end, which the next slice must call crashed. */
const midAttempt = new Set<RacepointName>([
  'batch:attempt-recorded',
  'batch:recalled',
  'batch:proposed',
  'batch:validated',
  'batch:embedded',
  'batch:deduplicated',
  'apply:before-begin',
  'apply:locked',
  'apply:ops-written',
  'apply:before-commit',
]);

const laneCount = 3;
let undisturbed: BankStory;
const lanes = createPool<Lane>();
const opened: Lane[] = [];

async function openLane(): Promise<Lane> {
  const lane = await createLane();
  opened.push(lane);
  return lane;
}

beforeAll(async () => {
  await Promise.all(Array.from({ length: laneCount }, openLane));
  const [first] = opened;
  if (!first) throw new Error('no lane');
  const bank = await first.seededBank();
  const memoryIds = await first.consolidateInPeace(bank);
  await expectAppliedOnce(first.db, bank, memoryIds);
  undisturbed = await readStory(first.db, bank);
  for (const lane of opened) lanes.give(lane);
});
afterAll(async () => {
  await Promise.allSettled(opened.map((lane) => lane.close()));
  await killDaemons();
});

test('the workload has duplicates, updates and supersessions to lose or to do twice', () => {
  const ops = JSON.stringify(undisturbed.ops);
  for (const op of ['create', 'reinforce', 'supersede']) expect(ops).toContain(`"op":"${op}"`);
});

test('every racepoint is died at', () => {
  expect([...new Set(deaths.map(({ point }) => point))]).toEqual(workPoints);
  // The others die in paid-answers.test.ts, decisions.test.ts, sleep-steps.test.ts and scores.test.ts; backups, snapshots,
  // restores and imports where theirs do; those of the daemon's life are where its own tests hold it.
  const others = [...callPoints, ...decisionPoints, ...cyclePoints, ...scorePoints, ...keepingPoints, ...lifePoints];
  expect([...workPoints, ...others].sort()).toEqual([...racepointNames].sort());
});

describe.concurrent('SIGKILL, then a restart: each memory applied once', { timeout: 120_000 }, () => {
  test.for(deaths)('$point, visit $visit', async ({ point, visit }, { expect, onTestFailed }) => {
    const lane = await lanes.take();
    // Whatever state it is in, the others get a fresh one.
    onTestFailed(async () => lanes.give(await openLane()));
    const bank = await lane.seededBank();
    const earlier = lane.deaths.length;
    const doomed = lane.daemon;
    await doomed.set({ point, visit, does: 'die' });

    const { memoryIds, replays } = await lane.deliver(bank, load, 'load');
    // Background embedding comes a second after the writing by itself; what it does not wait for must not overtake it.
    const isAskedFor = !point.startsWith('ingest:') && point !== 'embed:before-store';
    if (isAskedFor) await lane.requestConsolidation(bank);
    expect(await soon(`die at ${point}`, doomed.exited)).toEqual({ code: null, signal: 'SIGKILL' });
    expect(doomed.lines.at(-1)).toEqual({ msg: 'dying', point, visit });
    if (lane.daemon === doomed) await lane.revive();
    if (!isAskedFor) await lane.requestConsolidation(bank);

    await lane.settled(bank);
    expect(lane.deaths.length).toBe(earlier + 1);
    await expectAppliedOnce(lane.db, bank, memoryIds);
    expect(await readStory(lane.db, bank)).toEqual(undisturbed);
    const crashed = await lane.db.query(`select from engram.attempts where bank_id = $1 and outcome = 'crashed'`, [
      bank,
    ]);
    if (midAttempt.has(point)) expect(crashed.rowCount).toBeGreaterThan(0);
    // The answer was lost with the connection, the memories were not.
    expect(replays).toBe(point === 'ingest:after-commit' ? 1 : 0);
    lanes.give(lane);
  });
});
