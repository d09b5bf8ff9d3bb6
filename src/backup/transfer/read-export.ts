import { createHash } from 'node:crypto';
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import {
  type ExportHeader,
  endSchema,
  exportFormat,
  headerSchema,
  ImportLineError,
  ImportNewerError,
  type RowCounts,
  rowSchema,
} from './export-format.ts';
import { type TransferTableName, transferTables } from './transfer-tables.ts';

/** A row as it stands in the file: its text is for the server, which reads numbers of any length. */
export interface ExportedRow {
  readonly line: number;
  readonly table: TransferTableName;
  readonly text: string;
}

/** Something that can be read more than once. */
export interface ExportSource {
  chunks(): AsyncIterable<Uint8Array>;
}

/**
 * Reads all of it once and says what it is, before anything is written.
 *
 * @throws ImportLineError with the first line that is not what an export writes, or whose checksum or counts do not hold;
 *   ImportNewerError
 */
export async function checkExport(
  source: ExportSource,
  newestSchema: number,
): Promise<{ readonly header: ExportHeader; readonly rows: number }> {
  const hash = createHash('sha256');
  const counts = new Map<TransferTableName, number>();
  let header: ExportHeader | undefined;
  let end: { rows: RowCounts; sha256: string } | undefined;
  let furthest = 0;
  let rows = 0;
  let number = 0;
  for await (const text of linesOf(source)) {
    number += 1;
    if (end) throw new ImportLineError(number, 'something follows the end of the export');
    const value = parse(text, number);
    if (header === undefined) {
      header = readHeader(value, number, newestSchema);
    } else if ('end' in value) {
      const read = endSchema.safeParse(value);
      if (!read.success) throw new ImportLineError(number, 'the end of the export is not readable');
      end = read.data.end;
      continue;
    } else {
      const row = readRow(value, number, header);
      const place = transferTables.findIndex(({ name }) => name === row.table);
      if (place < furthest) throw new ImportLineError(number, `a row of ${row.table} stands out of its place`);
      furthest = place;
      counts.set(row.table, (counts.get(row.table) ?? 0) + 1);
      rows += 1;
    }
    hash.update(`${text}\n`);
  }
  if (!header) throw new ImportLineError(1, 'the file is empty');
  if (!end) throw new ImportLineError(number, 'the export ends too early: its last line is missing');
  for (const { name } of transferTables) {
    const [told, found] = [end.rows[name] ?? 0, counts.get(name) ?? 0];
    if (told !== found) throw new ImportLineError(number, `${told} rows of ${name} were written, ${found} are there`);
  }
  if (hash.digest('hex') !== end.sha256) {
    throw new ImportLineError(number, 'the checksum does not hold: a line was changed');
  }
  return { header, rows };
}

/** The rows of an export that {@link checkExport} has found good. */
export async function* exportedRows(source: ExportSource): AsyncGenerator<ExportedRow> {
  let line = 0;
  for await (const text of linesOf(source)) {
    line += 1;
    const table = /^\{"table":"([a-z_]+)"/.exec(text)?.[1];
    if (table !== undefined) yield { line, table: table as TransferTableName, text };
  }
}

function linesOf(source: ExportSource): AsyncIterable<string> {
  return createInterface({ input: Readable.from(source.chunks()), crlfDelay: Number.POSITIVE_INFINITY });
}

function parse(text: string, line: number): object {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new ImportLineError(line, 'not JSON');
  }
  if (typeof value !== 'object' || value === null) throw new ImportLineError(line, 'not an object');
  return value;
}

function readHeader(value: object, line: number, newestSchema: number): ExportHeader {
  const format = 'format' in value ? value.format : undefined;
  if (typeof format === 'number' && format > exportFormat) throw newer();
  const read = headerSchema.safeParse(value);
  if (!read.success) throw new ImportLineError(line, 'not the beginning of an export of engramd');
  if (read.data.schema > newestSchema) throw newer();
  return read.data;
}

function newer(): ImportNewerError {
  return new ImportNewerError('the export was written by a newer engramd: upgrade this one; nothing was imported');
}

function readRow(value: object, line: number, header: ExportHeader) {
  const read = rowSchema.safeParse(value);
  if (!read.success) throw new ImportLineError(line, 'neither a row of a known table nor the end of the export');
  const { table, row } = read.data;
  const { bankColumn } = transferTables.find(({ name }) => name === table) ?? { bankColumn: null };
  if (bankColumn !== null && row[bankColumn] !== header.bank) {
    throw new ImportLineError(line, `a row of another bank than ${header.bank}`);
  }
  const missing = header.columns[table]?.find((column) => !(column in row));
  if (missing !== undefined) throw new ImportLineError(line, `a row of ${table} without ${missing}`);
  return read.data;
}
