import { setImmediate as nextTurn } from 'node:timers/promises';
import fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import type { Batch, ProposedOp } from '../../src/consolidation/decider.ts';
import type { ConsolidationEngine } from '../../src/consolidation/engine.ts';
import { encodeRealArray } from '../../src/store/vectors/vector-bytes.ts';
import { type RacepointName, racepointNames } from '../../src/telemetry/racepoints.ts';
import { wordVector } from '../support/fake-embedder.ts';
import { attemptOutcomes, changes, memories, type ObservationView, observations } from './store-view.ts';
import { createOp, createWorkbench, type Workbench } from './workbench.ts';

let bench: Workbench;
let engines: ConsolidationEngine[];
beforeAll(async () => {
  bench = await createWorkbench({ concurrency: 3, batchMemories: 2 });
  engines = [bench.engine, await bench.engineBeside({ concurrency: 4, batchMemories: 1 })];
});
beforeEach(() => bench.freshBank());
afterAll(() => bench.close());

const drinks = ['tea', 'coffee', 'milk', 'water'] as const;
const says = (drink: number) => `Ana drinks ${drinks[drink % drinks.length]}`;

/** Draws from a list of choices; the same list gives the same answers and the same order of events. */
type Draw = (below: number) => number;

function drawFrom(seed: number): Draw {
  let state = seed | 1;
  return (below) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return (state >>> 16) % below;
  };
}

/** An answer that nobody could object to, chosen by chance: what is known is reinforced, the rest is anything at all. */
function anyAnswer(batch: Batch, draw: Draw): ProposedOp[] {
  const standing = new Map(batch.observations.map((row) => [row.alias, { text: row.text, from: row.validFrom }]));
  const ops: ProposedOp[] = [];
  const pick = () => [...standing.keys()][draw(Math.max(1, standing.size))];
  batch.memories.forEach((memory, index) => {
    const { text, mentionedAt } = memory;
    const common = { memories: [memory.alias], reason: 'drawn' };
    const fresh = { as: `n${index}`, text, validFrom: mentionedAt };
    const known = [...standing].find(([, row]) => row.text === text)?.[0];
    const target = pick();
    const from = target === undefined ? null : (standing.get(target)?.from ?? null);
    const choice = draw(6);
    if (known !== undefined) {
      ops.push({ op: 'reinforce', target: known, ...common });
    } else if (choice === 0) {
      ops.push({ op: 'skip', ...common });
    } else if (choice === 1 && target !== undefined) {
      ops.push({ op: 'conflict', target, ...fresh, ...common });
      standing.set(fresh.as, { text, from: mentionedAt });
    } else if (choice === 2 && target !== undefined) {
      ops.push({ op: 'revise', target, text, ...common });
      standing.set(target, { text, from });
    } else if (choice === 3 && target !== undefined && from !== null && mentionedAt !== null && from < mentionedAt) {
      ops.push({ op: 'supersede', target, ...fresh, ...common });
      standing.delete(target);
      standing.set(fresh.as, { text, from: mentionedAt });
    } else {
      ops.push(createOp(memory.alias, fresh.as, text, mentionedAt));
      standing.set(fresh.as, { text, from: mentionedAt });
    }
  });
  const [from, into] = [pick(), pick()];
  if (draw(4) === 0 && from !== undefined && into !== undefined && from !== into) {
    ops.push({ op: 'fold', target: from, into, reason: 'drawn' });
  }
  return ops;
}

/** Lets everybody who passes a racepoint wait some turns, as drawn. */
function shuffleOrder(draw: Draw): void {
  for (const name of racepointNames satisfies readonly RacepointName[]) {
    bench.races.at(name, async () => {
      for (let turns = draw(4); turns > 0; turns -= 1) await nextTurn();
    });
  }
}

async function untilDrained(): Promise<void> {
  for (let slices = 0; slices < 12; slices += 1) {
    const reports = await Promise.all(engines.map((engine) => bench.consolidate({ engine })));
    expect(reports.map((report) => report.outcome)).toEqual(['drained', 'drained']);
    if (reports.every((report) => Object.keys(report.counts.ops).length === 0 && report.counts.replans === 0)) return;
  }
  throw new Error('it never came to rest');
}

