import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Batch, ProposedOp } from '../../src/consolidation/decider.ts';
import type { ConsolidationDeps } from '../../src/consolidation/dependencies.ts';
import type { ConsolidationEngine } from '../../src/consolidation/engine.ts';
import { EngramdError } from '../../src/telemetry/engramd-error.ts';
import type { RacepointName } from '../../src/telemetry/racepoints.ts';
import { AskingDecider } from './asking-decider.ts';
import { attemptOutcomes, changes, liveTexts, memories, observation, states } from './store-view.ts';
import { createOp, createWorkbench, observationAlias, type Workbench } from './workbench.ts';

class PulledPlug extends EngramdError {
  readonly code = 'PULLED_PLUG';
  override readonly retryable = true;
}

let bench: Workbench;
let decider: AskingDecider;
let engine: ConsolidationEngine;
/** One memory a batch. */
let single: ConsolidationEngine;
beforeAll(async () => {
  bench = await createWorkbench();
  decider = new AskingDecider(bench.database.db);
  const beside = (more: Partial<ConsolidationDeps>) => bench.engineBeside({ decider, ...more });
  engine = await beside({});
  single = await beside({ batchMemories: 1 });
});
beforeEach(async () => {
  await bench.freshBank();
  decider.reset();
});
afterAll(() => bench.close());

/** What a process leaves behind that dies the first time a batch with this text, or any, reaches the point. */
async function dieAt(
  point: RacepointName,
  options: { engine?: ConsolidationEngine; memoryId?: string; visit?: number } = {},
) {
  let visits = 0;
  bench.races.at(point, ({ memoryIds }) => {
    if (options.memoryId !== undefined && !String(memoryIds).includes(options.memoryId)) return;
    visits += 1;
    if (visits === (options.visit ?? 1)) throw new PulledPlug('the plug is pulled');
  });
  await bench.consolidate({ engine: options.engine ?? engine });
  bench.races.clear();
  // Nobody was left to close it.
  await bench.rows(
    `update engram.attempts set finished_at = null, outcome = null where bank_id = $1 and outcome = 'failed'`,
    [bench.bankId],
  );
}

const betweenAnswerAndApply: RacepointName[] = [
  'batch:proposed',
  'batch:validated',
  'batch:embedded',
  'batch:deduplicated',
  'apply:before-begin',
  'apply:before-commit',
];

describe('a crash between answer and apply (L19)', () => {
  it.each(betweenAnswerAndApply)('at %s: pays once, though new memories have arrived since', async (point) => {
    const ids = await bench.remember('Ana drinks tea', 'Ben drinks milk');
    await dieAt(point);
    expect(await attemptOutcomes(bench)).toEqual([null]);
    await bench.remember('Cy drinks water');
    const report = await bench.consolidate({ engine });
    expect(report).toMatchObject({ outcome: 'drained', counts: { memories: 3, batches: 2 } });
    expect(decider.paid).toEqual([['Ana drinks tea', 'Ben drinks milk'], ['Cy drinks water']]);
    expect(await liveTexts(bench)).toEqual(['Ana drinks tea', 'Ben drinks milk', 'Cy drinks water']);
    expect((await attemptOutcomes(bench)).sort()).toEqual(['applied', 'applied', 'crashed']);
    const applied = (await changes(bench)).filter((change) => change.status === 'applied');
    for (const id of ids) expect(applied.filter((change) => change.memoryIds.includes(id))).toHaveLength(1);
  });

  it('goes on although a neighbour was applied before the crash, and finds what that wrote', async () => {
    const shorter = 'the red bike of Ana stands in the yard';
    const longer = `${shorter} again`;
    const [first = '', second = ''] = await bench.remember(shorter, longer);
    decider.adjudicate_ = () => 'same';
    // Both are shown an empty scope; the second is applied, then the first is lost.
    const recalled = bench.races.hold('batch:recalled', ({ memoryIds }) => String(memoryIds) === first);
    const applied = bench.races.hold('apply:after-commit', ({ memoryIds }) => String(memoryIds) === second);
    bench.races.at('batch:proposed', async ({ memoryIds }) => {
      if (String(memoryIds) === first) throw new PulledPlug('the plug is pulled');
      await recalled.reached;
    });
    const slice = bench.consolidate({ engine: single });
    await recalled.reached;
    await applied.reached;
    applied.release();
    recalled.release();
    await slice;
    bench.races.clear();
    await bench.rows(
      `update engram.attempts set finished_at = null, outcome = null where bank_id = $1 and outcome = 'failed'`,
      [bench.bankId],
    );
    await bench.consolidate({ engine: single });
    expect(decider.paid).toHaveLength(2);
    expect(decider.pairs).toEqual([[longer, shorter]]);
    expect((await observation(bench, longer)).sources.map((source) => source.id)).toEqual([first, second]);
  });

  it('in the second round of a batch: the second answer is gone on with, and neither is paid for again', async () => {
    await bench.remember('clear', 'a riddle');
    decider.propose_ = (batch: Batch): ProposedOp[] =>
      batch.notes.length > 0
        ? batch.memories.map(skipped)
        : batch.memories.slice(0, 1).map((memory) => createOp(memory.alias, 'n1', memory.text));
    await dieAt('batch:proposed', { visit: 2 });
    expect(await states(bench)).toEqual({ clear: 'consolidated', 'a riddle': 'pending' });
    await bench.remember('new');
    await bench.consolidate({ engine });
    expect(decider.paid.slice(0, 2)).toEqual([['clear', 'a riddle'], ['a riddle']]);
    expect(decider.paid.slice(2).flat(), 'asked about what is new, and of that once more').toEqual(['new']);
    expect(await states(bench)).toEqual({ clear: 'consolidated', 'a riddle': 'consolidated', new: 'consolidated' });
  });

  it('a second time, after it went on from the answer: the answer is still good', async () => {
    await bench.remember('Ana drinks tea');
    await dieAt('batch:proposed');
    // A stop, this time: two crashes in a row would make it a suspect.
    const stop = new AbortController();
    bench.races.at('batch:proposed', () => {
      stop.abort(new Error('stop'));
      stop.signal.throwIfAborted();
    });
    await bench.consolidate({ engine, signal: stop.signal });
    bench.races.clear();
    await bench.remember('Ben drinks milk');
    await bench.consolidate({ engine });
    expect(decider.paid).toEqual([['Ana drinks tea'], ['Ben drinks milk']]);
  });

  it('twice in a row: its memories are suspects, and the answer with them', async () => {
    await bench.remember('Ana drinks tea', 'Ben drinks milk');
    await dieAt('batch:proposed');
    await dieAt('batch:proposed');
    await bench.consolidate({ engine });
    expect(decider.batches.map((batch) => batch.memories.length)).toEqual([2, 2, 1, 1]);
    expect(decider.options.at(-1)?.answeredBefore).toBeUndefined();
  });
});

