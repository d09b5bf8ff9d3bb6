import { v7 as uuid } from 'uuid';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { ConsolidationEngine } from '../../src/consolidation/engine.ts';
import { pinMemory, unpinMemory } from '../../src/significance/pins.ts';
import { insertInstance } from '../../src/store/instances.ts';
import { inertRacepoints, type Racepoints } from '../../src/telemetry/racepoints.ts';
import { createRaceControl } from '../support/race-control.ts';
import { AskingDecider } from './asking-decider.ts';
import { somebodyWaitsForALock } from './lock-waits.ts';
import { changes, liveTexts, states } from './store-view.ts';
import { createOp, createWorkbench, memoryAlias, observationAlias, type Workbench } from './workbench.ts';

let bench: Workbench;
let decider: AskingDecider;
let engine: ConsolidationEngine;
let instanceId: string;
beforeAll(async () => {
  bench = await createWorkbench();
  decider = new AskingDecider(bench.database.db);
  engine = await bench.engineBeside({ decider });
  instanceId = uuid();
  await insertInstance(bench.database.db, { id: instanceId, role: 'cli', host: 'test', pid: 1, version: '0.0.0' });
});
beforeEach(async () => {
  await bench.freshBank();
  decider.reset();
});
afterAll(() => bench.close());

const tea = 'Ana drinks green tea';
const noTea = 'Ana drinks no green tea any more';

const pinDeps = (racepoints: Racepoints) => {
  const { db, metrics } = bench.database;
  return { db, metrics, racepoints, instanceId, pinCap: 8 };
};
const pin = (memoryId: string, racepoints = inertRacepoints) =>
  pinMemory(pinDeps(racepoints), { bankId: bench.bankId, memoryId });
const consolidate = () => bench.consolidate({ engine });

/** An observation over one memory, and the decider about to retire it for what a second memory says. */
async function aboutToRetire(text = tea): Promise<string> {
  const [id = ''] = await bench.remember(text);
  await consolidate();
  await bench.remember(noTea);
  retires(text);
  return id;
}

function retires(text: string): void {
  decider.propose_ = (batch) => [
    { op: 'retire', target: observationAlias(batch, text), reason: 'she stopped' },
    { op: 'skip', memories: [memoryAlias(batch, noTea)], reason: 'an end is no fact' },
  ];
}

const refused = async () =>
  (await changes(bench))
    .filter((change) => change.verdicts.length > 0)
    .map(({ op, status, verdicts }) => ({ op, status, verdicts }));
const oneRefusal = [
  { op: 'retire', status: 'rejected', verdicts: [{ validator: 'pinned', reason: 'it rests on a pinned memory' }] },
];

