import { z } from 'zod';
import { EngramdError } from '../../telemetry/engramd-error.ts';
import { type TransferTableName, transferTables } from './transfer-tables.ts';

/** Grows where an older engramd could not read what is written. */
export const exportFormat = 1;

const tableNames = transferTables.map(({ name }) => name) as [TransferTableName, ...TransferTableName[]];

export const headerSchema = z.object({
  engramd: z.literal('export'),
  format: z.int().positive(),
  /** Version of the schema whose rows these are. */
  schema: z.int().positive(),
  bank: z.string().min(1),
  exportedAt: z.iso.datetime(),
  /** Columns of each table, in their order. */
  columns: z.partialRecord(z.enum(tableNames), z.array(z.string().regex(/^[a-z_]+$/)).min(1)),
});

export const rowSchema = z.strictObject({
  table: z.enum(tableNames),
  row: z.record(z.string(), z.unknown()),
});

export const endSchema = z.strictObject({
  end: z.strictObject({
    rows: z.partialRecord(z.enum(tableNames), z.int().nonnegative()),
    /** Of all lines before this one, their line ends included. */
    sha256: z.string().regex(/^[0-9a-f]{64}$/),
  }),
});

export type ExportHeader = z.output<typeof headerSchema>;
export type RowCounts = Partial<Record<TransferTableName, number>>;

/** There is no bank of that name. */
export class ExportBankUnknownError extends EngramdError {
  readonly code = 'BANK_UNKNOWN';
}

/** A line of the file is not what an export writes; `line` counts from 1. Nothing was imported. */
export class ImportLineError extends EngramdError {
  readonly code = 'IMPORT_LINE';
  readonly line: number;

  constructor(line: number, reason: string, options?: { cause?: unknown }) {
    super(`line ${line}: ${reason}; nothing was imported`, options);
    this.line = line;
  }
}

/** Written by a newer engramd. */
export class ImportNewerError extends EngramdError {
  readonly code = 'IMPORT_NEWER';
}

/** The bank is there and has gone its own way since. Nothing was imported. */
export class ImportConflictError extends EngramdError {
  readonly code = 'IMPORT_CONFLICT';
  override readonly exitCode = 4;
}
