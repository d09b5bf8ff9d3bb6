import type { DirectSession } from '../../db/direct-session.ts';
import { bankNameSchema } from '../../ingest/bank-name.ts';
import type { Racepoints } from '../../telemetry/racepoints.ts';
import { type ExportHeader, ImportConflictError, ImportLineError, type RowCounts } from './export-format.ts';
import type { ExportSource } from './export-lines.ts';
import { ForgottenHere } from './forgotten-here.ts';
import { setImportSession } from './import-session.ts';
import { insertStatement } from './insert-statement.ts';
import { type CheckedExport, checkExport, exportedRows } from './read-export.ts';
import { Renumbering } from './renumbering.ts';
import { batchesOf, jsonOf, namingTheLine, type RowBatch } from './row-batches.ts';
import { compareWithBank } from './standing-bank.ts';
import { transferColumns } from './table-columns.ts';
import { transferTables } from './transfer-tables.ts';

export interface ImportOptions {
  /** Its own: one transaction for all of it. */
  readonly session: DirectSession;
  readonly source: ExportSource;
  /** Name in this database; null: the one it had. */
  readonly bankId: string | null;
  /** Of this database. */
  readonly schema: number;
  /** Of a row in engram.instances: the runs of the bank are its runs here. */
  readonly instanceId: string;
  readonly signal: AbortSignal;
  readonly onProgress: (rows: number, total: number) => void;
  readonly racepoints: Racepoints;
}

export interface ImportReport {
  readonly bankId: string;
  /** Rows that were not there yet, by table; tables without one are left out. */
  readonly added: RowCounts;
  readonly rows: number;
  /** Memories of the file that were forgotten in this database: they do not come back. */
  readonly forgotten: number;
}

/**
 * Writes a bank from its export into one that is new or empty, in one transaction: all of it or nothing. One that stands
 * is only compared, so that the same file again adds nothing. What this database was told to forget is in nobody's sight
 * and listed in `engram.erasures_due` with the commit; whoever calls carries that out.
 *
 * @throws ImportLineError, ImportNewerError, ImportConflictError, errors of the server
 */
export async function importBank(options: ImportOptions): Promise<ImportReport> {
  const { session, source, schema, signal, onProgress, racepoints } = options;
  const checked = await checkExport(source, schema);
  const { header, rows: total } = checked;
  const bankId = options.bankId ?? nameIn(header);
  const rows = () => exportedRows(source, schema, checked);
  await session.query('begin');
  try {
    await setImportSession(session);
    await assertColumns(session, header);
    const target = await holdBank(session, bankId);
    if (target === 'standing') {
      await session.query('rollback');
      const comparison = { session, bankId, checked, rows: rows(), signal, onProgress };
      return { bankId, added: {}, rows: total, forgotten: await compareWithBank(comparison) };
    }
    const forgotten = await ForgottenHere.read(session);
    const run: Run = { ...options, checked, bankId, target, forgotten, numbers: new Renumbering(), added: {} };
    let done = 0;
    for await (const batch of batchesOf(rows())) {
      signal.throwIfAborted();
      await forgotten.note(batch);
      await namingTheLine(session, batch, (some) => insert(run, some));
      done += batch.length;
      onProgress(done, total);
    }
    await putEventsIn(run);
    const due = await forgotten.makeDue(bankId);
    await session.query("select pg_notify('engramd_work', $1)", [bankId]);
    await racepoints.reach('import:before-commit', { bankId });
    await session.query('commit');
    return { bankId, added: run.added, rows: total, forgotten: due };
  } catch (thrown) {
    await session.query('rollback').catch(() => undefined);
    throw thrown;
  }
}

interface Run extends Omit<ImportOptions, 'bankId'> {
  readonly checked: CheckedExport;
  readonly bankId: string;
  readonly target: 'absent' | 'empty';
  readonly forgotten: ForgottenHere;
  readonly numbers: Renumbering;
  readonly added: RowCounts;
}

/** As strict as wherever else a bank gets its name: nobody could ask for one that is called otherwise. */
function nameIn({ bank }: ExportHeader): string {
  const named = bankNameSchema.safeParse(bank);
  if (named.success) return named.data;
  const reason = named.error.issues[0]?.message ?? 'is not the name of a bank';
  throw new ImportLineError(1, `the name of its bank ${reason}: give it another with --bank`);
}

