import { v7 as uuid } from 'uuid';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type AttemptEnd, suspicionOf } from '../../src/consolidation/suspects.ts';
import { finishAttempt, startAttempt } from '../../src/store/attempts.ts';
import { unparkMemories } from '../../src/store/unpark.ts';
import { startRun } from './apply-directly.ts';
import { attemptOutcomes, eventKinds, memories, states } from './store-view.ts';
import { createWorkbench, type Workbench } from './workbench.ts';

let bench: Workbench;
beforeAll(async () => {
  bench = await createWorkbench();
});
beforeEach(() => bench.freshBank());
afterAll(() => bench.close());

describe('who is a suspect', () => {
  const crash = (size: number): AttemptEnd => ({ size, crashed: true });
  const survived: AttemptEnd = { size: 4, crashed: false };

  it('nobody after one crash: a deploy and a power cut look the same', () => {
    expect(suspicionOf([])).toEqual({ kind: 'none' });
    expect(suspicionOf([crash(12)])).toEqual({ kind: 'none' });
    expect(suspicionOf([crash(1)])).toEqual({ kind: 'none' });
  });

  it('after two in a row, in half of the last batch, down to one', () => {
    expect(suspicionOf([crash(12), crash(12)])).toEqual({ kind: 'suspect', batchLimit: 6 });
    expect(suspicionOf([crash(3), crash(6), crash(12)])).toEqual({ kind: 'suspect', batchLimit: 1 });
    expect(suspicionOf([crash(1), crash(2), crash(4)])).toEqual({ kind: 'suspect', batchLimit: 1 });
  });

  it('guilty after two in a row alone', () => {
    expect(suspicionOf([crash(1), crash(1), crash(12)])).toEqual({ kind: 'guilty' });
  });

  it('cleared by an attempt that was survived, whatever came of it', () => {
    expect(suspicionOf([survived, crash(1), crash(1)])).toEqual({ kind: 'none' });
    expect(suspicionOf([crash(12), survived, crash(12)])).toEqual({ kind: 'none' });
  });
});

/** What a process leaves behind that dies while these memories are at the decider. */
async function dieOver(memoryIds: readonly string[]): Promise<void> {
  const runId = await startRun(bench);
  const [run] = await bench.rows<{ instance_id: string }>('select instance_id from engram.runs where id = $1', [runId]);
  await startAttempt(bench.database.db, {
    bankId: bench.bankId,
    id: uuid(),
    runId,
    instanceId: run?.instance_id ?? '',
    memoryIds,
  });
}

/** Starts a slice that closes what is open and then goes no further. */
async function noticeTheCrash(): Promise<void> {
  await bench.engine.runSlice({
    bankId: bench.bankId,
    trigger: 'hint',
    signal: new AbortController().signal,
    selectForMs: 0,
  });
}

const batchSizes = () => bench.decider.batches.map((batch) => batch.memories.length);

describe('an attempt without an end', () => {
  it('is closed as crashed by the next run, and one crash changes nothing', async () => {
    const ids = await bench.remember('one', 'two', 'three', 'four');
    await dieOver(ids);
    await bench.consolidate();
    expect(await attemptOutcomes(bench)).toEqual(['crashed', 'applied']);
    expect(batchSizes()).toEqual([4]);
  });

  it('that came to its end after all did not crash', async () => {
    const ids = await bench.remember('one');
    await dieOver(ids);
    const [attempt] = await bench.rows<{ id: string }>('select id from engram.attempts where bank_id = $1', [
      bench.bankId,
    ]);
    await noticeTheCrash();
    expect(await attemptOutcomes(bench)).toEqual(['crashed']);
    await finishAttempt(bench.database.db, { bankId: bench.bankId, id: attempt?.id ?? '', outcome: 'handed_back' });
    expect(await attemptOutcomes(bench)).toEqual(['handed_back']);
  });

  it('twice in a row: its memories are decided in halves, with nothing else in flight, and are cleared by that', async () => {
    await bench.remember('bystander before');
    const ids = await bench.remember('one', 'two', 'three', 'four');
    await dieOver(ids);
    await noticeTheCrash();
    await dieOver(ids);
    await bench.remember('bystander after');
    let atDecider = 0;
    const company: [size: number, others: number][] = [];
    bench.decider.propose_ = async (batch) => {
      atDecider += 1;
      company.push([batch.memories.length, atDecider - 1]);
      // Time enough for another batch to come, if nobody kept it.
      for (let turn = 0; turn < 150 && atDecider === 1; turn += 1) await bench.rows('select 1');
      atDecider -= 1;
      return batch.memories.map((memory) => ({ op: 'skip', memories: [memory.alias], reason: 'noise' }));
    };
    await bench.consolidate();
    expect(company, 'the two bystanders, then each half').toEqual([
      [2, 0],
      [2, 0],
      [2, 0],
    ]);
    expect(new Set(Object.values(await states(bench)))).toEqual(new Set(['consolidated']));
  });

  it('twice alone: parked with reason and event, and those behind it are worked on in the same slice', async () => {
    const [poison = ''] = await bench.remember('poison');
    await dieOver([poison]);
    await noticeTheCrash();
    await dieOver([poison]);
    await bench.remember('one');
    const engine = await bench.engineBeside({ concurrency: 1, batchMemories: 1 });
    await bench.consolidate({ engine });
    expect(await memories(bench)).toMatchObject([
      { text: 'poison', state: 'parked', stateReason: 'crashed_alone' },
      { text: 'one', state: 'consolidated' },
    ]);
    expect((await eventKinds(bench)).filter((kind) => kind === 'memory.parked')).toHaveLength(1);
    expect(bench.decider.batches.flatMap((batch) => batch.memories.map((memory) => memory.text))).toEqual(['one']);
  });

  it('counts no more once a person has brought the memory back, or edited it', async () => {
    const ids = await bench.remember('poison', 'venom');
    for (const id of ids) {
      await dieOver([id]);
      await noticeTheCrash();
      await dieOver([id]);
    }
    await bench.consolidate();
    expect(await states(bench)).toEqual({ poison: 'parked', venom: 'parked' });
    await unparkMemories(bench.database.db, bench.bankId, [ids[0] ?? '']);
    await bench.rows('update engram.memories set text = $2 where id = $1', [ids[1], 'medicine']);
    await bench.consolidate();
    expect(await states(bench)).toEqual({ poison: 'consolidated', medicine: 'consolidated' });
  });
});
