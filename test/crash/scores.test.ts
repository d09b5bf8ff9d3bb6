import { afterAll, describe, type ExpectStatic, test, vi } from 'vitest';
import { stopDeadlineMs } from '../../src/daemon/stop-bounds.ts';
import { killDaemons } from './daemon-process.ts';
import { createLane, type Lane, soon } from './lane.ts';

/* SIGKILL and SIGTERM of the real daemon with scores queued and in hand. */

const lanes: Lane[] = [];
async function openLane(): Promise<Lane> {
  const lane = await createLane({ banks: 1 });
  lanes.push(lane);
  return lane;
}
afterAll(async () => {
  await Promise.allSettled(lanes.map((lane) => lane.close()));
  await killDaemons();
});

const banks = Array.from({ length: 8 }, (_, index) => `scored-${index}`);

/** A dozen memories in each of eight banks, at once and by plain SQL: who wrote them says nothing to the daemon. */
async function writeMemories({ db }: Lane): Promise<void> {
  await db.tx({ label: 'test' }, async (tx) => {
    await tx.query('insert into engram.banks (id) select unnest($1::text[])', [banks]);
    await tx.query(
      `insert into engram.memories (bank_id, id, text)
       select bank, gen_random_uuid(), 'Remember that door ' || n || ' of ' || bank || ' is never locked.'
       from unnest($1::text[]) as bank cross join generate_series(1, 12) as n`,
      [banks],
    );
  });
}

const jobStates = async ({ db }: Lane) =>
  Object.fromEntries(
    (
      await db.query<{ state: string; n: number }>(
        `select state::text, count(*)::int as n from pgboss.job
         where name = 'score' and singleton_key = any($1) and state <= 'active' group by 1`,
        [banks],
      )
    ).rows.map(({ state, n }) => [state, n]),
  );

/** As time would. */
const endPauses = ({ db }: Lane) =>
  db.query("update pgboss.job set start_after = now() where name = 'score' and state = 'retry'");

async function expectScoredOnce({ db }: Lane, expect: ExpectStatic): Promise<void> {
  const counted = async () =>
    (
      await db.query(
        `select count(*)::int as memories, count(*) filter (where scored_version = version)::int as scored,
           (select count(*)::int from engram.events where bank_id = any($1) and kind = 'memory.scored') as events,
           (select count(distinct memory_id)::int from engram.events where bank_id = any($1) and kind = 'memory.scored')
             as told
         from engram.memories where bank_id = any($1)`,
        [banks],
      )
    ).rows;
  await vi.waitFor(async () => expect(await counted()).toEqual([{ memories: 96, scored: 96, events: 96, told: 96 }]), {
    timeout: 30_000,
    interval: 50,
  });
}

describe.concurrent('scores', { timeout: 120_000 }, () => {
  test('lost queued jobs on a crash: queued or in hand, before the commit or after the answer, all are scored, none twice', async ({
    expect,
  }) => {
    const lane = await openLane();
    // Four banks are at it, as many as a daemon takes, and come to no end; the others wait in the queue.
    await lane.daemon.set({ point: 'score:called', visit: 5, does: 'gather' });
    await writeMemories(lane);
    await vi.waitFor(async () => expect(await jobStates(lane)).toEqual({ active: 4, created: 4 }), {
      timeout: 30_000,
      interval: 20,
    });
    lane.daemon.kill('SIGKILL');
    await lane.revive({ trap: { point: 'score:before-commit', visit: 3, does: 'gather' } });
    await lane.revive();
    await endPauses(lane);
    expect(lane.deaths).toEqual([
      { code: null, signal: 'SIGKILL' },
      { code: null, signal: 'SIGKILL' },
    ]);
    await expectScoredOnce(lane, expect);
  });

  test('hung on stop without a time-out: a scorer that never answers does not keep a daemon from its end, and the jobs go on after the next start', async ({
    expect,
  }) => {
    const lane = await openLane();
    lane.daemon.kill('SIGTERM');
    await soon('stop', lane.daemon.exited);
    await lane.start({ scorer: 'deaf' });
    await writeMemories(lane);
    await lane.daemon.said('scoring', 4);
    lane.daemon.kill('SIGTERM');
    expect(await soon('stop', lane.daemon.exited, stopDeadlineMs)).toEqual({ code: 0, signal: null });
    expect(lane.daemon.lines.filter(({ msg }) => msg === 'stop: failed, going on')).toEqual([]);
    expect(await jobStates(lane)).toEqual({ created: 8 });
    await lane.start();
    await expectScoredOnce(lane, expect);
  });
});
