import { v7 as uuid } from 'uuid';
import { type UndoDeps, undoChanges } from '../../src/curation/undo.ts';
import { assertNoLease } from '../../src/db/lease.ts';
import { guardedEmbedder } from '../../src/models/embedder.ts';
import { insertInstance } from '../../src/store/instances.ts';
import { systemClock } from '../../src/telemetry/clock.ts';
import { createWorkbench, type Workbench } from '../consolidation/workbench.ts';

/** A workbench and a person who decides on what it did. */
export interface UndoBench {
  readonly bench: Workbench;
  readonly deps: UndoDeps;
  undo(id: string, op?: number): ReturnType<typeof undoChanges>;
  /** Every row of observations, links, conflicts, memories and history, as text: equal means untouched. */
  dump(): Promise<string>;
  /** What undo promises to bring back: rows (but for versions and when they were touched), links, vectors, conflicts. */
  view(ids?: readonly string[]): Promise<Record<string, unknown>>;
}

export async function createUndoBench(overrides: Parameters<typeof createWorkbench>[0] = {}): Promise<UndoBench> {
  const bench = await createWorkbench(overrides);
  const instanceId = uuid();
  const { db } = bench.database;
  await insertInstance(db, { id: instanceId, role: 'daemon', host: 'test', pid: process.pid, version: '0.0.0' });
  const deps: UndoDeps = {
    db,
    embedder: guardedEmbedder(bench.embedder, assertNoLease),
    instanceId,
    clock: systemClock,
    racepoints: bench.races,
    newId: () => uuid(),
  };
  const signal = new AbortController().signal;
  return {
    bench,
    deps,
    undo: (id, op) => undoChanges(deps, { bankId: bench.bankId, id, op, signal }),
    async dump() {
      const rows = await bench.rows(
        `select 'o' as t, to_jsonb(o)::text as row from engram.observations o where bank_id = $1
         union all select 's', to_jsonb(s)::text from engram.observation_sources s where bank_id = $1
         union all select 'c', to_jsonb(c)::text from engram.conflicts c where bank_id = $1
         union all select 'm', to_jsonb(m)::text from engram.memories m where bank_id = $1
         union all select 'cs', to_jsonb(c)::text from engram.change_sets c where bank_id = $1
         union all select 'co', to_jsonb(c)::text from engram.change_ops c where bank_id = $1
         union all select 'e', to_jsonb(e)::text from engram.events e where bank_id = $1
         union all select 'sc', to_jsonb(e)::text from engram.scopes e where bank_id = $1
         union all select 'r', to_jsonb(e)::text from engram.runs e where bank_id = $1 order by 1, 2`,
        [bench.bankId],
      );
      return JSON.stringify(rows);
    },
    async view(ids) {
      const rows = await bench.rows(
        `select o.id, o.text, o.tags, encode(array_send(o.embedding), 'hex') as vector, o.embedding_model, o.valid_from::text,
           o.valid_to::text, o.occurred_start::text, o.occurred_end::text, o.superseded_by, o.canonical_id,
           o.retired_at::text, o.needs_replan_at::text, o.is_live,
           (select jsonb_agg(jsonb_build_array(s.memory_id, s.memory_version) order by s.memory_id)
            from engram.observation_sources s where s.bank_id = o.bank_id and s.observation_id = o.id) as links
         from engram.observations o where bank_id = $1 and ($2::uuid[] is null or id = any($2)) order by id`,
        [bench.bankId, ids ?? null],
      );
      const conflicts = await bench.rows(
        `select id, left_id, right_id, status, reason, resolution, created_at::text, resolved_at::text
         from engram.conflicts where bank_id = $1 order by id`,
        [bench.bankId],
      );
      return { rows, conflicts };
    },
  };
}
