import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Batch } from '../../src/consolidation/decider.ts';
import type { ConsolidationEngine } from '../../src/consolidation/engine.ts';
import { BudgetSpentError, ModelContentError, ModelUnavailableError } from '../../src/models/provider-errors.ts';
import { dueWorkOf } from '../../src/store/due-work.ts';
import { AskingDecider } from './asking-decider.ts';
import { attemptOutcomes, liveTexts, memories, states } from './store-view.ts';
import { createOp, createWorkbench, type Workbench } from './workbench.ts';

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

const noon = new Date('2030-03-01T12:00:00Z');
const inMinutes = (minutes: number) => new Date(noon.getTime() + minutes * 60_000);
const breakerOpen = (minutes: number) =>
  new ModelUnavailableError('503', { errorClass: 'transient', retryAt: inMinutes(minutes) });
const content = (kind: 'truncated' | 'refused' = 'refused') => new ModelContentError(kind, kind, { sentAtMs: 0 });

const createAll = (batch: Batch) =>
  batch.memories.map((memory, index) => createOp(memory.alias, `n${index + 1}`, memory.text));

async function attemptsWithRequest(): Promise<number> {
  const rows = await bench.rows('select from engram.attempts where bank_id = $1 and request_hash is not null', [
    bench.bankId,
  ]);
  return rows.length;
}

describe('a decider that is not ready', () => {
  it('defers the slice until then, before anything is looked up, recorded or embedded', async () => {
    await bench.remember({ text: 'one', unembedded: true });
    await bench.rows(`update engram.memories set mentioned_at = now() where bank_id = $1`, [bench.bankId]);
    decider.ready = inMinutes(5);
    const embedded = bench.embedder.calls.length;
    const report = await bench.consolidate({ engine });
    expect(report).toMatchObject({ outcome: 'deferred', retryAt: inMinutes(5), counts: { batches: 0 } });
    expect(decider.batches).toEqual([]);
    expect(bench.embedder.calls).toHaveLength(embedded);
    expect(await attemptOutcomes(bench)).toEqual([]);
    expect(await bench.rows('select from engram.runs where bank_id = $1', [bench.bankId])).toEqual([]);
    expect(await memories(bench)).toMatchObject([{ state: 'pending', attempts: 0, isDue: true }]);
  });

  it('rewrites no observation either', async () => {
    const [id] = await bench.remember('Ana drinks tea');
    await bench.consolidate({ engine });
    await bench.rows('update engram.memories set text = $2 where id = $1', [id, 'Ana drinks mate']);
    decider.ready = inMinutes(5);
    decider.options.length = 0;
    expect(await bench.consolidate({ engine })).toMatchObject({ outcome: 'deferred', retryAt: inMinutes(5) });
    expect(decider.options).toEqual([]);
  });

  it('found out in the middle: what is in flight finishes, and no further page is selected', async () => {
    await bench.remember(...Array.from({ length: 12 }, (_, index) => `Shelf ${index} holds box ${index}`));
    const one = await bench.engineBeside({ decider, concurrency: 1, batchMemories: 1 });
    decider.propose_ = (batch) => {
      decider.ready = inMinutes(1);
      return createAll(batch);
    };
    const report = await bench.consolidate({ engine: one });
    expect(report).toMatchObject({ outcome: 'deferred', retryAt: inMinutes(1) });
    expect(report.counts.memories).toBeGreaterThan(0);
    // Four may be under way for one call at a time.
    expect(report.counts.memories).toBeLessThanOrEqual(4);
  });
});

