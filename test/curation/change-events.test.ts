import { v7 as uuid } from 'uuid';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { ConsolidationEngine } from '../../src/consolidation/engine.ts';
import { createMemoryWriter } from '../../src/ingest/write-memories.ts';
import { createSignificanceEngine } from '../../src/significance/create-engine.ts';
import { pinMemory, unpinMemory } from '../../src/significance/pins.ts';
import { deleteBank } from '../../src/store/banks.ts';
import { parkMemories } from '../../src/store/due-memories.ts';
import { eventKinds } from '../../src/store/event-kinds.ts';
import { insertInstance } from '../../src/store/instances.ts';
import { parkUnembeddable } from '../../src/store/memories.ts';
import { unparkMemories } from '../../src/store/unpark.ts';
import { silentLog } from '../../src/telemetry/log.ts';
import { inertRacepoints } from '../../src/telemetry/racepoints.ts';
import { createWorkbench, observationAlias, ScriptedDecider, type Workbench } from '../consolidation/workbench.ts';
import { curationOf } from './curation-bench.ts';

/** Whatever changes a bank writes its event in the transaction of the change: neither is there without the other. */

let bench: Workbench;
let curation: Awaited<ReturnType<typeof curationOf>>;
let reviewing: ConsolidationEngine;
let instanceId: string;
beforeAll(async () => {
  bench = await createWorkbench();
  curation = await curationOf(bench);
  reviewing = await bench.engineBeside({ apply: 'review' });
  instanceId = uuid();
  await insertInstance(bench.database.db, { id: instanceId, role: 'cli', host: 'test', pid: 1, version: '0.0.0' });
  await bench.freshBank();
});
afterAll(() => bench.close());

const { signal } = new AbortController();
const told = new Set<string>();

/**
 * What a change told the timeline. Every row that it wrote was written by a transaction that told of something, and
 * nothing was told by another transaction than wrote a row or took one away.
 */
async function toldBy(change: () => Promise<unknown>): Promise<string[]> {
  const { bankId } = bench;
  const [start] = await bench.rows<{ xid: string }>('select pg_current_xact_id()::text as xid');
  await change();
  const events = await bench.rows<{ kind: string; xid: string }>(
    `select kind, change_xid::text as xid from engram.events
     where bank_id = $1 and change_xid > $2::xid8 order by change_xid, id`,
    [bankId, start?.xid],
  );
  // The system column tells who wrote a row last. Modulo 2^32, which a test database does not reach.
  const written = await bench.rows<{ at: string; xid: string }>(
    `select 'memory ' || id as at, xmin::text as xid from engram.memories where bank_id = $1
     union all select 'observation ' || id, xmin::text from engram.observations where bank_id = $1
     union all select 'conflict ' || id, xmin::text from engram.conflicts where bank_id = $1
     union all select 'change set ' || id, xmin::text from engram.change_sets where bank_id = $1
     union all select 'bank ' || id, xmin::text from engram.banks where id = $1`,
    [bankId],
  );
  const tellers = new Set(events.map(({ xid }) => xid));
  const silent = written.filter(({ xid }) => Number(xid) > Number(start?.xid) && !tellers.has(xid));
  expect(silent).toEqual([]);
  for (const { kind } of events) told.add(kind);
  return [...new Set(events.map(({ kind }) => kind))];
}

const rows = (sql: string, ...values: unknown[]) => bench.rows(sql, [bench.bankId, ...values]);
const idOf = async (table: 'memories' | 'observations', text: string): Promise<string> => {
  const [row] = await bench.rows<{ id: string }>(
    table === 'memories'
      ? 'select id from engram.memories where bank_id = $1 and text = $2'
      : 'select id from engram.observations where bank_id = $1 and text = $2',
    [bench.bankId, text],
  );
  if (!row) throw new Error(`nothing says "${text}"`);
  return row.id;
};
const latestSet = async (): Promise<string> => {
  const [row] = await bench.rows<{ id: string }>(
    'select id from engram.change_sets where bank_id = $1 order by created_at desc, id desc limit 1',
    [bench.bankId],
  );
  return row?.id ?? '';
};
const decideBy = (propose: ScriptedDecider['propose_'], engine?: ConsolidationEngine) => {
  bench.decider.propose_ = propose;
  return bench.consolidate(engine ? { engine } : {});
};
const createEach: ScriptedDecider['propose_'] = new ScriptedDecider().propose_;

