import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, test } from 'vitest';
import { appendKill, killLogPath } from '../../src/daemon/watchdog/kill-log.ts';
import { expectAppliedOnce, readStory } from './bank-state.ts';
import { poison } from './daemon-orders.ts';
import { killDaemons, startDaemon, urlOf } from './daemon-process.ts';
import { createLane, type Lane, soon } from './lane.ts';
import { load, type WorkloadRequest } from './workload.ts';

/*
 * What a restart knows of those that died before it: that they are dead, if they had its data directory; that they may
 * live, if they had another; and that a batch which keeps killing is not to be tried again the same way.
 */

const lanes: Lane[] = [];
async function openLane(...options: Parameters<typeof createLane>): Promise<Lane> {
  const lane = await createLane(...options);
  lanes.push(lane);
  return lane;
}
afterAll(async () => {
  await Promise.allSettled(lanes.map((lane) => lane.close()));
  await killDaemons();
});

interface JobRow {
  readonly state: string;
  readonly retries: number;
  readonly startsIn: number;
}

async function consolidationJob(lane: Lane, bank: string): Promise<JobRow | undefined> {
  const { rows } = await lane.db.query<JobRow>(
    `select state::text, retry_count as retries, extract(epoch from start_after - now())::float8 as "startsIn"
     from pgboss.job where name = 'consolidate' and singleton_key = $1 and state <= 'active'`,
    [bank],
  );
  return rows[0];
}

/** As time would. */
async function endPause(lane: Lane, bank: string): Promise<void> {
  await lane.db.query(`update pgboss.job set start_after = now() where singleton_key = $1 and state = 'retry'`, [bank]);
}

