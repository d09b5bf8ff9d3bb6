import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  diffOfSnapshots,
  kindsOf,
  type SnapshotDifference,
  snapshotNamed,
} from '../../../src/backup/snapshots/snapshot-diff.ts';
import { takeSnapshot } from '../../../src/backup/snapshots/snapshots.ts';
import { forget } from '../../../src/curation/forget.ts';
import { lineageOf, pointersAt } from '../../../src/store/lineage.ts';
import type { Snapshot, SnapshotRow } from '../../../src/store/snapshots.ts';
import { memories } from '../../consolidation/store-view.ts';
import { anything, dice, disturb, rememberAnything } from '../../curation/random-runs.ts';
import { createUndoBench, type UndoBench } from '../../curation/undo-bench.ts';

let undo: UndoBench;
beforeAll(async () => {
  undo = await createUndoBench({ batchMemories: 3, concurrency: 3 });
});
afterAll(() => undo.bench.close());

const row = (state: string, version = 1, pin: SnapshotRow['pin'] = null): SnapshotRow => ({ state, version, pin });

describe('what became of a row', () => {
  it.each([
    [null, row('live'), ['added']],
    [row('live'), null, ['gone']],
    [row('live'), row('live', 2), ['changed']],
    [row('live'), row('superseded', 2), ['superseded']],
    [row('live'), row('folded', 2), ['folded']],
    [row('live'), row('retired', 2), ['retired']],
    [row('retired'), row('live', 2), ['restored']],
    [row('pending'), row('consolidated'), ['moved']],
    [row('consolidated'), row('invalidated', 2), ['invalidated']],
    [row('invalidated'), row('pending', 2), ['restored']],
    [row('consolidated'), row('consolidated', 1, 'auto'), ['pinned']],
    [row('consolidated', 1, 'manual'), row('consolidated', 2), ['changed', 'unpinned']],
    [row('consolidated', 1, 'auto'), row('consolidated', 1, 'manual'), ['pinned']],
  ] as const)('%j to %j: %j', (before, after, kinds) => expect(kindsOf(before, after)).toEqual(kinds));
});

describe('the name of a snapshot', () => {
  const snapshots = ['0198c1f2-aaaa', '0198c1f1-bbbb', '0198c1f1-cccc'].map(
    (id): Snapshot => ({
      id,
      madeAt: new Date(0),
      trigger: 'asked',
      appliedNo: 0,
      counts: { memories: {}, observations: {}, pinned: 0 },
    }),
  );
  it.each([
    ['latest', '0198c1f2-aaaa'],
    ['latest~0', '0198c1f2-aaaa'],
    ['latest~2', '0198c1f1-cccc'],
    ['0198c1f2', '0198c1f2-aaaa'],
    ['0198C1F1-C', '0198c1f1-cccc'],
  ])('%s is %s', (name, id) => expect(snapshotNamed(snapshots, name).id).toBe(id));
  it.each([
    ['latest~3', 'there is no latest~3: the bank has 3 snapshots'],
    ['0198c1f1', '2 snapshots begin with "0198c1f1"; give more of the id'],
    ['0198', 'there is no snapshot "0198" in this bank'],
    ['newest', 'there is no snapshot "newest" in this bank'],
  ])('%s is none: %s', (name, message) => expect(() => snapshotNamed(snapshots, name)).toThrow(message));
  it('of a bank without any says so', () =>
    expect(() => snapshotNamed([], 'latest')).toThrow('there is no latest: the bank has no snapshots'));
});

/** Rows as they stand, with what they say. */
async function standing(): Promise<Map<string, SnapshotRow & { text: string }>> {
  const rows = await undo.bench.rows<SnapshotRow & { id: string; text: string }>(
    `select id, version, text, pin, case when invalidated_at is null then state else 'invalidated' end as state
     from engram.memories where bank_id = $1
     union all
     select id, version, text, null, case when retired_at is not null then 'retired' when canonical_id is not null
       then 'folded' when superseded_by is not null then 'superseded' else 'live' end
     from engram.observations where bank_id = $1`,
    [undo.bench.bankId],
  );
  return new Map(rows.map(({ id, ...rest }) => [id, rest]));
}