describe('a batch that died runs again whole where', () => {
  async function diedBesideTea() {
    await bench.remember('Ana drinks tea');
    await bench.consolidate({ engine });
    const ids = await bench.remember('Ana drinks green tea', 'Ben drinks milk');
    await dieAt('batch:proposed');
    decider.paid.length = 0;
    return ids;
  }

  it('a memory of it was edited', async () => {
    const [id] = await diedBesideTea();
    await bench.rows('update engram.memories set text = $2 where id = $1', [id, 'Ana drinks mate']);
    await bench.consolidate({ engine });
    expect(decider.paid).toEqual([['Ana drinks mate', 'Ben drinks milk']]);
  });

  it('a memory of it was deleted', async () => {
    const [id] = await diedBesideTea();
    await bench.rows('delete from engram.memories where id = $1', [id]);
    await bench.consolidate({ engine });
    expect(decider.paid).toEqual([['Ben drinks milk']]);
  });

  it('an observation that it was shown has moved', async () => {
    await diedBesideTea();
    await bench.rows(`update engram.observations set version = version + 1 where bank_id = $1`, [bench.bankId]);
    decider.propose_ = (batch) => [
      { op: 'reinforce', target: observationAlias(batch, 'Ana drinks tea'), memories: ['m1', 'm2'], reason: 'same' },
    ];
    await bench.consolidate({ engine });
    expect(decider.options.at(-1)?.answeredBefore).toBeUndefined();
  });

  it('its answer was never kept', async () => {
    await diedBesideTea();
    await bench.rows('delete from engram.model_answers where bank_id = $1', [bench.bankId]);
    await bench.consolidate({ engine });
    expect(decider.paid).toEqual([['Ana drinks green tea', 'Ben drinks milk']]);
    expect((await memories(bench)).every((memory) => memory.state === 'consolidated')).toBe(true);
  });
});

describe('an embedder that is down between answer and apply', () => {
  it('defers, and the answer is gone on with when it is back, beside new memories', async () => {
    await bench.remember('Ana drinks tea');
    decider.propose_ = (batch) =>
      batch.memories.map((memory) => createOp(memory.alias, 'n1', `${memory.text}, she says`));
    let isDown = true;
    bench.embedder.onEmbed = ({ purpose }) => {
      if (isDown && purpose === 'observation') throw new PulledPlug('503');
    };
    expect((await bench.consolidate({ engine })).outcome).toBe('deferred');
    expect(await memories(bench)).toMatchObject([{ state: 'pending', attempts: 0, isDue: true }]);
    isDown = false;
    await bench.remember('Ben drinks milk');
    await bench.consolidate({ engine });
    expect(decider.paid).toEqual([['Ana drinks tea'], ['Ben drinks milk']]);
    expect(await liveTexts(bench)).toEqual(['Ana drinks tea, she says', 'Ben drinks milk, she says']);
  });
});

function skipped(memory: { readonly alias: string }): ProposedOp {
  return { op: 'skip', memories: [memory.alias], reason: 'says nothing' };
}