describe('an error that says when to come back', () => {
  it.each([
    ['the breaker is open', breakerOpen(3)],
    ['the budget is spent', new BudgetSpentError('0.05 USD of 0.05 are spent', inMinutes(3))],
  ])('%s: the slice is deferred until then, no attempt is counted, nothing is parked', async (_, error) => {
    await bench.remember('one', 'two');
    decider.propose_ = () => {
      throw error;
    };
    expect(await bench.consolidate({ engine })).toMatchObject({ outcome: 'deferred', retryAt: inMinutes(3) });
    expect(await memories(bench)).toMatchObject([
      { state: 'pending', attempts: 0, isDue: true },
      { state: 'pending', attempts: 0, isDue: true },
    ]);
    expect(await attemptOutcomes(bench)).toEqual(['failed']);
  });

  it('of several batches the earliest counts: the others find out then, for nothing', async () => {
    await bench.remember('one', 'two', 'three');
    const single = await bench.engineBeside({ decider, concurrency: 3, batchMemories: 1 });
    const minutes: Record<string, number> = { one: 30, two: 2, three: 60 };
    decider.propose_ = (batch) => {
      throw breakerOpen(minutes[batch.memories[0]?.text ?? ''] ?? 0);
    };
    const all = Promise.withResolvers<void>();
    let recalled = 0;
    bench.races.at('batch:recalled', () => {
      recalled += 1;
      if (recalled === 3) all.resolve();
      return all.promise;
    });
    expect(await bench.consolidate({ engine: single })).toMatchObject({ outcome: 'deferred', retryAt: inMinutes(2) });
  });

  it('in adjudication defers as well, and the answer that was paid for is kept for then', async () => {
    const text = 'the red bike of Ana stands in the yard';
    await bench.remember(text);
    await bench.consolidate({ engine });
    decider.paid.length = 0;
    await bench.remember(`${text} now`);
    decider.propose_ = (batch) => batch.memories.map((memory) => createOp(memory.alias, 'n1', `${text} indeed`));
    decider.limits = { ...decider.limits, observationTokens: 0 };
    decider.adjudicate_ = () => {
      throw breakerOpen(1);
    };
    expect(await bench.consolidate({ engine })).toMatchObject({ outcome: 'deferred', retryAt: inMinutes(1) });
    expect(await attemptsWithRequest()).toBe(2);
    decider.adjudicate_ = () => 'same';
    await bench.consolidate({ engine });
    expect(decider.paid).toEqual([[`${text} now`]]);
    expect(await liveTexts(bench)).toEqual([text]);
  });

  it('while a batch is being halved: nothing more is sent', async () => {
    await bench.remember('one', 'two', 'three', 'poison');
    decider.propose_ = (batch) => {
      if (batch.memories.length === 4) throw content('truncated');
      throw breakerOpen(1);
    };
    expect(await bench.consolidate({ engine })).toMatchObject({ outcome: 'deferred', retryAt: inMinutes(1) });
    expect(decider.batches.map((batch) => batch.memories.length)).toEqual([4, 2]);
    expect((await memories(bench)).every((memory) => memory.attempts === 0 && memory.isDue)).toBe(true);
  });
});

describe('an answer that was cut off', () => {
  it('has its batch halved, never sent again as it was, and nobody is blamed', async () => {
    await bench.remember('one', 'two', 'three', 'four');
    decider.propose_ = (batch) => {
      if (batch.memories.length > 1) throw content('truncated');
      return createAll(batch);
    };
    expect(await bench.consolidate({ engine })).toMatchObject({ outcome: 'drained', counts: { memories: 4 } });
    expect(decider.batches.map((batch) => batch.memories.length)).toEqual([4, 2, 1, 1, 2, 1, 1]);
    expect(decider.blames_).toEqual([]);
    expect(await attemptsWithRequest(), 'no batch goes on from a request that failed by its content').toBe(4);
  });

  it('past the end of the slice’s time: the halves are finished, or each slice would pay for the whole again', async () => {
    let nowMs = 0;
    const clock = { now: () => noon, monotonicMs: () => nowMs, sleep: async () => undefined };
    const timed = await bench.engineBeside({ decider, clock });
    await bench.remember('one', 'two', 'three', 'four', { text: 'other', tags: ['elsewhere'] });
    decider.propose_ = async (batch) => {
      if (batch.memories.length <= 2) return createAll(batch);
      // The slice looks at the clock when another batch of it has ended.
      nowMs = 61_000;
      while ((await states(bench)).other === 'pending') await bench.rows('select 1');
      for (let turn = 0; turn < 20; turn += 1) await bench.rows('select 1');
      throw content('truncated');
    };
    expect(await bench.consolidate({ engine: timed })).toMatchObject({ outcome: 'time_up', counts: { memories: 5 } });
  });
});

describe('a memory alone that gets nothing usable (L8)', () => {
  const poisoned = (batch: Batch) => {
    if (batch.memories.some((memory) => memory.text === 'poison')) throw content();
    return createAll(batch);
  };

  it('is found by halving while its neighbours go on, and is blamed where the model answered about others', async () => {
    await bench.remember('one', 'poison', 'three');
    decider.propose_ = poisoned;
    expect(await bench.consolidate({ engine })).toMatchObject({ outcome: 'drained', counts: { memories: 2 } });
    expect(decider.blames_).toEqual([content()]);
    expect((await memories(bench))[1]).toMatchObject({ state: 'pending', attempts: 1, isDue: false });
  });

  it('rests without being counted where the model is to blame, so that the slice comes to an end', async () => {
    await bench.remember('poison');
    decider.propose_ = poisoned;
    decider.blamed = 'model';
    for (let slice = 0; slice < 6; slice += 1) {
      expect(await bench.consolidate({ engine })).toMatchObject({ outcome: 'drained' });
      expect(await memories(bench)).toMatchObject([{ state: 'pending', attempts: 0, isDue: false }]);
      const work = await dueWorkOf(bench.database.db, bench.bankId, 500);
      const restMs = (work?.nextAttemptAt?.getTime() ?? 0) - (work?.now.getTime() ?? 0);
      expect(restMs, 'the bank has a job again then').toBeGreaterThan(60_000);
      await bench.rows(`update engram.memories set next_attempt_at = now() where bank_id = $1`, [bench.bankId]);
    }
    expect(decider.batches).toHaveLength(6);
  });
});

