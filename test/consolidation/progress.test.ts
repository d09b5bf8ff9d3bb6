import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Batch, ProposedOp } from '../../src/consolidation/decider.ts';
import { EngramdError } from '../../src/telemetry/engramd-error.ts';
import { attemptOutcomes, eventKinds, liveTexts, memories, passTheTime, states } from './store-view.ts';
import { createOp, createWorkbench, type Workbench } from './workbench.ts';

let bench: Workbench;
beforeAll(async () => {
  bench = await createWorkbench();
});
beforeEach(() => bench.freshBank());
afterAll(() => bench.close());

class ProviderDown extends EngramdError {
  readonly code = 'PROVIDER_DOWN';
  override readonly retryable = true;
}

/** Creates each, but for those with this word in them, about which it says nothing. */
function silentAbout(word: string) {
  return (batch: Batch): ProposedOp[] =>
    batch.memories
      .filter((memory) => !memory.text.includes(word))
      .map((memory, index) => createOp(memory.alias, `n${index + 1}`, memory.text));
}

/** Minutes until a memory is due. */
async function minutesLeft(text: string): Promise<number> {
  const [row] = await bench.rows<{ minutes: number }>(
    `select extract(epoch from next_attempt_at - now())::float8 / 60 as minutes from engram.memories
     where bank_id = $1 and text = $2`,
    [bench.bankId, text],
  );
  return row?.minutes ?? 0;
}

describe('a memory that the answer leaves out (L5)', () => {
  it('is asked for once more, alone, then waits 5 min × 4ⁿ; the others are applied', async () => {
    await bench.remember('clear', 'a riddle', 'plain');
    bench.decider.propose_ = silentAbout('riddle');
    const report = await bench.consolidate();
    expect(bench.decider.batches.map((batch) => batch.memories.map((memory) => memory.text))).toEqual([
      ['clear', 'a riddle', 'plain'],
      ['a riddle'],
    ]);
    expect(report).toMatchObject({ outcome: 'drained', counts: { memories: 2, batches: 1 } });
    expect(await liveTexts(bench)).toEqual(['clear', 'plain']);
    expect((await memories(bench))[1]).toMatchObject({ state: 'pending', attempts: 1, isDue: false });
    // The jitter of the workbench is a half: three quarters of the pause.
    expect(await minutesLeft('a riddle')).toBeCloseTo(3.75, 0);
  });

  it('and named the second time is applied without blame', async () => {
    await bench.remember('clear', 'a riddle');
    bench.decider.propose_ = (batch) => silentAbout(batch.memories.length > 1 ? 'riddle' : 'nothing')(batch);
    await bench.consolidate();
    expect(await states(bench)).toEqual({ clear: 'consolidated', 'a riddle': 'consolidated' });
    expect((await memories(bench))[1]).toMatchObject({ attempts: 0 });
  });

  it('is parked after five attempts, with a reason and an event, and is no work any more', async () => {
    await bench.remember('a riddle');
    bench.decider.propose_ = silentAbout('riddle');
    const minutes: number[] = [];
    for (let attempt = 1; attempt <= 5; attempt += 1) {
      await bench.consolidate();
      if (attempt < 5) minutes.push(await minutesLeft('a riddle'));
      await passTheTime(bench);
    }
    expect(minutes.map((left) => Math.round(left))).toEqual([4, 15, 60, 240]);
    expect(await memories(bench)).toMatchObject([{ state: 'parked', stateReason: 'no_progress', attempts: 5 }]);
    expect((await eventKinds(bench)).filter((kind) => kind === 'memory.parked')).toHaveLength(1);
    const asked = bench.decider.batches.length;
    expect((await bench.consolidate()).counts.batches).toBe(0);
    expect(bench.decider.batches.length).toBe(asked);
  });

  it('edited meanwhile starts afresh: the blame was for the old text', async () => {
    const [id] = await bench.remember('a riddle');
    bench.decider.propose_ = silentAbout('riddle');
    await bench.consolidate();
    await bench.rows('update engram.memories set text = $2 where id = $1', [id, 'an answer']);
    expect(await memories(bench)).toMatchObject([{ attempts: 0, isDue: true }]);
    await bench.consolidate();
    expect(await states(bench)).toEqual({ 'an answer': 'consolidated' });
  });
});

