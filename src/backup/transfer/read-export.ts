import { createHash } from 'node:crypto';
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
import { type ExportSource, linesOf } from './export-lines.ts';
import { RowRules } from './row-rules.ts';
import { type TransferTableName, transferTables } from './transfer-tables.ts';

export interface ExportedRow {
  readonly line: number;
  readonly table: TransferTableName;
  /** As it was read here, where long numbers are rounded. */
  readonly row: Readonly<Record<string, unknown>>;
  /** The line as it stands in the file: for the server, which reads numbers of any length. */
  readonly text: string;
}

export interface CheckedExport {
  readonly header: ExportHeader;
  readonly rows: number;
  readonly sha256: string;
}

/**
 * Reads all of it once and says what it is, before anything is written.
 *
 * @throws ImportLineError with the first line that is not what an export writes, or whose checksum or counts do not hold;
 *   ImportNewerError
 */
export async function checkExport(source: ExportSource, newestSchema: number): Promise<CheckedExport> {
  const reading = readExport(source, newestSchema);
  for (;;) {
    const step = await reading.next();
    if (step.done === true) return step.value;
  }
}

/**
 * The rows of an export that {@link checkExport} has found good, each looked at once more: a file may be written to
 * meanwhile.
 *
 * @throws ImportLineError also after the last row
 */
export async function* exportedRows(
  source: ExportSource,
  newestSchema: number,
  checked: CheckedExport,
): AsyncGenerator<ExportedRow> {
  const { sha256 } = yield* readExport(source, newestSchema);
  if (sha256 !== checked.sha256) throw new ImportLineError(1, 'the file was changed while it was read');
}

async function* readExport(source: ExportSource, newestSchema: number): AsyncGenerator<ExportedRow, CheckedExport> {
  const hash = createHash('sha256');
  const counts = new Map<TransferTableName, number>();
  let opened: { readonly header: ExportHeader; readonly rules: RowRules } | undefined;
  let end: { rows: RowCounts; sha256: string } | undefined;
  let rows = 0;
  let number = 0;
  for await (const text of linesOf(source)) {
    number += 1;
    if (end) throw new ImportLineError(number, 'something follows the end of the export');
    const value = parse(text, number);
    if (opened === undefined) {
      const header = readHeader(value, number, newestSchema);
      opened = { header, rules: new RowRules(header) };
    } else if ('end' in value) {
      const read = endSchema.safeParse(value);
      if (!read.success) throw new ImportLineError(number, 'the end of the export is not readable');
      end = read.data.end;
      continue;
    } else {
      const read = rowSchema.safeParse(value);
      if (!read.success) throw new ImportLineError(number, 'neither a row of a known table nor the end of the export');
      const { table, row } = read.data;
      opened.rules.check(number, table, row);
      counts.set(table, (counts.get(table) ?? 0) + 1);
      rows += 1;
      yield { line: number, table, row, text };
    }
    hash.update(`${text}\n`);
  }
  if (!opened) throw new ImportLineError(1, 'the file is empty');
  if (!end) throw new ImportLineError(number, 'the export ends too early: its last line is missing');
  for (const { name } of transferTables) {
    const [told, found] = [end.rows[name] ?? 0, counts.get(name) ?? 0];
    if (told !== found) throw new ImportLineError(number, `${told} rows of ${name} were written, ${found} are there`);
  }
  const sha256 = hash.digest('hex');
  if (sha256 !== end.sha256) throw new ImportLineError(number, 'the checksum does not hold: a line was changed');
  return { header: opened.header, rows, sha256 };
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