describe.concurrent('after SIGKILL', { timeout: 120_000 }, () => {
  test('two crashes of one batch in a row: a pause, smaller batches, one at a time, and everything applied once', async ({
    expect,
  }) => {
    const lane = await openLane({ banks: 2 });
    const [calm, bank] = [await lane.seededBank(), await lane.seededBank()];
    await lane.consolidateInPeace(calm);

    const trap = { point: 'batch:proposed', visit: 2, does: 'gather' } as const;
    await lane.daemon.set(trap);
    const { memoryIds } = await lane.deliver(bank, load, 'load');
    await lane.askOnce(bank);
    // Both batches have their answer when it dies, and again when the next one does.
    await lane.revive({ trap });
    await lane.revive();
    expect(lane.deaths).toEqual([
      { code: null, signal: 'SIGKILL' },
      { code: null, signal: 'SIGKILL' },
    ]);
    const paused = await consolidationJob(lane, bank);
    expect(paused).toMatchObject({ state: 'retry', retries: 1 });
    expect(paused?.startsIn).toBeGreaterThan(5);
    await endPause(lane, bank);
    await lane.settled(bank);

    await expectAppliedOnce(lane.db, bank, memoryIds);
    expect(await readStory(lane.db, bank)).toEqual(await readStory(lane.db, calm));
    const { rows } = await lane.db.query<{ outcome: string; size: number; overlaps: boolean }>(
      `select a.outcome, cardinality(a.memory_ids) as size,
         exists (select from engram.attempts b where b.bank_id = a.bank_id and b.id <> a.id and b.run_id = a.run_id
           and b.started_at < a.finished_at and a.started_at < b.finished_at) as overlaps
       from engram.attempts a where a.bank_id = $1 and cardinality(a.memory_ids) > 0
         and exists (select from unnest(a.memory_ids) as id where id::text = any($2)) order by a.started_at`,
      [bank, memoryIds],
    );
    const crashed = rows.filter((row) => row.outcome === 'crashed');
    const applied = rows.filter((row) => row.outcome === 'applied');
    expect(crashed.map((row) => row.size)).toEqual([6, 6, 6, 6]);
    expect(Math.max(...applied.map((row) => row.size))).toBeLessThanOrEqual(3);
    expect(applied.every((row) => !row.overlaps)).toBe(true);
  });

  test('a memory that kills whoever decides it is found, parked and named, and the others are consolidated', async ({
    expect,
  }) => {
    const lane = await openLane({ banks: 1, settings: { decider: 'mortal' } });
    const bank = await lane.seededBank();
    const deadly: WorkloadRequest = [{ text: `This is ${poison}.`, tags: [], mentioned_at: '2026-02-03T10:00:00Z' }];
    const { memoryIds } = await lane.deliver(bank, [...load.slice(0, 2), deadly, ...load.slice(2)], 'load');
    await lane.askOnce(bank);

    const settled = lane.settled(bank, 90_000).then(() => true);
    settled.catch(() => undefined);
    while (!(await Promise.race([settled, lane.daemon.exited.then(() => false)]))) {
      await lane.revive({ decider: 'mortal' });
      await endPause(lane, bank);
    }
    // 7 memories of its scope: twice, then 3, 1, and once more alone.
    expect(lane.deaths.length).toBeLessThanOrEqual(7);
    const { rows } = await lane.db.query<{ text: string; state: string; reason: string | null }>(
      `select text, state, state_reason as reason from engram.memories where bank_id = $1 and id::text = any($2)`,
      [bank, memoryIds],
    );
    expect(rows.filter((row) => row.state !== 'consolidated')).toEqual([
      { text: `This is ${poison}.`, state: 'parked', reason: 'crashed_alone' },
    ]);
  });

  describe.concurrent('on another machine', () => {
    const strange: string[] = [];
    afterAll(() => {
      for (const folder of strange.splice(0)) rmSync(folder, { recursive: true, force: true });
    });
    /** Another data directory on the same database: nothing tells that its neighbour is dead but its silence. */
    function startElsewhere(lane: Lane) {
      const dataDir = mkdtempSync(join(tmpdir(), `engramd-test-${process.pid}-`));
      strange.push(dataDir);
      return startDaemon({ ...lane.home, dataDir });
    }

    test('the job of a daemon that was heard of a moment ago is left to it', async ({ expect }) => {
      const lane = await openLane({ banks: 1 });
      const bank = await lane.seededBank();
      // Where it holds no connection: a transaction that stands still is ended by the server.
      await lane.daemon.set({ point: 'batch:proposed', visit: 1, does: 'hold' });
      const { memoryIds } = await lane.deliver(bank, load, 'load');
      await lane.requestConsolidation(bank);
      await lane.daemon.said('held');
      const other = startElsewhere(lane);
      await urlOf(other);
      expect(await consolidationJob(lane, bank)).toMatchObject({ state: 'active', retries: 0 });
      lane.daemon.release();
      await lane.settled(bank);
      await expectAppliedOnce(lane.db, bank, memoryIds, ['applied']);
      other.kill('SIGTERM');
      expect(await soon('stop', other.exited)).toEqual({ code: 0, signal: null });
    });

    test('that of one that has been silent is taken over at the start', async () => {
      const lane = await openLane({ banks: 1 });
      const bank = await lane.seededBank();
      await lane.daemon.set({ point: 'apply:locked', visit: 1, does: 'die' });
      const { memoryIds } = await lane.deliver(bank, load, 'load');
      await lane.askOnce(bank);
      await soon('die', lane.daemon.exited);
      await lane.db.query(`update engram.instances set seen_at = now() - interval '31 seconds'`);
      const other = startElsewhere(lane);
      await urlOf(other);
      await lane.settled(bank);
      await expectAppliedOnce(lane.db, bank, memoryIds);
      other.kill('SIGTERM');
      await soon('stop', other.exited);
    });
  });

  test('the next daemon of the data directory knows that its predecessor died, goes on at once, and ends its runs', async ({
    expect,
  }) => {
    const lane = await openLane({ banks: 1 });
    const bank = await lane.seededBank();
    await lane.daemon.set({ point: 'batch:recalled', visit: 1, does: 'die' });
    await lane.deliver(bank, load, 'load');
    await lane.askOnce(bank);
    await soon('die', lane.daemon.exited);
    const [dead] = (await lane.db.query<{ id: string }>('select id from engram.instances')).rows;
    // As its watchdog would have written before the kill.
    appendKill(killLogPath(lane.home.dataDir), {
      at: new Date(),
      pid: lane.daemon.pid,
      instanceId: dead?.id ?? '',
      strikes: 3,
      reason: 'no answer for 15 s',
      stack: null,
      killed: true,
    });
    await lane.revive();
    // The first death of a job's worker is no reason to wait: it may be at work already, but it does not pause.
    expect((await consolidationJob(lane, bank))?.startsIn ?? 0).toBeLessThan(1);
    await lane.settled(bank);
    const { rows: instances } = await lane.db.query(
      'select stop_reason as reason, stopped_at is not null as stopped from engram.instances order by started_at',
    );
    expect(instances).toEqual([
      { reason: 'killed by its watchdog: no answer for 15 s', stopped: true },
      { reason: null, stopped: false },
    ]);
    const { rows: runs } = await lane.db.query<{ outcome: string | null }>(
      'select outcome from engram.runs where bank_id = $1 order by started_at',
      [bank],
    );
    expect(runs.map(({ outcome }) => outcome)).toEqual(['drained', 'crashed', 'drained']);
  });
});