describe('an observation that a model writes again', () => {
  async function edited(...texts: readonly string[]) {
    const ids = await bench.remember(...texts);
    await bench.consolidate({ engine });
    await bench.rows(`update engram.memories set text = text || ' now' where bank_id = $1`, [bench.bankId]);
    decider.options.length = 0;
    return ids;
  }
  /** The next slice dies while the model rewrites. */
  async function dieRewriting() {
    const { rewrite_ } = decider;
    decider.rewrite_ = () => {
      throw breakerOpen(0);
    };
    await bench.consolidate({ engine });
    decider.rewrite_ = rewrite_;
    // Nobody was left to close them.
    await bench.rows(
      `update engram.attempts set finished_at = null, outcome = null where bank_id = $1 and outcome = 'failed'`,
      [bench.bankId],
    );
  }

  it('defers with the provider, stays due, and is not blamed', async () => {
    await edited('Ana drinks tea');
    decider.rewrite_ = () => {
      throw breakerOpen(7);
    };
    expect(await bench.consolidate({ engine })).toMatchObject({ outcome: 'deferred', retryAt: inMinutes(7) });
    expect(decider.blames_).toEqual([]);
    expect(await dueWorkOf(bench.database.db, bench.bankId, 500)).toMatchObject({ replans: 1 });
  });

  it('is given an hour where it cannot be written, and the model is told of it', async () => {
    await edited('Ana drinks tea', 'the box is blue');
    decider.rewrite_ = (text, sources) => {
      if (text === 'Ana drinks tea') throw content();
      return sources[0] ?? text;
    };
    await bench.consolidate({ engine });
    expect(decider.blames_).toEqual([content()]);
    expect(await liveTexts(bench)).toContain('the box is blue now');
    expect(await dueWorkOf(bench.database.db, bench.bankId, 500)).toMatchObject({ replans: 0 });
  });

  it('beside others: a model is not waited for one observation at a time', async () => {
    await edited('Ana drinks tea', 'the box is blue', 'seven cats sleep');
    let together = 0;
    const all = Promise.withResolvers<void>();
    decider.rewrite_ = async (text, sources) => {
      together += 1;
      if (together === 3) all.resolve();
      await all.promise;
      return sources[0] ?? text;
    };
    expect((await bench.consolidate({ engine })).counts.ops).toEqual({ revise: 3 });
  });

  it('crashes the process: after two deaths it is written with nothing else in flight, after two more it rests a day', async () => {
    await edited('poison', 'the box is blue');
    const company: number[] = [];
    let rewriting = 0;
    decider.rewrite_ = async (text, sources) => {
      rewriting += 1;
      company.push(rewriting);
      // Time enough for another to come, if nobody kept it.
      for (let turn = 0; turn < 50; turn += 1) await bench.rows('select 1');
      rewriting -= 1;
      if (text === 'poison') throw breakerOpen(0);
      return sources[0] ?? text;
    };
    const die = async () => {
      await bench.consolidate({ engine });
      await bench.rows(
        `update engram.attempts set finished_at = null, outcome = null
         where bank_id = $1 and outcome = 'failed' and shown ? 'replan'`,
        [bench.bankId],
      );
    };
    await die();
    await die();
    company.length = 0;
    await die();
    await die();
    expect(company, 'alone').toEqual([1, 1]);
    await bench.consolidate({ engine });
    expect(company, 'not asked again').toEqual([1, 1]);
    const work = await dueWorkOf(bench.database.db, bench.bankId, 500);
    expect(work).toMatchObject({ replans: 0 });
    const restMs = (work?.nextAttemptAt?.getTime() ?? 0) - (work?.now.getTime() ?? 0);
    expect(Math.round(restMs / 3_600_000)).toBe(24);
    expect((await states(bench))['the box is blue now']).toBe('consolidated');
  });

  it('once is no proof: the next slice writes it like any other', async () => {
    await edited('Ana drinks tea');
    await dieRewriting();
    decider.rewrite_ = (text, sources) => sources[0] ?? text;
    expect((await bench.consolidate({ engine })).counts.ops).toEqual({ revise: 1 });
    expect(await attemptOutcomes(bench)).toEqual(['applied', 'crashed', 'applied']);
  });

  it('that crashed over its old evidence is judged anew over a new one', async () => {
    const [id] = await edited('poison');
    for (let death = 0; death < 4; death += 1) await dieRewriting();
    await bench.rows('update engram.memories set text = $2 where id = $1', [id, 'medicine']);
    decider.rewrite_ = (text, sources) => sources[0] ?? text;
    expect((await bench.consolidate({ engine })).counts.ops).toEqual({ revise: 1 });
    expect(await liveTexts(bench)).toEqual(['medicine']);
  });
});
