import { v7 as uuid } from 'uuid';
import { type Curation, createCuration } from '../../src/curation/create-curation.ts';
import { assertNoLease } from '../../src/db/lease.ts';
import { guardedEmbedder } from '../../src/models/embedder.ts';
import { insertInstance } from '../../src/store/instances.ts';
import { systemClock } from '../../src/telemetry/clock.ts';
import type { Workbench } from '../consolidation/workbench.ts';

/** Curation on a workbench's database; `hinted` lists the banks that became due. */
export async function curationOf(
  bench: Workbench,
  decider: { readonly name: string } = bench.decider,
): Promise<Curation & { readonly hinted: readonly string[] }> {
  const { db } = bench.database;
  const instanceId = uuid();
  await insertInstance(db, { id: instanceId, role: 'daemon', host: 'test', pid: process.pid, version: '0.0.0' });
  const hinted: string[] = [];
  const curation = createCuration({
    db,
    embedder: guardedEmbedder(bench.embedder, assertNoLease),
    decider,
    instanceId,
    clock: systemClock,
    racepoints: bench.races,
    newId: () => uuid(),
    hint: async (bank) => void hinted.push(bank),
  });
  return { ...curation, hinted };
}

/** Where a word stands in the database: `table.column`, of every column of every table of every schema of ours. */
export async function placesOf(bench: Workbench, word: string): Promise<string[]> {
  const columns = await bench.rows<{ schema: string; table: string; column: string }>(
    `select c.table_schema as schema, c.table_name as table, c.column_name as column
     from information_schema.columns c
     join information_schema.tables t on t.table_schema = c.table_schema and t.table_name = c.table_name
     where c.table_schema not in ('pg_catalog', 'information_schema') and t.table_type = 'BASE TABLE'
     order by 1, 2, 3`,
  );
  const found: string[] = [];
  for (const { schema, table, column } of columns) {
    // Names from the catalogue of a test database. Bytes are looked into as well: a text may stand in some.
    const [row] = await bench.rows<{ found: boolean }>(
      `select exists (select from "${schema}"."${table}" t
         where position(lower($1) in lower(t."${column}"::text)) > 0
           or position(encode(convert_to($1, 'UTF8'), 'hex') in t."${column}"::text) > 0) as found`,
      [word],
    );
    if (row?.found) found.push(`${table}.${column}`);
  }
  return found;
}
