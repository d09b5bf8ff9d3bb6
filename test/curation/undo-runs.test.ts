import fc from 'fast-check';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { changes, memories, observations } from '../consolidation/store-view.ts';
import { anything, dice, disturb, kinds, rememberAnything } from './random-runs.ts';
import { createUndoBench, type UndoBench } from './undo-bench.ts';

let undo: UndoBench;
beforeAll(async () => {
  undo = await createUndoBench({ batchMemories: 3, concurrency: 3 });
});
afterAll(() => undo.bench.close());

const seen = new Map<string, number>();

async function undoAndBack(seed: number): Promise<void> {
  const { bench } = undo;
  await bench.freshBank();
  const roll = dice(seed);
  bench.decider.propose_ = (batch) => anything(batch, roll);
  bench.decider.adjudicate_ = () => (['same', 'different', 'supersedes', 'contradicts'] as const)[roll(4)] ?? 'same';
  for (let run = 0; run < 2; run += 1) {
    await rememberAnything(bench, roll, 8);
    await bench.consolidate();
    await disturb(bench, roll);
  }
  await rememberAnything(bench, roll, 8);
  const before = await undo.view();
  const prior = new Set((await observations(bench)).map((row) => row.id));
  const memoriesBefore = await memories(bench);
  const historyBefore = (await changes(bench)).length;

  const { runId } = await bench.consolidate();
  const done = (await changes(bench)).slice(historyBefore).filter((change) => change.status === 'applied');
  for (const change of done) seen.set(change.op, (seen.get(change.op) ?? 0) + 1);
  if (done.length === 0) return;
  const after = await undo.view();
  const memoriesAfter = await memories(bench);

  const { runId: undoRun } = await undo.undo(runId);
  expect(await undo.view([...prior])).toEqual(before);
  for (const row of await observations(bench)) {
    if (!prior.has(row.id)) expect(row).toMatchObject({ isLive: false, isRetired: true, sources: [] });
  }
  const settled = new Map(
    memoriesAfter
      .filter((memory) => memory.state === 'consolidated')
      .filter((memory) => memoriesBefore.find((one) => one.id === memory.id)?.state === 'pending')
      .map((memory) => [memory.id, { ...memory, state: 'held', stateReason: 'undone' }]),
  );
  expect(await memories(bench)).toEqual(memoriesAfter.map((memory) => settled.get(memory.id) ?? memory));

  await undo.undo(undoRun);
  expect(await undo.view()).toEqual(after);
  expect(await memories(bench)).toEqual(memoriesAfter);
  await undo.undo(runId);
  expect(await undo.view([...prior])).toEqual(before);
}

/** One run in a hundred has none that supersedes among ten seeds. */
const mostSeeds = 60;

it('an undone run leaves no trace but in the history, whatever it did; undone again, it is there as it was', async () => {
  await fc.assert(fc.asyncProperty(fc.integer({ min: 1, max: 2 ** 31 }), undoAndBack), { numRuns: 10 });
  for (let seed = 1; seen.size < kinds.length && seed <= mostSeeds; seed += 1) await undoAndBack(seed);
  expect([...seen.keys()].sort()).toEqual([...kinds].sort());
}, 120_000);