/** Everything that has to hold of a store at rest, whatever happened before. */
async function expectSound(): Promise<void> {
  const rows = await observations(bench);
  const byId = new Map(rows.map((row) => [row.id, row]));
  const liveMemories = await bench.rows<{ id: string; version: number }>(
    'select id, version from engram.memories where bank_id = $1 and invalidated_at is null',
    [bench.bankId],
  );
  const versionOf = new Map(liveMemories.map((memory) => [memory.id, memory.version]));
  const isEvidence = (source: ObservationView['sources'][number]) => versionOf.get(source.id) === source.version;
  const proposed = new Set(
    (await changes(bench)).filter((change) => change.setStatus === 'proposed').map((c) => c.targetId),
  );

  const shown = rows.filter((row) => row.isLive && !row.needsReplan);
  for (const row of rows.filter((one) => one.needsReplan)) expect(proposed).toContain(row.id);
  for (const row of shown) {
    const evidence = rows
      .filter((one) => one.id === row.id || one.canonicalId === row.id)
      .flatMap((one) => one.sources);
    expect(evidence.filter(isEvidence), `evidence of "${row.text}"`).not.toEqual([]);
  }
  const texts = shown.map((row) => row.text);
  expect(texts, 'no text is live twice').toEqual([...new Set(texts)]);

  for (const row of rows) {
    if (row.canonicalId !== null) expect(byId.get(row.canonicalId)?.canonicalId, 'a fold is one step').toBeNull();
    const passed = new Set<string>();
    for (let at: string | null = row.id; at !== null; at = byId.get(at)?.supersededBy ?? null) {
      expect(passed.has(at), 'no circle of superseded ones').toBe(false);
      passed.add(at);
    }
  }
  const vectors = await bench.rows<{ text: string; agrees: boolean }>(
    `select o.text, o.embedding = v.vector::real[] as agrees from engram.observations o
     join unnest($2::text[], $3::text[]) as v(text, vector) on v.text = o.text where o.bank_id = $1`,
    [bench.bankId, drinks.map((_, n) => says(n)), drinks.map((_, n) => encodeRealArray(wordVector(says(n))))],
  );
  expect(
    vectors.filter((row) => !row.agrees),
    'text and vector agree (L6)',
  ).toEqual([]);
  expect(vectors).toHaveLength(rows.length);
  expect(await attemptOutcomes(bench)).not.toContain(null);
  await expectHistoryToEndInTheRows(byId);
  expect(bench.logged.filter((line) => line.includes('"level":50'))).toEqual([]);
}

/** The newest image of each observation in the history is what stands in its row: undo starts from there. */
async function expectHistoryToEndInTheRows(rows: ReadonlyMap<string, ObservationView>): Promise<void> {
  const newest = new Map<string, { text: string; version: number }>();
  for (const { after, status } of await changes(bench)) {
    if (status !== 'applied') continue;
    for (const image of [after?.target, after?.created, ...(after?.repointed ?? [])]) {
      if (image && image.version >= (newest.get(image.id)?.version ?? 0)) newest.set(image.id, image);
    }
  }
  for (const [id, row] of rows) expect(newest.get(id)).toMatchObject({ text: row.text, version: row.version });
  expect(newest.size).toBe(rows.size);
}

const story = fc.record({
  texts: fc.array(fc.integer({ min: 0, max: drinks.length - 1 }), { minLength: 2, maxLength: 10 }),
  seed: fc.integer({ min: 1, max: 2 ** 31 - 1 }),
});

function tell(texts: readonly number[], draw: Draw) {
  return bench.remember(
    ...texts.map((drink) => ({
      text: says(drink),
      mentionedAt: `2026-03-${String(draw(28) + 1).padStart(2, '0')}T00:00:00Z`,
    })),
  );
}

it('two daemons over a few texts, in any order of events: each memory is applied exactly once, and the store is sound', async () => {
  await fc.assert(
    fc.asyncProperty(story, async ({ texts, seed }) => {
      await bench.freshBank();
      const draw = drawFrom(seed);
      const ids = await tell(texts, draw);
      bench.decider.propose_ = (batch) => anyAnswer(batch, draw);
      shuffleOrder(draw);
      await untilDrained();
      await expectSound();
      const applied = (await changes(bench)).filter((change) => change.status === 'applied');
      for (const id of ids) expect(applied.filter((change) => change.memoryIds.includes(id))).toHaveLength(1);
      expect((await memories(bench)).map((memory) => memory.state)).toEqual(ids.map(() => 'consolidated'));
    }),
    { numRuns: 15 },
  );
});

it('the same with memories edited, deleted, invalidated and moved meanwhile: the store is sound when it comes to rest', async () => {
  await fc.assert(
    fc.asyncProperty(story, async ({ texts, seed }) => {
      await bench.freshBank();
      const draw = drawFrom(seed);
      const ids = await tell(texts, draw);
      bench.decider.propose_ = (batch) => anyAnswer(batch, draw);
      shuffleOrder(draw);
      const disturb = async () => {
        const id = ids[draw(ids.length)];
        const statement = [
          'update engram.memories set text = $2 where id = $1',
          'delete from engram.memories where id = $1 and $2::text is not null',
          'update engram.memories set invalidated_at = now() where id = $1 and $2::text is not null',
          'update engram.memories set invalidated_at = null where id = $1 and $2::text is not null',
        ][draw(4)];
        await bench.rows(statement ?? '', [id, says(draw(drinks.length))]);
      };
      let disturbances = 5;
      for (const point of ['batch:recalled', 'batch:deduplicated', 'apply:before-begin'] as const) {
        bench.races.at(point, async () => {
          if (disturbances <= 0 || draw(3) > 0) return;
          disturbances -= 1;
          await disturb();
        });
      }
      await untilDrained();
      await expectSound();
      const rows = await memories(bench);
      expect(rows.filter((memory) => memory.isDue)).toEqual([]);
    }),
    { numRuns: 15 },
  );
});
