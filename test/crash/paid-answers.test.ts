import { afterAll, beforeAll, describe, test } from 'vitest';
import type { RacepointName } from '../../src/telemetry/racepoints.ts';
import { createScriptedModel, type ScriptedModel } from '../support/scripted-model.ts';
import { type BankStory, expectAppliedOnce, readStory } from './bank-state.ts';
import { killDaemons } from './daemon-process.ts';
import { createHome, createLane, type Lane, soon } from './lane.ts';
import { callPoints } from './points.ts';
import { createPool } from './pool.ts';
import { load, seed } from './workload.ts';

/*
 * SIGKILL of a daemon that asks a language model, from before a request to after the apply. An answer that was settled is
 * gone on with and never asked for again; one that was not is asked for once more; and the ledger says both (law L19).
 */

const deaths = [
  ...callPoints,
  'batch:proposed',
  'batch:validated',
  'batch:embedded',
  'batch:deduplicated',
  'apply:before-begin',
  'apply:locked',
  'apply:ops-written',
  'apply:before-commit',
  'apply:after-commit',
  'slice:before-complete',
] as const satisfies readonly RacepointName[];

/** What the model has seen, and how its call is booked, where the daemon died in the middle of the call. */
const midCall: Partial<Record<RacepointName, { readonly requests: number; readonly calls: number }>> = {
  'call:reserved': { requests: 1, calls: 2 },
  'call:answered': { requests: 2, calls: 2 },
};

/** One scope, so that there is one batch and nothing else under way when it dies. */
const untagged = load
  .map((request) => request.filter(({ tags }) => tags.length === 0))
  .filter(({ length }) => length > 0);
const posted = [...seed, ...untagged].flat();

interface PaidLane extends Lane {
  readonly model: ScriptedModel;
}

const laneCount = 2;
const opened: PaidLane[] = [];
const lanes = createPool<PaidLane>();
let undisturbed: BankStory;

async function openLane(): Promise<PaidLane> {
  const model = await createScriptedModel();
  const home = await createHome({ OPENAI_BASE_URL: model.baseUrl, ENGRAMD_LLM_MODEL: 'gpt-5-mini' });
  const lane = Object.assign(await createLane({ home, settings: { decider: 'llm' } }), { model });
  opened.push(lane);
  return lane;
}

beforeAll(async () => {
  await Promise.all(Array.from({ length: laneCount }, openLane));
  const [first] = opened;
  if (!first) throw new Error('no lane');
  const bank = await first.seededBank();
  const memoryIds = await first.consolidateInPeace(bank, untagged);
  await expectAppliedOnce(first.db, bank, memoryIds, ['applied'], posted);
  undisturbed = await readStory(first.db, bank);
  for (const lane of opened) lanes.give(lane);
});
afterAll(async () => {
  await Promise.allSettled(opened.map((lane) => lane.close()));
  await Promise.allSettled(opened.map(({ model }) => model.close()));
  await killDaemons();
});

describe.concurrent('SIGKILL, then a restart: each answer is paid for once', { timeout: 120_000 }, () => {
  test.for(deaths)('%s', async (point, { expect, onTestFailed }) => {
    const lane = await lanes.take();
    onTestFailed(async () => lanes.give(await openLane()));
    const { model, db } = lane;
    const bank = await lane.seededBank();
    const doomed = lane.daemon;
    await doomed.set({ point, visit: 1, does: 'die' });
    model.reset();

    const { memoryIds } = await lane.deliver(bank, untagged, 'load');
    await lane.askOnce(bank);
    await soon(`die at ${point}`, doomed.exited);
    await lane.revive();
    await lane.settled(bank);

    await expectAppliedOnce(db, bank, memoryIds, ['applied', 'crashed'], posted);
    expect(await readStory(db, bank)).toEqual(undisturbed);
    const seen = [...Map.groupBy(model.requests, ({ body }) => JSON.stringify(body)).values()].map(
      ({ length }) => length,
    );
    const booked = await callsSince(lane, memoryIds);
    const expected = midCall[point] ?? { requests: 1, calls: 1 };
    expect(Math.max(...seen), 'times that one request was sent').toBe(expected.requests);
    expect(Math.max(...booked.map(({ calls }) => calls)), 'times that it is booked').toBe(expected.calls);
    expect(booked.every(({ settled }) => settled === 1)).toBe(true);
    expect(booked.filter(({ lost }) => lost > 0)).toHaveLength(expected.calls - 1);
    await expectBooked(lane, expect);
    lanes.give(lane);
  });
});

interface BookedRequest {
  readonly calls: number;
  readonly settled: number;
  readonly lost: number;
}

/** Calls about these memories, by request; the seed's were about others. */
async function callsSince(lane: PaidLane, memoryIds: readonly string[]): Promise<readonly BookedRequest[]> {
  const { rows } = await lane.db.query<BookedRequest>(
    `select count(*)::int as calls, count(*) filter (where outcome = 'ok')::int as settled,
       count(*) filter (where outcome is null)::int as lost
     from engram.model_calls c
     where c.bank_id = (select bank_id from engram.memories where id = $1)
       and c.started_at >= (select min(created_at) from engram.memories where id = any($2::uuid[]))
     group by c.request_hash`,
    [memoryIds[0], memoryIds],
  );
  return rows;
}

/** What is reserved and never settled counts as spent: the ledger is the sum of the calls, and those who died hold the most. */
async function expectBooked({ db }: PaidLane, expect: typeof import('vitest').expect): Promise<void> {
  const { rows } = await db.query(
    `select l.day, l.nano_usd = sum(c.nano_usd) and l.tokens = sum(c.tokens) as adds_up,
       bool_and(c.outcome is not null or c.nano_usd >= c.prompt_bytes * 250) as lost_is_spent
     from engram.budget_ledger l join engram.model_calls c using (day) group by l.day, l.nano_usd, l.tokens`,
  );
  for (const row of rows) expect(row).toMatchObject({ adds_up: true, lost_is_spent: true });
  expect(rows.length).toBeGreaterThan(0);
}