/** Columns that are none, or that this database fills by itself. */
async function assertColumns(session: DirectSession, header: ExportHeader): Promise<void> {
  const names = transferTables.map(({ name }) => name);
  const known = await transferColumns(session, names);
  for (const name of names) {
    const columns = header.columns[name] ?? [];
    const strange = columns.find((column, at) => !known.get(name)?.includes(column) || columns.indexOf(column) !== at);
    if (strange === undefined) continue;
    throw new ImportLineError(1, `${strange} of ${name} is no column that an import writes, or stands there twice`);
  }
}

/** Nobody adds to an empty bank until the end of the transaction. */
async function holdBank(session: DirectSession, bankId: string): Promise<'absent' | 'empty' | 'standing'> {
  // Primary key. In the mode that also those wait for who write rows of the bank.
  const { rowCount } = await session.query('select 1 from engram.banks where id = $1 for update', [bankId]);
  if (rowCount === 0) return 'absent';
  // Primary keys: the first row of each. A statement after the lock, so that it sees what that waited for.
  const { rows } = await session.query<{ stands: boolean }>(
    `select exists (select from engram.memories where bank_id = $1)
       or exists (select from engram.observations where bank_id = $1)
       or exists (select from engram.change_sets where bank_id = $1) as stands`,
    [bankId],
  );
  return rows[0]?.stands === true ? 'standing' : 'empty';
}

async function insert(run: Run, batch: RowBatch): Promise<void> {
  const { session, bankId, added, numbers } = run;
  const { table } = batch[0];
  const theirs = table === 'change_ops' || table === 'snapshots' ? batch.map(({ row }) => Number(row.applied_no)) : [];
  const statement = insertStatement(table, run.checked.header.columns[table] ?? []);
  const { rows } = await session.query<{ number: number | null }>(statement, [
    jsonOf(batch),
    bankId,
    run.instanceId,
    table === 'snapshots' ? theirs.map((number) => numbers.upTo(number)) : null,
  ]);
  if (table === 'banks' && rows.length === 0 && run.target === 'absent') {
    throw new ImportConflictError(
      `bank ${bankId} was made by somebody else meanwhile: run this once more; nothing was imported`,
    );
  }
  if (table !== 'events' && rows.length > 0) added[table] = (added[table] ?? 0) + rows.length;
  if (table === 'change_ops') {
    numbers.add(
      theirs,
      rows.flatMap(({ number }) => number ?? []),
    );
  }
  if (table === 'embedding_models') await assertSameModels(session, batch);
}

/** Vectors of one name and two lengths could not be compared. */
async function assertSameModels(session: DirectSession, batch: RowBatch): Promise<void> {
  // Primary key.
  const { rows } = await session.query<{ n: number; id: string; here: number; there: number }>(
    `select l.n::int as n, m.id, m.dimensions as here, r.dimensions as there
     from jsonb_array_elements($1::jsonb) with ordinality as l(line, n)
     cross join lateral jsonb_to_record(l.line -> 'row') as r(id text, dimensions integer)
     join engram.embedding_models m on m.id = r.id
     where m.dimensions <> r.dimensions order by l.n`,
    [jsonOf(batch)],
  );
  const [other] = rows;
  if (!other) return;
  throw new ImportLineError(
    batch[other.n - 1]?.line ?? batch[0].line,
    `vectors of ${other.id} have ${other.here} numbers in this database and ${other.there} in the file`,
  );
}

/** Events that are not here yet, in their order; the same event is the same in all it says. */
async function putEventsIn({ session, bankId, added }: Run): Promise<void> {
  // One pass over the bank's events (index events_bank), hashed against those of the file.
  const { rowCount } = await session.query(
    `insert into engram.events (bank_id, at, kind, memory_id, observation_id, change_set_id, detail)
     select i.bank_id, i.at, i.kind, i.memory_id, i.observation_id, i.change_set_id, i.detail
     from incoming_events i
     where not exists (select from engram.events e where e.bank_id = $1 and e.at = i.at and e.kind = i.kind
       and e.memory_id is not distinct from i.memory_id and e.observation_id is not distinct from i.observation_id
       and e.change_set_id is not distinct from i.change_set_id)
     order by i.ctid`,
    [bankId],
  );
  if (rowCount > 0) added.events = rowCount;
}
