import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { ConsolidationEngine } from '../../src/consolidation/engine.ts';
import { notesOn } from '../../src/consolidation/notes.ts';
import { AskingDecider } from './asking-decider.ts';
import { changes, memories, passTheTime, states } from './store-view.ts';
import { createOp, createWorkbench, memoryAlias, type Workbench } from './workbench.ts';

describe('what a decider is told of its earlier answers', () => {
  const refusal = { op: 'revise', text: 'a text', validator: 'negation', reason: 'it turns it round' } as const;

  it('is nothing the first time', () => {
    expect(notesOn([{ alias: 'm1', attempts: 0, refusals: null }])).toEqual([]);
  });

  it('names what was left out, what was refused by whom and why, and what earlier batches came to', () => {
    expect(
      notesOn([
        { alias: 'm1', attempts: 0, refusals: [] },
        { alias: 'm2', attempts: 0, refusals: [refusal] },
        { alias: 'm3', attempts: 2, refusals: null },
      ]),
    ).toEqual([
      'm1 was left out of the last answer; name it, if only in a skip with a reason.',
      'm2: the last revise "a text" was refused by negation: it turns it round.',
      'm3: 2 earlier answers settled nothing about it; say what to make of it, or skip it with a reason.',
    ]);
  });

  it('is bounded, and never says a secret again (L20)', () => {
    const key = `sk-${'a1'.repeat(20)}`;
    const notes = notesOn([
      {
        alias: 'm1',
        attempts: 0,
        refusals: [
          { ...refusal, validator: 'secret', text: `the key is ${key}`, reason: `it holds ${key}` },
          ...Array.from({ length: 50 }, () => ({ ...refusal, text: 'x'.repeat(10_000) })),
        ],
      },
    ]);
    expect(notes).toHaveLength(3);
    expect(notes.join()).not.toContain(key);
    expect(notes.join().length).toBeLessThan(1500);
  });
});

describe('memories that no accepted operation named (L5)', () => {
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

  it('are asked for once more, told why under the aliases of the new batch, and paid for only these two times', async () => {
    await bench.remember('Ana pays order 1123', 'a riddle', 'Ben drinks milk');
    decider.propose_ = (batch) =>
      batch.notes.length > 0
        ? batch.memories.map(({ alias }) => ({ op: 'skip', memories: [alias], reason: 'told so' }))
        : [
            createOp(memoryAlias(batch, 'Ana pays order 1123'), 'n1', 'Ana pays order 9999'),
            createOp(memoryAlias(batch, 'Ben drinks milk'), 'n2', 'Ben drinks milk'),
          ];
    const report = await bench.consolidate({ engine });
    expect(decider.batches.map((batch) => batch.notes)).toEqual([
      [],
      [
        expect.stringMatching(/^m1: the last create "Ana pays order 9999" was refused by values-preserved: .*9999/),
        'm2 was left out of the last answer; name it, if only in a skip with a reason.',
      ],
    ]);
    expect(decider.paid).toHaveLength(2);
    expect(report.counts).toMatchObject({ memories: 3, rejected: { 'values-preserved': 1 } });
  });

  it('are never asked the same again: not in the batch, and not in any attempt after it', async () => {
    await bench.remember('a riddle');
    decider.propose_ = () => [];
    for (let attempt = 0; attempt < 5; attempt += 1) {
      await bench.consolidate({ engine });
      await passTheTime(bench);
    }
    expect(decider.paid, 'an answer that is kept would settle it no more than the first time').toHaveLength(10);
    expect(await memories(bench)).toMatchObject([{ state: 'parked', stateReason: 'no_progress' }]);
  });

  it('also not in a round that something else made necessary', async () => {
    const [id] = await bench.remember('a riddle');
    let round = 0;
    decider.propose_ = (batch) => {
      round += 1;
      return round === 1 ? [] : batch.memories.map((memory) => createOp(memory.alias, 'n1', memory.text));
    };
    let edits = 0;
    bench.races.at('apply:before-begin', async ({ memoryIds }) => {
      if (String(memoryIds) !== id || edits > 0) return;
      edits += 1;
      await bench.rows('update engram.memories set mentioned_at = now() where id = $1', [id]);
    });
    await bench.consolidate({ engine });
    expect(decider.batches.map((batch) => batch.notes.length)).toEqual([0, 1, 1]);
    expect(await states(bench)).toEqual({ 'a riddle': 'consolidated' });
  });

  it('elements that are no operations are kept as refused, counted, and cost the others nothing', async () => {
    await bench.remember('clear', 'garbled');
    decider.propose_ = (batch) =>
      batch.notes.length > 0
        ? batch.memories.map(({ alias }) => ({ op: 'skip', memories: [alias], reason: 'told so' }))
        : [createOp(memoryAlias(batch, 'clear'), 'n1', 'clear')];
    decider.malformed = [{ memories: ['m2'], reason: 'op is "merge"' }];
    bench.races.at('batch:proposed', () => {
      decider.malformed = [];
    });
    const report = await bench.consolidate({ engine });
    expect(report.counts).toMatchObject({ memories: 2, rejected: { 'malformed-op': 1 } });
    expect((await changes(bench)).filter((change) => change.status === 'rejected')).toMatchObject([
      { verdicts: [{ validator: 'malformed-op' }], reason: 'op is "merge"' },
    ]);
    expect(decider.batches[1]?.notes).toEqual(['m1: the last element was refused by malformed-op: op is "merge".']);
    expect(await states(bench)).toEqual({ clear: 'consolidated', garbled: 'consolidated' });
  });
});
