import type { DirectSession } from '../../db/direct-session.ts';
import { sqlState } from '../../db/errors.ts';
import { errorMessage } from '../../telemetry/engramd-error.ts';
import type { Racepoints } from '../../telemetry/racepoints.ts';
import { type ExportHeader, ImportConflictError, ImportLineError, type RowCounts } from './export-format.ts';
import { insertStatement } from './insert-statement.ts';
import { checkExport, type ExportedRow, type ExportSource, exportedRows } from './read-export.ts';
import type { TransferTableName } from './transfer-tables.ts';

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
  /** Memories of the file that were forgotten in this database: not brought back. */
  readonly forgotten: number;
}

const mostRowsAStatement = 200;
const mostCharactersAStatement = 4_000_000;

/**
 * Writes a bank from its export, in one transaction: all of it or nothing. Rows that are there stay as they are, so that
 * the same file again adds nothing. What this database was told to forget is listed in `engram.erasures_due` where it
 * came back with a whole bank; whoever calls carries that out.
 *
 * @throws ImportLineError, ImportNewerError, ImportConflictError, errors of the server
 */
export async function importBank(options: ImportOptions): Promise<ImportReport> {
  const { session, source, signal, racepoints } = options;
  const { header, rows: total } = await checkExport(source, options.schema);
  const bankId = options.bankId ?? header.bank;
  await session.query('begin');
  try {
    const wasThere = await prepare(session, bankId);
    const run: Run = { ...options, header, bankId, wasThere, total, done: 0, added: {}, refused: 0 };
    for await (const batch of batches(exportedRows(source))) {
      signal.throwIfAborted();
      await writeBatch(run, batch);
    }
    await putEventsIn(run);
    await assertOneHistory(run);
    await keepNumbering(session, bankId);
    const forgotten = await forgottenHere(run);
    await session.query("select pg_notify('engramd_work', $1)", [bankId]);
    await racepoints.reach('import:before-commit', { bankId });
    await session.query('commit');
    return { bankId, added: run.added, rows: total, forgotten };
  } catch (thrown) {
    await session.query('rollback').catch(() => undefined);
    throw thrown;
  }
}

interface Run extends ImportOptions {
  readonly header: ExportHeader;
  readonly bankId: string;
  /** Whether the bank stood here before. */
  readonly wasThere: boolean;
  readonly total: number;
  done: number;
  readonly added: RowCounts;
  /** Memories that were left out, having been forgotten here. */
  refused: number;
}

/** @returns whether the bank is there already; it stays as it is until the end of the transaction */
async function prepare(session: DirectSession, bankId: string): Promise<boolean> {
  await session.script("set local timezone = 'UTC'; set local datestyle = 'ISO'; set local extra_float_digits = 1");
  await session.query("select set_config('engram.writer', 'import', true)");
  // A restore that is waited for comes after this, or this one after it: never in the middle.
  await session.query('select epoch from engram.store');
  // Gathered first: nearly each event of a bank that is here already is here too, and has no key of its own to tell by.
  await session.query('create temp table incoming_events (like engram.events including defaults) on commit drop');
  await session.query('alter table incoming_events alter column id drop not null');
  // Primary key. What applies meanwhile waits: half a bank would be decided on.
  const { rowCount } = await session.query('select 1 from engram.banks where id = $1 for no key update', [bankId]);
  return rowCount > 0;
}

async function* batches(rows: AsyncIterable<ExportedRow>): AsyncGenerator<readonly [ExportedRow, ...ExportedRow[]]> {
  let batch: ExportedRow[] = [];
  let characters = 0;
  for await (const row of rows) {
    const [first, ...rest] = batch;
    const isFull = batch.length >= mostRowsAStatement || characters >= mostCharactersAStatement;
    if (first && (first.table !== row.table || isFull)) {
      yield [first, ...rest];
      batch = [];
      characters = 0;
    }
    batch.push(row);
    characters += row.text.length;
  }
  const [first, ...rest] = batch;
  if (first) yield [first, ...rest];
}

async function writeBatch(run: Run, batch: readonly [ExportedRow, ...ExportedRow[]]): Promise<void> {
  const { table } = batch[0];
  const { session } = run;
  await session.query('savepoint batch');
  try {
    await insert(run, table, batch);
  } catch (thrown) {
    // 22 and 23: a value or a rule; anything else is not the file's fault.
    if (!/^2[23]/.test(sqlState(thrown) ?? '')) throw thrown;
    await session.query('rollback to savepoint batch');
    await nameTheLine(run, table, batch, thrown);
  }
  await session.query('release savepoint batch');
  run.done += batch.length;
  run.onProgress(run.done, run.total);
}

