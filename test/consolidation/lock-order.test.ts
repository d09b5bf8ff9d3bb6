import { v7 as uuid } from 'uuid';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { applyGroups } from '../../src/consolidation/apply.ts';
import type { PlannedOp } from '../../src/consolidation/plan.ts';
import { createDatabase, type Database, type Tx } from '../../src/db/database.ts';
import { sqlState } from '../../src/db/errors.ts';
import { lockMemories, lockObservations } from '../../src/store/apply-locks.ts';
import { systemClock } from '../../src/telemetry/clock.ts';
import { silentLog } from '../../src/telemetry/log.ts';
import { memoryRef, startRun } from './apply-directly.ts';
import { somebodyWaitsForALock } from './lock-waits.ts';
import { memories, type ObservationView, observations } from './store-view.ts';
import { createWorkbench, type Workbench } from './workbench.ts';

let bench: Workbench;
/** Somebody else's connections: a person at psql, another daemon. */
let others: Database;
beforeAll(async () => {
  bench = await createWorkbench();
  others = createDatabase({
    connectionString: bench.database.connectionString,
    poolMax: 10,
    applicationName: 'engramd-test-others',
    log: silentLog,
    clock: systemClock,
    metrics: bench.database.metrics,
  });
});
beforeEach(() => bench.freshBank());
afterAll(async () => {
  await others.close();
  await bench.close();
});

async function deadlocksSoFar(): Promise<number> {
  const { values } = await bench.database.metrics.transactionRetries.get();
  return values.reduce((sum, value) => sum + value.value, 0);
}

/** The same numbers each time: an order that deadlocks once deadlocks again. */
function numbersFrom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

function shuffled<T>(items: readonly T[], below: (limit: number) => number): T[] {
  const left = [...items];
  return items.flatMap(() => left.splice(below(left.length), 1));
}

describe('applies that cite the same rows in opposite orders (L4)', () => {
  it('beside edits, deletes and invalidations by others: none is ever a deadlock, and all end', async () => {
    const texts = Array.from({ length: 12 }, (_, index) => `Shelf ${index} holds box ${index * 7}`);
    await bench.remember(...texts);
    await bench.consolidate();
    const targets = await observations(bench);
    const sources = await bench.remember(...Array.from({ length: 24 }, (_, index) => `Evidence ${index}`));
    const victims = await bench.remember(...Array.from({ length: 12 }, (_, index) => `Victim ${index}`));
    await bench.rows(
      `insert into engram.observation_sources (bank_id, observation_id, memory_id, memory_version)
       select $1, o, m, 1 from unnest($2::uuid[]) as o, unnest($3::uuid[]) as m`,
      [bench.bankId, targets.map((target) => target.id), victims],
    );
    const runId = await startRun(bench);
    const below = numbersFrom(7);
    const before = await deadlocksSoFar();

    const applies = Array.from({ length: 80 }, () => {
      const some = <T>(items: readonly T[]) => shuffled(items, below).slice(0, 2 + below(6));
      const ops = some(targets).map((target): PlannedOp => reinforceWith(target, some([...sources, ...victims])));
      return applyGroups(
        { db: bench.database.db, clock: systemClock, racepoints: bench.races, newId: () => uuid(), apply: 'auto' },
        {
          bankId: bench.bankId,
          runId,
          changeSetId: uuid(),
          attemptId: null,
          decider: 'scripted/1',
          decidedBy: 'scripted/1 validators/1',
          tags: [],
          embeddingModel: bench.embedder.model.id,
          scopeEpoch: 1,
          repeatSimilarity: 0.85,
          // Some are taken out of the work, most only have to stay as they are: both modes meet on the same rows.
          groups: ops.map((op) => ({ ops: [op], memberIds: some(sources).slice(0, 1 + below(2)) })),
          rejected: [],
        },
      );
    });
    const edits = victims.map((id, index) => {
      const statement = [
        `update engram.memories set context = 'edited' where id = $1`,
        'update engram.memories set invalidated_at = now() where id = $1',
        'delete from engram.memories where id = $1',
      ][index % 3];
      return others.query(statement ?? '', [id]);
    });
    await Promise.all([...applies, ...edits]);
    expect(await deadlocksSoFar()).toBe(before);
    expect((await memories(bench)).filter((memory) => memory.text.startsWith('Victim'))).toHaveLength(8);
  });
});