describe('a decider that fails over a memory', () => {
  const throwsOver = (word: string) => (batch: Batch) => {
    if (batch.memories.some((memory) => memory.text.includes(word))) throw new Error('cannot read this');
    return silentAbout(word)(batch);
  };

  it('has its batch halved until the one is alone: only that one waits (L8)', async () => {
    await bench.remember('one', 'two', 'three', 'poison', 'five', 'six', 'seven', 'eight');
    bench.decider.propose_ = throwsOver('poison');
    const report = await bench.consolidate();
    expect(bench.decider.batches.map((batch) => batch.memories.length)).toEqual([8, 4, 2, 2, 1, 1, 4]);
    expect(report.counts.memories).toBe(7);
    const rows = await memories(bench);
    expect(rows.filter((row) => row.state === 'consolidated')).toHaveLength(7);
    expect(rows.find((row) => row.text === 'poison')).toMatchObject({ state: 'pending', attempts: 1, isDue: false });
  });

  it('does not keep a new memory of the bank waiting for those that wait', async () => {
    await bench.remember('poison');
    bench.decider.propose_ = throwsOver('poison');
    await bench.consolidate();
    await bench.remember('new');
    expect((await bench.consolidate()).counts.memories).toBe(1);
    expect(await states(bench)).toEqual({ poison: 'pending', new: 'consolidated' });
    expect(
      bench.decider.batches.at(-1)?.memories.map((memory) => memory.text),
      'only due rows are work',
    ).toEqual(['new']);
  });
});

describe('what is no memory’s fault', () => {
  it('an outage of the provider defers the slice and burns no attempt (L8)', async () => {
    await bench.remember('one', 'two');
    bench.decider.propose_ = () => {
      throw new ProviderDown('503');
    };
    const before = Date.now();
    const report = await bench.consolidate();
    expect(report).toMatchObject({ outcome: 'deferred', counts: { memories: 0 } });
    // 30 s, half as much again by the workbench's chance.
    expect((report.retryAt?.getTime() ?? 0) - before).toBeGreaterThanOrEqual(45_000);
    expect(await memories(bench)).toMatchObject([
      { state: 'pending', attempts: 0, isDue: true },
      { state: 'pending', attempts: 0, isDue: true },
    ]);
    expect(await attemptOutcomes(bench)).toEqual(['failed']);
  });

  it('an outage of the embedder is one', async () => {
    await bench.remember({ text: 'one', unembedded: true });
    bench.embedder.onEmbed = () => {
      throw new ProviderDown('503');
    };
    expect((await bench.consolidate()).outcome).toBe('deferred');
    expect(await memories(bench)).toMatchObject([{ state: 'pending', attempts: 0, isDue: true }]);
  });

  it('an outage while others are in flight: those finish, and nothing new is begun', async () => {
    const ids = await bench.remember('one', 'two', 'three', 'four');
    const engine = await bench.engineBeside({ concurrency: 2, batchMemories: 1 });
    const first = bench.races.hold('batch:proposed', ({ memoryIds }) => String(memoryIds) === ids[0]);
    bench.decider.propose_ = (batch) => {
      if (batch.memories[0]?.text === 'two') throw new ProviderDown('503');
      return silentAbout('nothing')(batch);
    };
    const slice = bench.consolidate({ engine });
    await first.reached;
    first.release();
    expect(await slice).toMatchObject({ outcome: 'deferred' });
    const rows = await states(bench);
    expect(rows.one).toBe('consolidated');
    expect(rows.two).toBe('pending');
    expect((await attemptOutcomes(bench)).includes(null)).toBe(false);
  });

  it('a lock that somebody else does not give up', async () => {
    await bench.remember('one');
    bench.races.at('apply:locked', () => {
      throw Object.assign(new Error('canceling statement due to lock timeout'), { code: '55P03' });
    });
    expect((await bench.consolidate()).outcome).toBe('deferred');
    expect(await memories(bench)).toMatchObject([{ state: 'pending', attempts: 0, isDue: true }]);
  });

  it('a slice that is told to stop: its memories are handed back as they were', async () => {
    await bench.remember('one', 'two');
    const controller = new AbortController();
    bench.decider.propose_ = () => {
      controller.abort(new Error('stop'));
      throw controller.signal.reason;
    };
    const report = await bench.consolidate({ signal: controller.signal });
    expect(report).toMatchObject({ outcome: 'aborted', retryAt: null, counts: { memories: 0 } });
    expect(await memories(bench)).toMatchObject([
      { state: 'pending', attempts: 0, isDue: true },
      { state: 'pending', attempts: 0, isDue: true },
    ]);
    expect(await attemptOutcomes(bench)).toEqual(['handed_back']);
    expect(bench.logged).toEqual([]);
  });

  it('a slice that is told to stop before it starts does nothing', async () => {
    await bench.remember('one');
    expect(await bench.consolidate({ signal: AbortSignal.abort() })).toMatchObject({ outcome: 'aborted' });
    expect(bench.decider.batches).toEqual([]);
  });
});

