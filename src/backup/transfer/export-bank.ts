import { createHash } from 'node:crypto';
import { type DirectSession, quoteName } from '../../db/direct-session.ts';
import { assertNoColumnAdded } from '../own-columns.ts';
import { ExportBankUnknownError, type ExportHeader, exportFormat, type RowCounts } from './export-format.ts';
import { transferColumns } from './table-columns.ts';
import { type TransferTable, transferTables } from './transfer-tables.ts';

export interface ExportOptions {
  /** Its own: a transaction is open until the last line is taken. */
  readonly session: DirectSession;
  readonly bankId: string;
  /** Of this database. */
  readonly schema: number;
  readonly signal: AbortSignal;
  readonly onProgress: (rows: number) => void;
}

/** Rows fetched at once: some megabytes where each has a vector. */
const rowsAFetch = 500;

/**
 * A bank with all that is in it, as lines of JSON without their line ends: a header, a line a row, and an end with counts
 * and a checksum. All of one instant, whoever writes meanwhile.
 *
 * @throws ExportBankUnknownError, ColumnAddedError
 */
export async function* exportBank(options: ExportOptions): AsyncGenerator<string> {
  const { session, bankId, signal } = options;
  await session.query('begin isolation level repeatable read read only');
  try {
    // Dates as every server and this runtime read them, whatever the server's own settings; floats exactly.
    await session.script("set local timezone = 'UTC'; set local datestyle = 'ISO'; set local extra_float_digits = 1");
    const { rows: found } = await session.query<{ now: Date }>('select now() as now from engram.banks where id = $1', [
      bankId,
    ]);
    if (!found[0]) throw new ExportBankUnknownError(`there is no bank ${bankId}`);
    const names = transferTables.map(({ name }) => name);
    await assertNoColumnAdded(session, names, 'export');
    const columns = await transferColumns(session, names);
    const header: ExportHeader = {
      engramd: 'export',
      format: exportFormat,
      schema: options.schema,
      bank: bankId,
      exportedAt: found[0].now.toISOString(),
      columns: Object.fromEntries(columns),
    };
    const hash = createHash('sha256');
    const counts: RowCounts = {};
    let total = 0;
    const told = (line: string) => {
      hash.update(`${line}\n`);
      return line;
    };
    yield told(JSON.stringify(header));
    for (const table of transferTables) {
      counts[table.name] = 0;
      for await (const rows of rowsOf(session, bankId, table, columns.get(table.name) ?? [])) {
        signal.throwIfAborted();
        // As the server wrote it: read and written again here, a long number of somebody's metadata would be rounded.
        for (const row of rows) yield told(`{"table":"${table.name}","row":${row}}`);
        counts[table.name] = (counts[table.name] ?? 0) + rows.length;
        total += rows.length;
        options.onProgress(total);
      }
    }
    yield JSON.stringify({ end: { rows: counts, sha256: hash.digest('hex') } });
  } finally {
    await session.query('rollback').catch(() => undefined);
  }
}

async function* rowsOf(session: DirectSession, bankId: string, table: TransferTable, columns: readonly string[]) {
  await session.query(cursorOver(table, columns), [bankId]);
  for (;;) {
    const { rows } = await session.query<{ line: string }>(`fetch ${rowsAFetch} from transfer_rows`);
    if (rows.length === 0) break;
    yield rows.map(({ line }) => line);
  }
  await session.query('close transfer_rows');
}

/** Names come from the catalog and our own list. Index: the primary key of each, or the bank's part of it. */
function cursorOver({ name, bankColumn, order }: TransferTable, columns: readonly string[]): string {
  const listed = columns.map((column) => `t.${quoteName(column)}`).join(', ');
  const sorted = order.map((column) => `t.${quoteName(column)}`).join(', ');
  const where =
    bankColumn === null
      ? `exists (select from engram.memories m where m.bank_id = $1 and m.embedding_model = t.id)
         or exists (select from engram.observations o where o.bank_id = $1 and o.embedding_model = t.id)`
      : `t.${quoteName(bankColumn)} = $1`;
  // An entity may have another id where it is going: it is found by its name there.
  const withName =
    name === 'memory_entities'
      ? ', (select e.name from engram.entities e where e.bank_id = t.bank_id and e.id = t.entity_id) as entity_name'
      : '';
  return `declare transfer_rows no scroll cursor for
    select row_to_json(r)::text as line from (
      select ${listed}${withName} from engram.${quoteName(name)} t where ${where} order by ${sorted}) as r`;
}
