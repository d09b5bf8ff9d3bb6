import { v7 as uuid } from 'uuid';
import { type ApplyRequest, type ApplyResult, applyGroups } from '../../src/consolidation/apply.ts';
import {
  groupOps,
  type MemoryRef,
  type NewText,
  type PlannedOp,
  type TargetRef,
} from '../../src/consolidation/plan.ts';
import { insertInstance } from '../../src/store/instances.ts';
import { insertRun } from '../../src/store/runs.ts';
import { readScopeEpoch } from '../../src/store/scopes.ts';
import { systemClock } from '../../src/telemetry/clock.ts';
import { wordVector } from '../support/fake-embedder.ts';
import { observation } from './store-view.ts';
import type { Workbench } from './workbench.ts';

/** Applies ops without a decision before them, in an order that only the test decides. */
export async function applyOps(
  bench: Workbench,
  ops: readonly PlannedOp[],
  more: Partial<ApplyRequest> = {},
): Promise<ApplyResult> {
  const request = more.runId ? more : { ...more, runId: await startRun(bench) };
  return applyGroups(
    { db: bench.database.db, clock: systemClock, racepoints: bench.races, newId: () => uuid(), apply: 'auto' },
    {
      bankId: bench.bankId,
      runId: '',
      changeSetId: uuid(),
      attemptId: null,
      decider: 'scripted/1',
      decidedBy: 'scripted/1 validators/1',
      tags: [],
      embeddingModel: bench.embedder.model.id,
      scopeEpoch: await readScopeEpoch(bench.database.db, bench.bankId, more.tags ?? []),
      repeatSimilarity: 0.85,
      groups: groupOps(ops),
      rejected: [],
      ...request,
    },
  );
}

export async function startRun(bench: Workbench): Promise<string> {
  const instanceId = uuid();
  const { db } = bench.database;
  await insertInstance(db, { id: instanceId, role: 'cli', host: 'test', pid: process.pid, version: '0.0.0' });
  const runId = uuid();
  await insertRun(db, { bankId: bench.bankId, id: runId, trigger: 'requested', instanceId });
  return runId;
}

export function memoryRef(id: string, version = 1): MemoryRef {
  return { id, version, occurredStart: null, occurredEnd: null, heldAt: null };
}

export function newText(text: string): NewText {
  return { text, embedding: wordVector(text) };
}

/** The observation of this text as somebody sees it who looks now. */
export async function seen(bench: Workbench, text: string): Promise<TargetRef> {
  const row = await observation(bench, text);
  return { id: row.id, seen: { text: row.text, version: row.version } };
}
