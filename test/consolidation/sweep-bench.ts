import type { ConsolidationEngine, SweepReport, SweepRequest } from '../../src/consolidation/engine.ts';
import type { NeighbourLists } from '../../src/store/neighbours/neighbour-lists.ts';
import type { Workbench } from './workbench.ts';

/** Three wordings of one thing, and one that says something else of it. */
export const warm = 'the shop in the long street sells warm bread on every day of the week but one';
export const fresh = 'the shop in the long street sells fresh bread on every day of the week but one';
export const good = 'the shop in the long street sells good bread on every day of the week but one';
export const two = 'the shop in the long street sells warm bread on every day of the week but two';

/** A bank that is small asks the index. */
export const noLists: NeighbourLists = {
  of: () => Promise.reject(new Error('the lists were asked for')),
};

/** When no other transaction of the server (of another test's database, too) is older than the last change of a bank. */
export async function changesHaveEnded(bench: Workbench): Promise<void> {
  for (;;) {
    const [row] = await bench.rows<{ ended: boolean }>(
      `select coalesce(max(change_xid::text::bigint), 0) < pg_snapshot_xmin(pg_current_snapshot())::text::bigint as ended
       from engram.observations`,
    );
    if (row?.ended) return;
  }
}

export async function sweep(
  bench: Workbench,
  more: Partial<SweepRequest> = {},
  engine: ConsolidationEngine = bench.engine,
): Promise<SweepReport> {
  await changesHaveEnded(bench);
  return sweepNow(bench, more, engine);
}

export function sweepNow(
  bench: Workbench,
  more: Partial<SweepRequest> = {},
  engine: ConsolidationEngine = bench.engine,
): Promise<SweepReport> {
  const { signal } = new AbortController();
  return engine.sweepDuplicates({ bankId: bench.bankId, signal, neighbours: noLists, ...more });
}

/** How far the sweep has come in the bank; null: nowhere. */
export async function sweepMark(bench: Workbench): Promise<string | null> {
  const [row] = await bench.rows<{ seen: string }>(
    "select seen_xid::text || '/' || seen_id as seen from engram.sweep_marks where bank_id = $1",
    [bench.bankId],
  );
  return row?.seen ?? null;
}

/** Status of each fold in the history of the bank, oldest first. */
export async function folds(bench: Workbench): Promise<string[]> {
  const rows = await bench.rows<{ fold: string }>(
    `select s.kind || ' ' || o.status as fold from engram.change_ops o
     join engram.change_sets s on s.bank_id = o.bank_id and s.id = o.change_set_id
     where o.bank_id = $1 and o.op = 'fold' order by o.applied_no`,
    [bench.bankId],
  );
  return rows.map((row) => row.fold);
}