async function pages(before: string, after: string, limit: number): Promise<SnapshotDifference[]> {
  const found: SnapshotDifference[] = [];
  let place: Parameters<typeof diffOfSnapshots>[2]['place'] = null;
  do {
    const diff = await diffOfSnapshots(undo.deps.db, undo.bench.bankId, { before, after, place, limit });
    found.push(...diff.differences);
    place = diff.next;
    const counted = Object.values(diff.counts).flatMap((counts) => Object.values(counts)).length;
    expect(counted > 0).toBe(found.length > 0);
  } while (place !== null);
  return found;
}

it('tells between any two snapshots of any life what differs, and what was said on both sides', async () => {
  for (const seed of [3, 14, 159]) {
    const { bench } = undo;
    await bench.freshBank();
    const { bankId } = bench;
    const roll = dice(seed);
    bench.decider.propose_ = (batch) => anything(batch, roll);
    const metrics = bench.database.metrics;
    const deps = { db: undo.deps.db, metrics, racepoints: bench.races, newId: undo.deps.newId, keep: 100 };
    const states: { id: string; rows: Awaited<ReturnType<typeof standing>> }[] = [];
    const take = async () => {
      const { snapshot } = await takeSnapshot(deps, { bankId, trigger: 'asked' });
      states.push({ id: snapshot.id, rows: await standing() });
    };
    const erased = new Set<string>();
    const edited = new Set<string>();
    for (let step = 0; step < 3; step += 1) {
      await rememberAnything(bench, roll, 6);
      await take();
      const { runId } = await bench.consolidate();
      await take();
      if (step === 0) {
        await undo.undo(runId);
        await take();
      }
      if (step === 1) {
        const versions = await standing();
        await disturb(bench, roll);
        for (const [id, is] of await standing()) if (versions.get(id)?.version !== is.version) edited.add(id);
        await take();
      }
    }
    const victim = (await memories(bench))[0]?.id ?? '';
    const lineage = await lineageOf(undo.deps.db, bankId, victim);
    for (const id of [victim, ...lineage, ...(await pointersAt(undo.deps.db, bankId, lineage))]) erased.add(id);
    await forget(
      { ...undo.deps, hint: async () => undefined },
      { bankId, memoryId: victim, signal: new AbortController().signal },
    );
    states.push({ id: 'now', rows: await standing() });

    const gone = (
      await bench.rows<{ id: string }>('select row_id as id from engram.snapshot_rows where row_id = $1', [victim])
    ).length;
    expect(gone).toBe(0);
    for (const [index, a] of states.slice(0, -1).entries()) {
      for (const b of [states[index + 1], states.at(-1)]) {
        if (!b) continue;
        const told = new Map((await pages(a.id, b.id, 7)).map((one) => [one.id, one]));
        for (const id of new Set([...a.rows.keys(), ...b.rows.keys()])) {
          const [was, is] = [a.rows.get(id) ?? null, b.rows.get(id) ?? null];
          const one = told.get(id);
          if (erased.has(id)) {
            if (id === victim) expect(one).toBeUndefined();
            continue;
          }
          const [before, after] = [was, is].map(
            (side) => side && { version: side.version, state: side.state, pin: side.pin },
          );
          if (JSON.stringify(before) === JSON.stringify(after)) {
            expect(one).toBeUndefined();
            continue;
          }
          // Deleted by hand since: gone from the snapshots too.
          if (b.id !== 'now' && !states.at(-1)?.rows.has(id)) {
            expect(one).toBeUndefined();
            continue;
          }
          if (was && !states.at(-1)?.rows.has(id)) {
            expect(one).toBeUndefined();
            continue;
          }
          expect(one).toMatchObject({ before, after });
          if (edited.has(id)) continue;
          expect([one?.beforeText, one?.afterText]).toEqual([was?.text ?? null, is?.text ?? null]);
        }
      }
    }
  }
}, 60_000);