describe('an observation that rests on a pinned memory is not retired by consolidation', () => {
  it('the op is refused as pinned, counted, kept on the change set, and the others are applied', async () => {
    await pin(await aboutToRetire());
    const before = await pinnedRefusals();
    const report = await consolidate();
    expect(report.counts).toMatchObject({ ops: { skip: 1 }, rejected: { pinned: 1 } });
    expect(await liveTexts(bench)).toEqual([tea]);
    expect(await states(bench)).toEqual({ [tea]: 'consolidated', [noTea]: 'consolidated' });
    expect(await refused()).toEqual(oneRefusal);
    expect(await pinnedRefusals()).toBe(before + 1);
  });

  it('nor where the pin was set while the batch was at the model', async () => {
    const id = await aboutToRetire();
    const { propose_ } = decider;
    decider.propose_ = async (batch) => {
      await pin(id);
      return propose_(batch);
    };
    expect((await consolidate()).counts.rejected).toEqual({ pinned: 1 });
    expect(await liveTexts(bench)).toEqual([tea]);
    expect(decider.paid).toHaveLength(2);
  });

  it('nor where the pin is about to commit when the batch is applied: it waits for the bank, and then sees it', async () => {
    const id = await aboutToRetire();
    const races = createRaceControl();
    const held = races.hold('pin:before-commit');
    const pinning = pin(id, races);
    await held.reached;
    const consolidating = consolidate();
    await somebodyWaitsForALock(bench);
    held.release();
    await pinning;
    expect((await consolidating).counts.rejected).toEqual({ pinned: 1 });
    expect(await liveTexts(bench)).toEqual([tea]);
  });

  it('nor where it rests on it only through what was folded into it', async () => {
    const twin = 'Ana likes drinking green tea';
    const [id = ''] = await bench.remember(tea, twin);
    await consolidate();
    await bench.rows(
      `update engram.observations set canonical_id = (select id from engram.observations where bank_id = $1 and text = $2)
       where bank_id = $1 and text = $3`,
      [bench.bankId, twin, tea],
    );
    await bench.remember(noTea);
    retires(twin);
    await pin(id);
    expect((await consolidate()).counts.rejected).toEqual({ pinned: 1 });
    expect(await liveTexts(bench)).toEqual([twin]);
  });

  it('nor is it proposed for review', async () => {
    await pin(await aboutToRetire());
    const reviewing = await bench.engineBeside({ decider, apply: 'review' });
    expect((await bench.consolidate({ engine: reviewing })).counts.rejected).toEqual({ pinned: 1 });
    expect((await changes(bench)).filter(({ status }) => status === 'proposed').map(({ op }) => op)).toEqual(['skip']);
  });

  it('a memory whose op stood or fell with it is asked about once more, told why', async () => {
    await pin(await aboutToRetire());
    const open: number[] = [];
    decider.propose_ = async (batch) => {
      const unfinished = 'select from engram.attempts where bank_id = $1 and finished_at is null';
      open.push((await bench.rows(unfinished, [bench.bankId])).length);
      if (batch.notes.length > 0) return [createOp(memoryAlias(batch, noTea), 'n1', noTea)];
      const target = observationAlias(batch, tea);
      return [
        {
          op: 'conflict',
          target,
          as: 'n1',
          text: noTea,
          memories: [memoryAlias(batch, noTea)],
          validFrom: null,
          reason: 'x',
        },
        { op: 'retire', target, reason: 'she stopped' },
      ];
    };
    expect((await consolidate()).counts.rejected).toEqual({ pinned: 1, 'depends-on-rejected': 1 });
    // The attempt goes on with the second request: a crash in it would be accused of it.
    expect(open).toEqual([1, 1]);
    expect(decider.batches.at(-1)?.notes.join('\n')).toMatch(/was refused by pinned: it rests on a pinned memory/);
    expect(await liveTexts(bench)).toEqual([tea, noTea]);
    expect(await states(bench)).toEqual({ [tea]: 'consolidated', [noTea]: 'consolidated' });
  });
});

describe('a pin is no reason to keep', () => {
  it('what was unpinned before the batch is applied', async () => {
    const id = await aboutToRetire();
    await pin(id);
    await unpinMemory(pinDeps(inertRacepoints), { bankId: bench.bankId, memoryId: id });
    expect((await consolidate()).counts).toMatchObject({ ops: { retire: 1 }, rejected: {} });
    expect(await liveTexts(bench)).toEqual([]);
  });

  it('an observation whose pinned memory a person no longer believes', async () => {
    const [id = ''] = await bench.remember(tea);
    await consolidate();
    await pin(id);
    await bench.rows('update engram.memories set invalidated_at = now() where bank_id = $1', [bench.bankId]);
    expect((await consolidate()).counts).toMatchObject({ ops: { retire: 1 }, rejected: {} });
    expect(await liveTexts(bench)).toEqual([]);
  });

  it('what the pinned memory said before it was edited, and was told anew elsewhere', async () => {
    const [id = ''] = await bench.remember(tea);
    await consolidate();
    await pin(id);
    await bench.rows('update engram.memories set text = $2 where bank_id = $1', [bench.bankId, 'Ben rides a bike']);
    await bench.rows("update engram.memories set state = 'consolidated' where bank_id = $1", [bench.bankId]);
    expect((await consolidate()).counts).toMatchObject({ ops: { retire: 1 }, rejected: {} });
    expect(await liveTexts(bench)).toEqual([]);
  });
});

async function pinnedRefusals(): Promise<number> {
  const { values } = await bench.database.metrics.opsRejected.get();
  return values.find(({ labels }) => labels.validator === 'pinned')?.value ?? 0;
}
