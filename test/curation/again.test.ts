import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { decisionKey } from '../../src/consolidation/decision-key.ts';
import { createRulesDecider } from '../../src/consolidation/rules/rules-decider.ts';
import { createMemoryWriter } from '../../src/ingest/write-memories.ts';
import { silentLog } from '../../src/telemetry/log.ts';
import { observe } from '../consolidation/decide.ts';
import { changes, eventKinds, memories, observations, states } from '../consolidation/store-view.ts';
import { createWorkbench, type Workbench } from '../consolidation/workbench.ts';
import { curationOf } from './curation-bench.ts';

let bench: Workbench;
beforeAll(async () => {
  bench = await createWorkbench();
});
beforeEach(() => bench.freshBank());
afterAll(() => bench.close());

const facts = [
  { text: 'Ana lives in Porto.', mentionedAt: '2026-03-01T00:00:00Z' },
  { text: 'Ben plays the cello.', mentionedAt: '2026-03-02T00:00:00Z' },
  { text: 'Ana lives in Porto!', mentionedAt: '2026-03-03T00:00:00Z' },
  { text: 'Cy drinks tea.', mentionedAt: '2026-03-04T00:00:00Z' },
  { text: 'Ben plays the cello on Sundays.', mentionedAt: '2026-03-05T00:00:00Z' },
];

/** A decider that decides like the rules and is called something else. */
const renamed = (name: string) => ({ ...createRulesDecider(), name });

describe('consolidate --again', () => {
  it('decides once more what another decider decided, adds no evidence, and is done after once', async () => {
    const first = await bench.engineBeside({ decider: createRulesDecider() });
    await bench.remember(...facts);
    await bench.consolidate({ engine: first });
    const before = await observations(bench);
    expect(before.length).toBeGreaterThan(2);
    const history = (await changes(bench)).length;

    const next = renamed('rules/next');
    const curation = await curationOf(bench, next);
    expect(await curation.consolidateAgain(bench.bankId)).toBe(facts.length);
    expect(new Set(Object.values(await states(bench)))).toEqual(new Set(['pending']));
    await bench.consolidate({ engine: await bench.engineBeside({ decider: next }) });
    expect((await observations(bench)).map(settled)).toEqual(before.map(settled));
    expect(new Set((await changes(bench)).slice(history).map((change) => change.op))).toEqual(new Set(['reinforce']));
    const decidedBy = await bench.rows('select distinct decided_by from engram.memories where bank_id = $1', [
      bench.bankId,
    ]);
    expect(decidedBy).toEqual([{ decided_by: decisionKey(next) }]);

    expect(await curation.consolidateAgain(bench.bankId), 'a second time nothing is to do').toBe(0);
    expect(new Set(Object.values(await states(bench)))).toEqual(new Set(['consolidated']));
  });

  it('leaves alone what has become history, which would be told a second time', async () => {
    const rules = await bench.engineBeside({ decider: createRulesDecider() });
    await bench.remember({ text: 'Ana lives in Porto.', mentionedAt: '2026-03-01T00:00:00Z' });
    await bench.consolidate({ engine: rules });
    await bench.remember({ text: 'Ana lives in Lisbon.', mentionedAt: '2026-04-01T00:00:00Z' });
    await bench.consolidate({ engine: rules });
    const before = await observations(bench);
    expect(before.map((row) => row.isLive)).toEqual([false, true]);

    const next = renamed('rules/next');
    const curation = await curationOf(bench, next);
    expect(await curation.consolidateAgain(bench.bankId)).toBe(1);
    await bench.consolidate({ engine: await bench.engineBeside({ decider: next }) });
    expect(await observations(bench)).toEqual(before);
  });

  it('takes only valid memories that were consolidated', async () => {
    const [done = '', invalid = ''] = await observe(bench, 'Ana drinks tea', 'Ben drinks milk', 'Cy drinks water');
    await bench.rows('update engram.memories set invalidated_at = now() where id = $1', [invalid]);
    await bench.rows("update engram.memories set state = 'held' where text = 'Cy drinks water' and bank_id = $1", [
      bench.bankId,
    ]);
    const curation = await curationOf(bench, { name: 'other/1' });
    expect(await curation.consolidateAgain(bench.bankId)).toBe(1);
    expect((await memories(bench)).filter((row) => row.isDue).map((row) => row.id)).toEqual([done]);
    expect((await eventKinds(bench)).filter((kind) => kind === 'memory.requeued')).toHaveLength(1);
  });

  it('over lines that are ingested once more there is nothing to decide: 0 calls, 0 changes', async () => {
    const { db } = bench.database;
    const writer = createMemoryWriter({
      db,
      instanceId: (await bench.rows<{ id: string }>('select id from engram.instances limit 1'))[0]?.id ?? '',
      newId: () => crypto.randomUUID(),
      hint: async () => undefined,
      racepoints: bench.races,
      metrics: bench.database.metrics,
      log: silentLog,
    });
    const lines = facts.map((fact, line) => ({
      text: fact.text,
      mentioned_at: fact.mentionedAt,
      // A line has its reference, or the key that `ingest FILE` derives from the file and the number of the line.
      ...(line % 2 === 0 ? { source_ref: `file/${line}` } : { idempotency_key: `hash:${line}` }),
    }));
    await writer.writeMemories(bench.bankId, lines);
    await bench.consolidate();
    const [before, history, asked] = [await observations(bench), await changes(bench), bench.decider.batches.length];

    expect(await writer.writeMemories(bench.bankId, lines)).toMatchObject({ added: 0, duplicates: facts.length });
    const curation = await curationOf(bench);
    expect(await curation.consolidateAgain(bench.bankId), 'decided alike').toBe(0);
    const report = await bench.consolidate();
    expect(report.counts).toMatchObject({ memories: 0, batches: 0, ops: {} });
    expect(bench.decider.batches).toHaveLength(asked);
    expect([await observations(bench), await changes(bench)]).toEqual([before, history]);
  });
});

describe('consolidate --held', () => {
  it('makes held memories work again, but not those that are no longer believed', async () => {
    const [held = '', invalid = '', other = ''] = await observe(bench, 'Ana drinks tea', 'Ben drinks milk', 'Cy rows');
    await bench.rows("update engram.memories set state = 'held', state_reason = 'undone' where id = any($1)", [
      [held, invalid],
    ]);
    await bench.rows('update engram.memories set invalidated_at = now() where id = $1', [invalid]);
    const curation = await curationOf(bench);
    expect(await curation.releaseHeld(bench.bankId)).toBe(1);
    const rows = new Map((await memories(bench)).map((row) => [row.id, row]));
    expect(rows.get(held)).toMatchObject({ state: 'pending', stateReason: null, isDue: true });
    expect(rows.get(invalid)).toMatchObject({ state: 'held', isDue: false });
    expect(rows.get(other)).toMatchObject({ state: 'consolidated' });
    expect(await curation.releaseHeld(bench.bankId)).toBe(0);
  });
});

/** Reinforcing what is there moves nothing but the mark of when it was looked at. */
function settled({ needsReplan, ...row }: Awaited<ReturnType<typeof observations>>[number]) {
  expect(needsReplan).toBe(false);
  return row;
}
