import fc from 'fast-check';
import { v7 as uuid } from 'uuid';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createRecentTexts } from '../../src/consolidation/recent-texts.ts';
import { applyOps, memoryRef, newText } from './apply-directly.ts';
import { liveTexts, observation } from './store-view.ts';
import { createWorkbench, type Workbench } from './workbench.ts';

const text = (name: string) => ({ id: name, text: name, embedding: new Float32Array(2) });

describe('what a slice has written', () => {
  it('is told between two epochs exactly where it wrote each of them, and not at all else', () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.integer({ min: 1, max: 30 }), { maxLength: 30 }),
        fc.integer({ min: 0, max: 30 }),
        fc.integer({ min: 0, max: 30 }),
        (epochs, after, upTo) => {
          const recent = createRecentTexts();
          for (const epoch of epochs) recent.wrote('a scope', epoch, [text(`at ${epoch}`)]);
          const between = Array.from({ length: Math.max(0, upTo - after) }, (_, index) => after + 1 + index);
          const knowsAll = between.every((epoch) => epochs.includes(epoch));
          const told = recent.since('a scope', after, upTo)?.map((one) => one.id) ?? null;
          expect(told).toEqual(knowsAll ? between.map((epoch) => `at ${epoch}`) : null);
        },
      ),
    );
  });

  it('is of one scope', () => {
    const recent = createRecentTexts();
    recent.wrote('a scope', 1, [text('x')]);
    expect(recent.since('another', 0, 1)).toBeNull();
  });

  it('is forgotten from the oldest on, and then it says that it does not know', () => {
    const recent = createRecentTexts();
    for (let epoch = 1; epoch <= 5000; epoch += 1) recent.wrote('a scope', epoch, [text(`at ${epoch}`)]);
    expect(recent.since('a scope', 4000, 5000)).toHaveLength(1000);
    expect(recent.since('a scope', 500, 1000)).toBeNull();
    expect(recent.since('a scope', 0, 5000)).toBeNull();
  });
});

describe('a text that somebody else wrote between two of the slice’s own', () => {
  let bench: Workbench;
  beforeAll(async () => {
    bench = await createWorkbench();
  });
  beforeEach(() => bench.freshBank());
  afterAll(() => bench.close());

  it('is found all the same (L3)', async () => {
    const single = await bench.engineBeside({ concurrency: 3, batchMemories: 1 });
    const [spare = ''] = await bench.remember('Somebody else');
    await bench.rows(`update engram.memories set next_attempt_at = now() + interval '1 day' where id = $1`, [spare]);
    const [first = '', second = '', third = ''] = await bench.remember('a cat', 'a dog', 'Ana drinks tea');
    // The third looked before the others wrote; between them somebody else writes what it is going to say.
    const thirdReady = bench.races.hold('apply:before-begin', ({ memoryIds }) => String(memoryIds) === third);
    const firstDone = bench.races.hold('apply:after-commit', ({ memoryIds }) => String(memoryIds) === first);
    const secondReady = bench.races.hold('apply:before-begin', ({ memoryIds }) => String(memoryIds) === second);
    const secondDone = bench.races.hold('apply:after-commit', ({ memoryIds }) => String(memoryIds) === second);
    const slice = bench.consolidate({ engine: single });
    await Promise.all([thirdReady.reached, firstDone.reached, secondReady.reached]);
    await applyOps(bench, [
      {
        op: 'create',
        id: uuid(),
        content: newText('Ana drinks tea'),
        memories: [memoryRef(spare)],
        validFrom: null,
        supersededBy: null,
        reason: 'new',
      },
    ]);
    firstDone.release();
    secondReady.release();
    await secondDone.reached;
    thirdReady.release();
    secondDone.release();
    await slice;
    expect(await liveTexts(bench)).toEqual(['Ana drinks tea', 'a cat', 'a dog']);
    expect((await observation(bench, 'Ana drinks tea')).sources.map((source) => source.id)).toEqual([spare, third]);
  });
});
