import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, type ExpectStatic, test } from 'vitest';
import { stopDeadlineMs } from '../../src/daemon/stop-bounds.ts';
import { expectAppliedOnce, readStory } from './bank-state.ts';
import { killDaemons } from './daemon-process.ts';
import { createLane, type Lane, soon } from './lane.ts';
import { load } from './workload.ts';

/* SIGTERM of the real daemon with work in hand: it is finished or handed back, and the next start goes on from there. */

const lanes: Lane[] = [];
afterAll(async () => {
  await Promise.allSettled(lanes.map((lane) => lane.close()));
  await killDaemons();
});

/** Two banks: one consolidated undisturbed, one with its load delivered and not yet asked for. */
async function openLane() {
  const lane = await createLane({ banks: 2 });
  lanes.push(lane);
  const [calm, bank] = [await lane.seededBank(), await lane.seededBank()];
  await lane.consolidateInPeace(calm);
  return { lane, calm, bank };
}

/** Started anew with this decider; the banks stay. */
async function restartWith(lane: Lane, decider: 'rules' | 'held' | 'deaf'): Promise<void> {
  lane.daemon.kill('SIGTERM');
  await soon('stop', lane.daemon.exited);
  await lane.start({ decider });
}

async function stopInOrder(lane: Lane, expect: ExpectStatic, meanwhile: () => void = () => undefined): Promise<void> {
  const { daemon } = lane;
  daemon.kill('SIGTERM');
  await daemon.said('stopping');
  meanwhile();
  expect(await soon('stop', daemon.exited, stopDeadlineMs)).toEqual({ code: 0, signal: null });
  expect(daemon.lines.filter(({ msg }) => msg === 'stop: failed, going on')).toEqual([]);
  expect(existsSync(join(lane.home.dataDir, 'daemon.json'))).toBe(false);
  const { rows } = await lane.db.query(
    'select stop_reason as reason from engram.instances order by started_at desc limit 1',
  );
  expect(rows).toEqual([{ reason: 'SIGTERM' }]);
}

async function standingOf(lane: Lane, bank: string, memoryIds: readonly string[]) {
  const memories = await lane.db.query(
    `select state, attempts, count(*)::int as n from engram.memories
     where bank_id = $1 and id::text = any($2) group by 1, 2 order by 1`,
    [bank, memoryIds],
  );
  const jobs = await lane.db.query(
    `select state::text, retry_count as retries, data->>'trigger' as trigger, start_after <= now() as "isDue"
     from pgboss.job where name = 'consolidate' and singleton_key = $1 and state <= 'active'`,
    [bank],
  );
  const burned = await lane.db.query(
    `select id from pgboss.job where singleton_key = $1 and (retry_count > 0 or state in ('retry', 'failed'))`,
    [bank],
  );
  return { memories: memories.rows, jobs: jobs.rows, burned: burned.rows };
}

describe.concurrent('SIGTERM', { timeout: 120_000 }, () => {
  test('with batches at the decider: they are handed back, and the next start consolidates them', async ({
    expect,
  }) => {
    const { lane, calm, bank } = await openLane();
    await restartWith(lane, 'held');
    const { memoryIds } = await lane.deliver(bank, load, 'load');
    await lane.requestConsolidation(bank);
    await lane.daemon.said('deciding', 2);
    await stopInOrder(lane, expect);

    expect(await standingOf(lane, bank, memoryIds)).toEqual({
      memories: [{ state: 'pending', attempts: 0, n: memoryIds.length }],
      jobs: [{ state: 'created', retries: 0, trigger: 'successor', isDue: true }],
      burned: [],
    });
    await lane.start();
    await lane.settled(bank);
    await expectAppliedOnce(lane.db, bank, memoryIds, ['applied', 'handed_back']);
    expect(await readStory(lane.db, bank)).toEqual(await readStory(lane.db, calm));
  });

  test('with a decider that does not listen: the job is handed back without it', async ({ expect }) => {
    const { lane, calm, bank } = await openLane();
    await restartWith(lane, 'deaf');
    const { memoryIds } = await lane.deliver(bank, load, 'load');
    await lane.requestConsolidation(bank);
    await lane.daemon.said('deciding', 2);
    await stopInOrder(lane, expect);

    expect(await standingOf(lane, bank, memoryIds)).toEqual({
      memories: [{ state: 'pending', attempts: 0, n: memoryIds.length }],
      jobs: [{ state: 'created', retries: 0, trigger: 'successor', isDue: true }],
      burned: [],
    });
    await lane.start();
    await lane.settled(bank);
    // Nobody was there to end the attempts; the next run calls them crashed, which one crash survives.
    await expectAppliedOnce(lane.db, bank, memoryIds);
    expect(await readStory(lane.db, bank)).toEqual(await readStory(lane.db, calm));
  });

  test('with a batch in its transaction: that one is finished, the other handed back or finished too', async ({
    expect,
  }) => {
    const { lane, calm, bank } = await openLane();
    await lane.daemon.set({ point: 'apply:before-commit', visit: 1, does: 'hold' });
    const { memoryIds } = await lane.deliver(bank, load, 'load');
    await lane.requestConsolidation(bank);
    await lane.daemon.said('held');
    await stopInOrder(lane, expect, () => lane.daemon.release());

    const { memories, burned } = await standingOf(lane, bank, memoryIds);
    expect(burned).toEqual([]);
    expect(memories).toContainEqual(expect.objectContaining({ state: 'consolidated' }));
    await lane.start();
    await lane.settled(bank);
    await expectAppliedOnce(lane.db, bank, memoryIds, ['applied', 'handed_back']);
    expect(await readStory(lane.db, bank)).toEqual(await readStory(lane.db, calm));
  });
});
