import fc from 'fast-check';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Batch, ProposedOp } from '../../src/consolidation/decider.ts';
import { changes, memories, observations } from '../consolidation/store-view.ts';
import { createUndoBench, type UndoBench } from './undo-bench.ts';

let undo: UndoBench;
beforeAll(async () => {
  undo = await createUndoBench({ batchMemories: 3, concurrency: 3 });
});
afterAll(() => undo.bench.close());

const words = 'kettle lamp river stone garden violin harbour mitten saddle teapot'.split(' ');
const scopes = [[], ['home'], ['home', 'work']];
const kinds = ['create', 'reinforce', 'revise', 'supersede', 'conflict', 'fold', 'retire', 'skip'] as const;

/** The same decisions for the same seed and the same order of batches. */
function dice(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

/** Any op for each memory, over whatever is shown. */
function anything(batch: Batch, roll: (below: number) => number): ProposedOp[] {
  const free = [...batch.observations];
  const take = () => (free.length === 0 ? undefined : free.splice(roll(free.length), 1)[0]);
  return batch.memories.flatMap((memory, index): ProposedOp[] => {
    const as = `n${index + 1}`;
    const { text, mentionedAt: validFrom } = memory;
    const own = { memories: [memory.alias], reason: 'rolled' };
    const create: ProposedOp = { op: 'create', as, text, validFrom, ...own };
    const kind = kinds[roll(kinds.length)];
    const target = take();
    if (!target || kind === 'create' || kind === undefined) return [create];
    switch (kind) {
      case 'reinforce':
        return [{ op: 'reinforce', target: target.alias, ...own }];
      case 'revise':
        return [{ op: 'revise', target: target.alias, text, ...own }];
      case 'supersede':
      case 'conflict':
        return [{ op: kind, target: target.alias, as, text, validFrom, ...own }];
      case 'fold': {
        const into = take();
        const fold = { op: 'fold' as const, target: target.alias, reason: 'rolled' };
        return into
          ? [
              { op: 'reinforce', target: into.alias, ...own },
              { ...fold, into: into.alias },
            ]
          : [create, { ...fold, into: as }];
      }
      case 'retire':
        return [
          { op: 'reinforce', target: target.alias, ...own },
          { op: 'retire', target: target.alias, reason: 'rolled' },
        ];
      case 'skip':
        return [{ op: 'skip', ...own }];
      default:
        return kind satisfies never;
    }
  });
}

async function remember(roll: (below: number) => number, count: number) {
  await undo.bench.remember(
    ...Array.from({ length: count }, () => ({
      text: Array.from({ length: 3 }, () => words[roll(words.length)]).join(' '),
      tags: scopes[roll(scopes.length)] ?? [],
      mentionedAt: new Date(Date.UTC(2026, roll(6), 1 + roll(28), 0, 0, 0, roll(1000))).toISOString(),
    })),
  );
}

/** Some memories are edited, invalidated or deleted: the next run has observations to write again. */
async function disturb(roll: (below: number) => number) {
  for (const memory of await memories(undo.bench)) {
    const chance = roll(12);
    if (chance === 0) {
      await undo.bench.rows('update engram.memories set text = $2 where id = $1', [
        memory.id,
        words[roll(words.length)],
      ]);
    } else if (chance === 1) {
      await undo.bench.rows('update engram.memories set invalidated_at = now() where id = $1', [memory.id]);
    } else if (chance === 2) await undo.bench.rows('delete from engram.memories where id = $1', [memory.id]);
  }
}

const seen = new Map<string, number>();

async function undoAndBack(seed: number): Promise<void> {
  const { bench } = undo;
  await bench.freshBank();
  const roll = dice(seed);
  bench.decider.propose_ = (batch) => anything(batch, roll);
  bench.decider.adjudicate_ = () => (['same', 'different', 'supersedes', 'contradicts'] as const)[roll(4)] ?? 'same';
  for (let run = 0; run < 2; run += 1) {
    await remember(roll, 8);
    await bench.consolidate();
    await disturb(roll);
  }
  await remember(roll, 8);
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