test('each change and its event are in one transaction', async () => {
  const { db, metrics } = bench.database;
  const { bankId } = bench;
  const pinDeps = { db, metrics, racepoints: inertRacepoints, instanceId, pinCap: 1 };
  const writer = createMemoryWriter({
    db,
    metrics,
    instanceId,
    racepoints: inertRacepoints,
    log: silentLog,
    newId: () => uuid(),
    hint: async () => undefined,
  });

  // Memories, as they come, by request and by plain SQL.
  expect(await toldBy(() => writer.writeMemories(bankId, [{ text: 'Ana drinks tea' }]))).toEqual(['memory.added']);
  expect(await toldBy(() => bench.remember('Ben drinks milk', 'Cy drinks water'))).toEqual(['memory.added']);
  const edit = 'update engram.memories set text = $2 where bank_id = $1 and text = $3';
  expect(await toldBy(() => rows(edit, 'Cy drinks wine', 'Cy drinks water'))).toEqual(['memory.edited']);
  const cy = await idOf('memories', 'Cy drinks wine');
  expect(await toldBy(() => curation.invalidate({ bankId, memoryId: cy }))).toEqual(['memory.invalidated']);
  const restore = 'update engram.memories set invalidated_at = null where bank_id = $1 and id = $2';
  expect(await toldBy(() => rows(restore, cy))).toEqual(['memory.restored']);
  expect(await toldBy(() => parkMemories(db, bankId, [{ id: cy, version: 4 }], 'no_progress'))).toEqual([
    'memory.parked',
  ]);
  expect(await toldBy(() => unparkMemories(db, bankId, [cy]))).toEqual(['memory.unparked']);
  expect(await toldBy(() => parkUnembeddable(db, bankId, { id: cy, version: 4 }, 'no vector'))).toEqual([
    'memory.parked',
  ]);
  expect(await toldBy(() => rows('delete from engram.memories where bank_id = $1 and id = $2', cy))).toEqual([
    'memory.deleted',
  ]);

  // Consolidation, one op of each kind.
  expect(await toldBy(() => decideBy(createEach))).toEqual(['observation.created']);
  const ops: [text: string, propose: ScriptedDecider['propose_'], kind: string][] = [
    ['Ana drinks tea', (b) => [reinforce(b, 'Ana drinks tea')], 'observation.reinforced'],
    [
      'Ana drinks tea at noon',
      (b) => [{ ...about(b, 'Ana drinks tea'), op: 'revise', text: 'Ana drinks tea at noon' }],
      'observation.revised',
    ],
    ['Nothing of note', (b) => [{ op: 'skip', memories: [m(b)], reason: 'x' }], 'memory.skipped'],
    [
      'Ben drinks cold milk',
      (b) => [
        { ...about(b, 'Ben drinks milk'), op: 'conflict', as: 'n1', text: 'Ben drinks cold milk', validFrom: null },
      ],
      'observation.conflicted',
    ],
  ];
  for (const [text, propose, kind] of ops) {
    await bench.remember(text);
    expect(await toldBy(() => decideBy(propose))).toEqual([kind]);
  }

  // What people do to it.
  const [conflict] = await bench.rows<{ id: string }>('select id from engram.conflicts where bank_id = $1', [bankId]);
  const resolve = () => curation.resolveConflict({ bankId, conflictId: conflict?.id ?? '', keep: 'both' });
  expect(await toldBy(resolve)).toEqual(['conflict.resolved']);
  await bench.remember('Di has a dog');
  await decideBy(createEach);
  const created = await latestSet();
  const undone = await toldBy(() => curation.undo({ bankId, id: created, signal }));
  expect(undone).toEqual(expect.arrayContaining(['changes.undone', 'observation.undone', 'memory.held']));
  expect(await toldBy(() => curation.releaseHeld(bankId))).toEqual(['memory.requeued']);
  expect(await toldBy(() => decideBy(createEach, reviewing))).toEqual(['changes.proposed']);
  const proposed = await latestSet();
  expect(await toldBy(() => curation.reject({ bankId, id: proposed }))).toEqual(
    expect.arrayContaining(['changes.rejected', 'memory.held']),
  );
  await curation.releaseHeld(bankId);
  await decideBy(createEach, reviewing);
  const waiting = await latestSet();
  expect(await toldBy(() => curation.approve({ bankId, id: waiting, signal }))).toEqual(
    expect.arrayContaining(['changes.approved', 'observation.created']),
  );
  await rows("update engram.memories set decided_by = 'another' where bank_id = $1");
  expect(await toldBy(() => curation.consolidateAgain(bankId))).toEqual(['memory.requeued']);
  await decideBy((b) => b.memories.map(({ alias }) => ({ op: 'skip', memories: [alias], reason: 'known' })));

  // Significance and pins.
  const dog = await idOf('memories', 'Di has a dog');
  const significance = createSignificanceEngine({
    ...pinDeps,
    log: silentLog,
    random: () => 0.5,
    scorer: {
      name: 'rules',
      scoredBy: 'test/1',
      batchSize: 100,
      readyAt: async () => null,
      score: async (_, memories) => memories.map(() => ({ kind: 'scored', significance: 3, entities: [] })),
    },
  });
  const scored = await toldBy(() => significance.scoreBatch(bankId, { signal }));
  expect(scored).toEqual(expect.arrayContaining(['memory.scored', 'memory.pinned', 'memory.evicted']));
  await toldBy(() => unpinMemory(pinDeps, { bankId, memoryId: dog }));
  expect(await toldBy(() => pinMemory(pinDeps, { bankId, memoryId: dog }))).toContain('memory.pinned');
  expect(await toldBy(() => unpinMemory(pinDeps, { bankId, memoryId: dog }))).toEqual(['memory.unpinned']);

  // Ends.
  const forgotten = await toldBy(() => curation.forget({ bankId, memoryId: dog, signal }));
  expect(forgotten).toEqual(expect.arrayContaining(['memory.forgotten', 'observation.erased']));
  const mission = "update engram.banks set mission = 'drinks' where id = $1";
  expect(await toldBy(() => rows(mission))).toEqual(['bank.mission_changed']);
  expect(await toldBy(() => db.tx({ label: 'test' }, (tx) => deleteBank(tx, bankId)))).toEqual(['bank.deleted']);

  expect([...told].filter((kind) => !eventKinds.some((known) => known === kind))).toEqual([]);
});

type Batch = Parameters<ScriptedDecider['propose_']>[0];
const m = (batch: Batch) => batch.memories[0]?.alias ?? '';
const about = (batch: Batch, text: string) => ({
  target: observationAlias(batch, text),
  memories: [m(batch)],
  reason: 'scripted',
});
const reinforce = (batch: Batch, text: string) => ({ ...about(batch, text), op: 'reinforce' as const });
