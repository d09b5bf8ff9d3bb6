import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { EngramdError } from '../../src/telemetry/engramd-error.ts';
import type { RacepointName } from '../../src/telemetry/racepoints.ts';
import { withAdmin } from '../support/admin-connection.ts';
import { attemptOutcomes, changes, eventKinds, memories, observation, observations } from './store-view.ts';
import { createWorkbench, memoryAlias, observationAlias, type Workbench } from './workbench.ts';

class PulledPlug extends EngramdError {
  readonly code = 'PULLED_PLUG';
  override readonly retryable = true;
}

let bench: Workbench;
beforeAll(async () => {
  bench = await createWorkbench();
});
beforeEach(() => bench.freshBank());
afterAll(() => bench.close());

async function wholeStore() {
  const [scopes, links] = await Promise.all([
    bench.rows('select tags, epoch from engram.scopes where bank_id = $1 and epoch > 0', [bench.bankId]),
    bench.rows('select * from engram.observation_sources where bank_id = $1 order by 2, 3', [bench.bankId]),
  ]);
  const rows = {
    observations: await observations(bench),
    memories: await memories(bench),
    changes: await changes(bench),
  };
  return { ...rows, events: await eventKinds(bench), scopes, links };
}

/** A store with one observation, and a memory that is going to revise it. */
async function aboutToRevise() {
  await bench.remember('Ana drinks tea');
  await bench.consolidate();
  const [id = ''] = await bench.remember('Ana drinks green tea');
  bench.decider.propose_ = (batch) => [
    {
      op: 'revise',
      target: observationAlias(batch, 'Ana drinks tea'),
      text: 'Ana drinks tea, green tea',
      memories: [memoryAlias(batch, 'Ana drinks green tea')],
      reason: 'fuller',
    },
  ];
  return id;
}

async function expectAppliedOnce(id: string) {
  const row = await observation(bench, 'Ana drinks tea, green tea');
  expect(row).toMatchObject({ version: 2, isLive: true });
  expect(row.sources.filter((source) => source.id === id)).toEqual([{ id, version: 1 }]);
  expect((await changes(bench)).filter((change) => change.memoryIds.includes(id)).map((change) => change.op)).toEqual([
    'revise',
  ]);
  expect((await eventKinds(bench)).filter((kind) => kind === 'observation.revised')).toHaveLength(1);
}

/** Ends the backend of every open transaction of the test database, from a connection of its own. */
async function cutIdleTransactions(): Promise<void> {
  await withAdmin(bench.database.connectionString, async (admin) => {
    await admin.query(
      `select pg_terminate_backend(pid, 5000) from pg_stat_activity
       where datname = current_database() and state = 'idle in transaction' and pid <> pg_backend_pid()`,
    );
  });
}

describe('the plug is pulled', () => {
  const insideTheTransaction: RacepointName[] = ['apply:locked', 'apply:ops-written', 'apply:before-commit'];

  it.each(insideTheTransaction)('at %s: nothing has happened, and the next slice applies it once', async (point) => {
    const id = await aboutToRevise();
    const before = await wholeStore();
    let pulled = false;
    bench.races.at(point, () => {
      if (pulled) return;
      pulled = true;
      throw new PulledPlug('gone');
    });
    expect(await bench.consolidate()).toMatchObject({
      outcome: 'deferred',
      counts: { memories: 0, batches: 0 },
    });
    expect(await wholeStore()).toEqual(before);
    expect(await attemptOutcomes(bench)).toEqual(['applied', 'failed']);

    expect(await bench.consolidate()).toMatchObject({
      outcome: 'drained',
      counts: { memories: 1, ops: { revise: 1 } },
    });
    await expectAppliedOnce(id);
  });

  it('after the commit: it has happened, and the next slice finds nothing to do', async () => {
    const id = await aboutToRevise();
    let pulled = false;
    bench.races.at('apply:after-commit', () => {
      if (pulled) return;
      pulled = true;
      throw new PulledPlug('gone');
    });
    await bench.consolidate();
    await expectAppliedOnce(id);
    expect(await bench.consolidate()).toMatchObject({ outcome: 'drained', counts: { memories: 0, batches: 0 } });
    await expectAppliedOnce(id);
  });

  it('by the server, after the ops and before the commit: the slice says so, and the next one applies it once', async () => {
    const id = await aboutToRevise();
    const before = await wholeStore();
    let pulled = false;
    bench.races.at('apply:ops-written', async () => {
      if (pulled) return;
      pulled = true;
      await cutIdleTransactions();
    });
    await expect(bench.consolidate()).rejects.toThrow();
    expect(await wholeStore()).toEqual(before);
    expect(await bench.consolidate()).toMatchObject({ outcome: 'drained', counts: { memories: 1 } });
    await expectAppliedOnce(id);
  });
});