describe('a slice', () => {
  it('gives way to another bank after a page of work, and not before it', async () => {
    await bench.remember('one', 'two', 'three', 'four', 'five');
    const engine = await bench.engineBeside({ concurrency: 2, batchMemories: 1 });
    const slice = () =>
      engine.runSlice({
        bankId: bench.bankId,
        trigger: 'hint',
        signal: new AbortController().signal,
        anotherBankWaits: async () => true,
      });
    expect(await slice()).toMatchObject({ outcome: 'yielded', counts: { memories: 2 } });
    expect(await slice()).toMatchObject({ outcome: 'yielded', counts: { memories: 2 } });
    expect(await slice(), 'nobody has to give way for nothing').toMatchObject({
      outcome: 'drained',
      counts: { memories: 1 },
    });
  });

  it('gives way also between observations that have to be written again', async () => {
    const texts = Array.from({ length: 40 }, (_, index) => `Shelf ${index} holds box ${index * 7}`);
    await bench.remember(...texts);
    await bench.consolidate();
    await bench.rows(`update engram.memories set text = text || ' now' where bank_id = $1`, [bench.bankId]);
    const slice = () =>
      bench.engine.runSlice({
        bankId: bench.bankId,
        trigger: 'hint',
        signal: new AbortController().signal,
        anotherBankWaits: async () => true,
      });
    expect(await slice()).toMatchObject({ outcome: 'yielded', counts: { ops: { revise: 32 } } });
    expect(await slice()).toMatchObject({ outcome: 'drained', counts: { ops: { revise: 8 } } });
  });

  it('begins nothing after its time', async () => {
    await bench.remember('one');
    const report = await bench.engine.runSlice({
      bankId: bench.bankId,
      trigger: 'hint',
      signal: new AbortController().signal,
      selectForMs: 0,
    });
    expect(report).toMatchObject({ outcome: 'time_up', counts: { batches: 0 } });
  });

  it('drains 2,000 memories of one scope in one go', async () => {
    await bench.remember(
      ...Array.from({ length: 2_000 }, (_, index) => `Shelf ${index % 500} holds box ${index % 500}`),
    );
    bench.decider.propose_ = (batch) =>
      batch.memories.map((memory, index) => {
        const known = batch.observations.find((shown) => shown.text === memory.text);
        return known
          ? { op: 'reinforce', target: known.alias, memories: [memory.alias], reason: 'same' }
          : createOp(memory.alias, `n${index + 1}`, memory.text);
      });
    bench.decider.adjudicate_ = (held, offered) => (held === offered ? 'same' : 'different');
    const report = await bench.consolidate();
    expect(report).toMatchObject({ outcome: 'drained', counts: { memories: 2_000 } });
    expect(await liveTexts(bench)).toHaveLength(500);
  });
});