/** One by one, to say which line it was. */
async function nameTheLine(run: Run, table: TransferTableName, batch: readonly ExportedRow[], cause: unknown) {
  for (const row of batch) {
    try {
      await insert(run, table, [row]);
    } catch (thrown) {
      throw new ImportLineError(row.line, `the database does not take this row of ${table}: ${errorMessage(thrown)}`, {
        cause: thrown,
      });
    }
  }
  throw cause;
}

async function insert(run: Run, table: TransferTableName, batch: readonly ExportedRow[]): Promise<void> {
  const { session, header, bankId, instanceId } = run;
  const lines = `[${batch.map(({ text }) => text).join(',')}]`;
  const statement = insertStatement(table, header.columns[table] ?? []);
  const { rows } = await session.query<{ id: string | null }>(statement, [lines, bankId, instanceId, run.wasThere]);
  if (table !== 'events' && rows.length > 0) run.added[table] = (run.added[table] ?? 0) + rows.length;
  if (table === 'memories') await assertSameMemories(run, lines);
}

/** A memory that was left out is there under its own id, or was forgotten. */
async function assertSameMemories(run: Run, lines: string): Promise<void> {
  // Primary keys of memories and erasures.
  const { rows } = await run.session.query<{ id: string; forgotten: boolean }>(
    `select r.id, e.memory_id is not null as forgotten
     from jsonb_array_elements($1::jsonb) as l(line)
     cross join lateral (select (l.line -> 'row' ->> 'id')::uuid as id) as r
     left join engram.memories m on m.bank_id = $2 and m.id = r.id
     left join engram.erasures e on e.bank_id = $2 and e.memory_id = r.id
     where m.id is null`,
    [lines, run.bankId],
  );
  const stranger = rows.find(({ forgotten }) => !forgotten);
  if (stranger) {
    throw new ImportConflictError(
      `memory ${stranger.id} is in bank ${run.bankId} under another id (its reference or key is taken): import into a bank of its own with --bank; nothing was imported`,
    );
  }
  run.refused += rows.length;
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

/** Rows that are new beside rows that moved on would be two histories in one bank. */
async function assertOneHistory(run: Run): Promise<void> {
  const { session, bankId, wasThere, added } = run;
  const isNew = (['memories', 'observations', 'change_sets'] as const).some((table) => (added[table] ?? 0) > 0);
  if (!wasThere || !isNew) return;
  // Index observations_changed: rows of this transaction, against all others of the bank.
  const { rows } = await session.query<{ others: boolean }>(
    `select exists (select from engram.observations where bank_id = $1 and change_xid <> pg_current_xact_id())
       or exists (select from engram.memories where bank_id = $1 and change_xid <> pg_current_xact_id()) as others`,
    [bankId],
  );
  if (rows[0]?.others !== true) return;
  throw new ImportConflictError(
    `bank ${bankId} is there and holds something else than this export: import it under another name with --bank; nothing was imported`,
  );
}

/** Ops that come are numbered as they were; those of this database go on behind them. */
async function keepNumbering(session: DirectSession, bankId: string): Promise<void> {
  // Index change_ops_applied. A sequence only grows here: setval to less would give a number twice.
  await session.query(
    `select setval(s.name, greatest(top.applied_no, nextval(s.name)))
     from (select pg_get_serial_sequence('engram.change_ops', 'applied_no') as name) as s,
       (select max(applied_no) as applied_no from engram.change_ops where bank_id = $1) as top
     where top.applied_no is not null`,
    [bankId],
  );
}

/** What came back with a whole bank although it was forgotten here is to be forgotten again. */
async function forgottenHere({ session, bankId, refused }: Run): Promise<number> {
  // Primary keys of erasures and memories. A row that is there is written too: whoever carries it out comes after this.
  const { rowCount } = await session.query(
    `insert into engram.erasures_due as due (bank_id, memory_id, erased_at)
     select e.bank_id, e.memory_id, e.erased_at from engram.erasures e
     join engram.memories m on m.bank_id = e.bank_id and m.id = e.memory_id
     where e.bank_id = $1
     on conflict (bank_id, memory_id) do update set erased_at = least(due.erased_at, excluded.erased_at)`,
    [bankId],
  );
  return rowCount + refused;
}
