import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { SweepReport, SweepRequest } from '../../src/consolidation/engine.ts';
import type { StepContext } from '../../src/sleep/step.ts';
import { createDedupStep } from '../../src/sleep/steps/dedup-step.ts';
import { encodeRealArray } from '../../src/store/vectors/vector-bytes.ts';
import { silentLog } from '../../src/telemetry/log.ts';
import { observe } from '../consolidation/decide.ts';
import { changesHaveEnded, fresh, noLists, sweep, warm } from '../consolidation/sweep-bench.ts';
import { createWorkbench, type Workbench } from '../consolidation/workbench.ts';
import { wordVector } from '../support/fake-embedder.ts';
import { stepContext } from './step-context.ts';

let bench: Workbench;
beforeAll(async () => {
  bench = await createWorkbench();
});
afterAll(() => bench.close());

const quiet: SweepReport = { outcome: 'done', retryAt: null, rows: 0, pairs: 0, folds: 0, proposed: 0, missed: 0 };
const worked: SweepReport = { ...quiet, rows: 5, pairs: 4, folds: 1 };

/** The step with an engine that answers as it is told; `turns` lists the banks in the order of their turns. */
function stepWith(answer: (bankId: string, turn: number, request: SweepRequest) => SweepReport | Promise<SweepReport>) {
  const turns: string[] = [];
  const step = createDedupStep({
    db: bench.database.db,
    neighbours: noLists,
    log: silentLog,
    engine: {
      sweepDuplicates: async (request) => {
        turns.push(request.bankId);
        return answer(request.bankId, turns.filter((id) => id === request.bankId).length, request);
      },
    },
  });
  return { turns, run: (context: StepContext = stepContext()) => step.run(context) };
}

describe('banks take turns', () => {
  beforeEach(async () => {
    await bench.rows('delete from engram.banks');
    await change('a', 'b', 'c');
  });

  /** Banks with something to look at. */
  async function change(...banks: readonly string[]): Promise<void> {
    await bench.rows('insert into engram.banks (id) select * from unnest($1::text[])', [banks]);
    await bench.rows(
      `insert into engram.observations (bank_id, id, text, tags, embedding, embedding_model, scope_epoch)
       select b, gen_random_uuid(), 'Ana drinks tea', '{}', $2::real[], $3, 1 from unnest($1::text[]) as b`,
      [banks, encodeRealArray(wordVector('Ana drinks tea')), bench.embedder.model.id],
    );
    await changesHaveEnded(bench);
  }

  it('one with more to look at than a turn comes again when the others had theirs', async () => {
    const { turns, run } = stepWith((bank, turn) =>
      bank === 'a' && turn < 3 ? { ...worked, outcome: 'deferred' } : worked,
    );
    const context = stepContext();
    expect(await run(context)).toEqual({ kind: 'done', note: '5 folded, 25 observations looked at' });
    expect(turns).toEqual(['a', 'b', 'c', 'a', 'a']);
    expect(context.saved.at(-1)).toEqual({ after: 'c', unfinished: [], banks: 3, rows: 25, folds: 5, proposed: 0 });
  });

  it('a fold that waits for a person is told as proposed, not as done', async () => {
    const proposals = { ...worked, folds: 0, proposed: 1 };
    const some = stepWith((bank) => (bank === 'a' ? worked : proposals));
    expect(await some.run()).toEqual({ kind: 'done', note: '1 folded, 2 proposed, 15 observations looked at' });
    const all = stepWith(() => proposals);
    expect(await all.run()).toEqual({ kind: 'done', note: '3 proposed, 15 observations looked at' });
  });

  it('an interrupted step goes on at the bank where it was, and a bank that needs another turn has it', async () => {
    const stop = new AbortController();
    const first = stepWith((bank, turn) => {
      if (bank === 'a' && turn === 1) return { ...worked, outcome: 'deferred' };
      stop.abort();
      return { ...worked, outcome: 'deferred' };
    });
    const context = stepContext({ signal: stop.signal });
    expect(await first.run(context)).toEqual({ kind: 'deferred' });
    expect(first.turns).toEqual(['a', 'b']);

    const second = stepWith(() => worked);
    const { saved } = context;
    await second.run(stepContext({ checkpoint: saved.at(-1) ?? null }));
    expect(second.turns).toEqual(['b', 'c', 'a']);
  });

  it('an interruption without headway is not kept as if there had been some', async () => {
    const stop = new AbortController();
    const { run } = stepWith(() => {
      stop.abort();
      return { ...quiet, outcome: 'deferred', pairs: 7 };
    });
    const context = stepContext({ signal: stop.signal });
    expect(await run(context)).toEqual({ kind: 'deferred' });
    expect(context.saved).toEqual([]);
  });

  it('a provider that is out of order ends the step, which is no failure, and says until when', async () => {
    const retryAt = new Date('2026-03-02T00:00:00Z');
    const { turns, run } = stepWith((bank) => (bank === 'a' ? worked : { ...quiet, outcome: 'deferred', retryAt }));
    expect(await run()).toEqual({
      kind: 'done',
      note: '1 folded, 5 observations looked at; the rest waits: nothing can be decided before 2026-03-02T00:00:00.000Z',
    });
    expect(turns).toEqual(['a', 'b']);
  });

  it('a fold that missed is left to the next night: another turn would begin at the same place for ever', async () => {
    const { turns, run } = stepWith(() => ({ ...worked, outcome: 'deferred', missed: 1 }));
    await run();
    expect(turns).toEqual(['a', 'b', 'c']);
  });

  it('one bank that fails does not keep the others from theirs; the step fails after them', async () => {
    const { turns, run } = stepWith((bank) => {
      if (bank === 'a') throw new Error('broken');
      return worked;
    });
    await expect(run()).rejects.toThrow('broken');
    expect(turns).toEqual(['a', 'b', 'c']);
  });

  it('one in which nothing changed has none', async () => {
    const { turns, run } = stepWith((bank) => (bank === 'b' ? worked : quiet));
    await bench.rows("delete from engram.observations where bank_id = 'b'");
    await run();
    expect(turns).toEqual(['a', 'c']);
  });

  it('three that fail one after the other are not to blame, and the fourth is not tried', async () => {
    await change('d');
    const { turns, run } = stepWith(() => {
      throw new Error('the lists cannot be built');
    });
    await expect(run()).rejects.toThrow('the lists cannot be built');
    expect(turns).toEqual(['a', 'b', 'c']);
  });
});

it('a night over an unchanged store judges no pair and asks nobody', async () => {
  await bench.rows('delete from engram.banks');
  await bench.freshBank();
  await observe(bench, warm, fresh);
  bench.decider.adjudicate_ = () => 'same';
  const step = createDedupStep({ db: bench.database.db, engine: bench.engine, neighbours: noLists, log: silentLog });
  // When nothing older than the bank's last change is under way, as the sweep itself waits for.
  await sweep(bench);
  await changesHaveEnded(bench);
  bench.decider.pairs = [];
  const before = await bench.rows('select to_jsonb(o) from engram.observations o where bank_id = $1', [bench.bankId]);
  expect(await step.run(stepContext())).toEqual({ kind: 'done', note: 'nothing had changed' });
  expect(bench.decider.pairs).toEqual([]);
  expect(await bench.rows('select to_jsonb(o) from engram.observations o where bank_id = $1', [bench.bankId])).toEqual(
    before,
  );
});
