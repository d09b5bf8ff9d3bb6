import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { ConsolidationEngine } from '../../src/consolidation/engine.ts';
import { AskingDecider } from './asking-decider.ts';
import { changes, liveTexts, memories, states } from './store-view.ts';
import { createOp, createWorkbench, memoryAlias, type Workbench } from './workbench.ts';

let bench: Workbench;
let decider: AskingDecider;
let engine: ConsolidationEngine;
beforeAll(async () => {
  bench = await createWorkbench();
  decider = new AskingDecider(bench.database.db);
  engine = await bench.engineBeside({ decider });
});
beforeEach(async () => {
  await bench.freshBank();
  decider.reset();
});
afterAll(() => bench.close());

/** Something happens while the first request is at the model. */
async function whileAtTheModel(meanwhile: () => Promise<unknown>) {
  const { propose_ } = decider;
  let done = false;
  decider.propose_ = async (batch) => {
    if (!done) {
      done = true;
      await meanwhile();
    }
    return propose_(batch);
  };
  return bench.consolidate({ engine });
}

describe('while its batch is at the model, a memory is', () => {
  it('edited: its old words are not applied, the new ones are asked about, and its neighbour is not paid for again', async () => {
    const [id] = await bench.remember('Ana drinks tea', 'Ben drinks milk');
    await whileAtTheModel(() =>
      bench.rows('update engram.memories set text = $2 where id = $1', [id, 'Ana drinks mate']),
    );
    expect(decider.paid).toEqual([['Ana drinks tea', 'Ben drinks milk'], ['Ana drinks mate']]);
    expect(await liveTexts(bench)).toEqual(['Ana drinks mate', 'Ben drinks milk']);
  });

  it('deleted, or invalidated: nothing is made of it, and nobody is asked again', async () => {
    const [ana, ben] = await bench.remember('Ana drinks tea', 'Ben drinks milk', 'Cy drinks water');
    await whileAtTheModel(async () => {
      await bench.rows('delete from engram.memories where id = $1', [ana]);
      await bench.rows('update engram.memories set invalidated_at = now() where id = $1', [ben]);
    });
    expect(decider.paid).toHaveLength(1);
    expect(await liveTexts(bench)).toEqual(['Cy drinks water']);
  });
});

it('a bank deleted while a batch of it is at the model ends the slice, and nothing of it comes back', async () => {
  await bench.remember('Ana drinks tea');
  const report = await whileAtTheModel(() => bench.rows('delete from engram.banks where id = $1', [bench.bankId]));
  expect(report).toMatchObject({ outcome: 'bank_gone', counts: { memories: 0 } });
  for (const table of ['attempts', 'model_answers', 'observations', 'runs']) {
    expect(await bench.rows(`select from engram.${table} where bank_id = $1`, [bench.bankId])).toEqual([]);
  }
});

it('an answer over aliases that were not shown: those operations are refused, the others applied, and it is told so', async () => {
  await bench.remember('Ana drinks tea', 'Ben drinks milk');
  decider.propose_ = (batch) =>
    batch.notes.length > 0
      ? batch.memories.map(({ alias }) => ({ op: 'skip', memories: [alias], reason: 'told so' }))
      : [
          createOp(memoryAlias(batch, 'Ana drinks tea'), 'n1', 'Ana drinks tea'),
          { op: 'reinforce', target: 'o7', memories: [memoryAlias(batch, 'Ben drinks milk')], reason: 'invented' },
          createOp('m9', 'n2', 'Nobody said this'),
        ];
  const report = await bench.consolidate({ engine });
  expect(report.counts).toMatchObject({ memories: 2, rejected: { 'alias-in-range': 2 } });
  expect(decider.batches[1]?.notes).toEqual([
    expect.stringMatching(/^m1: the last reinforce was refused by alias-in-range: .*o7/),
  ]);
  expect(await states(bench)).toEqual({ 'Ana drinks tea': 'consolidated', 'Ben drinks milk': 'consolidated' });
  expect(await liveTexts(bench)).toEqual(['Ana drinks tea']);
});

it('what decided a memory is kept with it', async () => {
  await bench.remember('Ana drinks tea');
  await bench.consolidate({ engine });
  const [row] = await bench.rows<{ decided_by: string }>('select decided_by from engram.memories where bank_id = $1', [
    bench.bankId,
  ]);
  expect(row?.decided_by).toMatch(/^scripted\/1 validators\//);
  expect((await memories(bench)).length + (await changes(bench)).length).toBe(2);
});
