import type { DirectSession } from '../db/direct-session.ts';
import { quoteName } from '../db/direct-session.ts';
import { readStoreOrigin } from '../store/store-origin.ts';
import { keptTables } from './kept-tables.ts';
import { readLocale } from './locale.ts';
import type { ManifestBody } from './manifest.ts';
import { assertNoColumnAdded } from './own-columns.ts';
import { makeProbe } from './probe.ts';
import { keptColumns, type TableColumns } from './table-copy.ts';

/** What a snapshot says of itself. */
export interface SnapshotFacts
  extends Pick<
    ManifestBody,
    'schema' | 'server' | 'store' | 'epoch' | 'origin' | 'snapshotAt' | 'seenXid' | 'locale' | 'sequences' | 'probe'
  > {
  readonly tables: readonly TableColumns[];
  /** As the statistics have it; null where a table has none yet. */
  readonly aboutRows: number | null;
}

/**
 * Begins the one transaction that all of a backup is read in. Its locks keep a migration and a restore out until its end,
 * and come first: the snapshot is that of the first query.
 */
export async function beginSnapshot(session: DirectSession): Promise<void> {
  const tables = [...keptTables, 'store', 'migrations'].map((table) => `engram.${quoteName(table)}`);
  await session.script('begin isolation level repeatable read read only');
  await session.script(`lock table ${tables.join(', ')} in access share mode`);
}

/** @throws ColumnAddedError */
export async function readSnapshotFacts(session: DirectSession): Promise<SnapshotFacts> {
  const { rows } = await session.query<{
    schema: number;
    server: string;
    store: string;
    epoch: string;
    snapshotAt: Date;
    seenXid: string;
    aboutRows: number | null;
  }>(
    // When the statement began: what was committed before that is in the snapshot.
    `select statement_timestamp() as "snapshotAt", pg_snapshot_xmin(pg_current_snapshot())::text as "seenXid",
       (select max(version)::int from engram.migrations) as schema, current_setting('server_version') as server,
       s.id as store, s.epoch::text as epoch,
       (select case when bool_and(c.reltuples >= 0) then sum(c.reltuples)::float8 end from pg_class c
        where c.relnamespace = 'engram'::regnamespace and c.relname = any($1::text[])) as "aboutRows"
     from engram.store s`,
    [keptTables],
  );
  const facts = rows[0];
  if (!facts) throw new Error('engram.store has lost its row');
  await assertNoColumnAdded(session, keptTables, 'backup');
  const tables = await keptColumns(session);
  return {
    ...facts,
    epoch: Number(facts.epoch),
    origin: await readStoreOrigin(session),
    locale: await readLocale(session),
    snapshotAt: facts.snapshotAt.toISOString(),
    tables,
    sequences: await readSequences(session),
    probe: await makeProbe(session),
  };
}

/** Sequences know no snapshot: as of now, no row of the snapshot is ahead of them. Those nobody has drawn from are left out. */
async function readSequences(session: DirectSession): Promise<ManifestBody['sequences']> {
  const { rows } = await session.query<ManifestBody['sequences'][number]>(
    `select sequencename as name, last_value::text as "lastValue" from pg_sequences
     where schemaname = 'engram' and last_value is not null order by sequencename`,
  );
  return rows;
}