function reinforceWith(target: ObservationView, ids: readonly string[]): PlannedOp {
  return {
    op: 'reinforce',
    target: { id: target.id, seen: { text: target.text, version: target.version } },
    memories: ids.map((id) => memoryRef(id)),
    replan: null,
    reason: 'same',
  };
}

/**
 * Locks through `lock` while the middle one of three rows is taken: in id order the first is then held and the last is
 * not, whatever order the ids were given in.
 */
async function whichAreHeld(
  table: 'memories' | 'observations',
  ids: readonly string[],
  lock: (tx: Tx) => Promise<unknown>,
): Promise<boolean[]> {
  const [first = '', middle = '', last = ''] = [...ids].sort();
  const rowLock = { memories: lockMemory, observations: lockObservation }[table];
  const release = Promise.withResolvers<void>();
  const taken = Promise.withResolvers<void>();
  const holder = others.tx({ label: 'holder' }, async (tx) => {
    await rowLock(tx, middle);
    taken.resolve();
    await release.promise;
  });
  await taken.promise;
  const locker = others.tx({ label: 'locker' }, lock);
  await somebodyWaitsForALock(bench);
  const held = await Promise.all([isHeld(rowLock, first), isHeld(rowLock, last)]);
  release.resolve();
  await Promise.all([holder, locker]);
  return held;
}

type RowLock = (tx: Tx, id: string) => Promise<unknown>;
const lockMemory: RowLock = (tx, id) => tx.query('select 1 from engram.memories where id = $1 for update nowait', [id]);
const lockObservation: RowLock = (tx, id) =>
  tx.query('select 1 from engram.observations where id = $1 for update nowait', [id]);

async function isHeld(rowLock: RowLock, id: string): Promise<boolean> {
  try {
    await others.tx({ label: 'probe' }, (tx) => rowLock(tx, id));
    return false;
  } catch (thrown) {
    if (sqlState(thrown) === '55P03') return true;
    throw thrown;
  }
}

describe('rows are locked by id (L4)', () => {
  it.each([
    ['as members', (ids: string[]) => ({ members: ids, sources: [] })],
    ['as sources', (ids: string[]) => ({ members: [], sources: ids })],
    ['in both modes', (ids: string[]) => ({ members: ids.slice(0, 2), sources: ids.slice(2) })],
    ['in both modes, the other way round', (ids: string[]) => ({ members: ids.slice(2), sources: ids.slice(0, 2) })],
  ])('memories, %s, in whatever order they are named', async (_, split) => {
    const ids = await bench.remember('one', 'two', 'three');
    for (const named of [ids, [...ids].reverse()]) {
      expect(await whichAreHeld('memories', ids, (tx) => lockMemories(tx, bench.bankId, split(named)))).toEqual([
        true,
        false,
      ]);
    }
  });

  it('observations, with those that point at them, in whatever order they are named', async () => {
    // Ids by hand, and stored from the last to the first: the heap's order is not the order of the ids.
    const ids = ['1', '2', '3'].map((digit) => `0000000${digit}-0000-7000-8000-${uuid().slice(-12)}`);
    for (const id of [...ids].reverse()) {
      await bench.rows(
        `insert into engram.observations (bank_id, id, text, tags, embedding, embedding_model, scope_epoch)
         values ($1, $2, 'a text', '{}', '{1}', $3, 1)`,
        [bench.bankId, id, bench.embedder.model.id],
      );
    }
    const [first = '', middle = '', last = ''] = ids;
    for (const named of [ids, [...ids].reverse()]) {
      const lock = (tx: Tx) => lockObservations(tx, bench.bankId, named, []);
      expect(await whichAreHeld('observations', ids, lock)).toEqual([true, false]);
    }
    await bench.rows('update engram.observations set canonical_id = $2 where id = $1', [first, last]);
    const lock = (tx: Tx) => lockObservations(tx, bench.bankId, [last, middle], [last]);
    expect(await whichAreHeld('observations', ids, lock), 'the one folded into the last comes first').toEqual([
      true,
      false,
    ]);
  });
});
