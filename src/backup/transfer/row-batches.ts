import type { DirectSession } from '../../db/direct-session.ts';
import { sqlState } from '../../db/errors.ts';
import { errorMessage } from '../../telemetry/engramd-error.ts';
import { ImportLineError } from './export-format.ts';
import type { ExportedRow } from './read-export.ts';

/** Rows of one table, in their order. */
export type RowBatch = readonly [ExportedRow, ...ExportedRow[]];

const mostRowsAStatement = 200;
const mostCharactersAStatement = 4_000_000;

export async function* batchesOf(rows: AsyncIterable<ExportedRow>): AsyncGenerator<RowBatch> {
  let batch: ExportedRow[] = [];
  let characters = 0;
  for await (const row of rows) {
    const [first, ...rest] = batch;
    const isFull = batch.length >= mostRowsAStatement || characters + row.text.length > mostCharactersAStatement;
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

/** The lines as one JSON array, for the server. */
export function jsonOf(batch: RowBatch): string {
  return `[${batch.map(({ text }) => text).join(',')}]`;
}

/** What the server finds wrong with a batch is said of the line that it is wrong with. */
export async function namingTheLine(
  session: DirectSession,
  batch: RowBatch,
  give: (batch: RowBatch) => Promise<void>,
): Promise<void> {
  await session.query('savepoint batch');
  try {
    await give(batch);
  } catch (thrown) {
    // 22, 23 and 54: a value, a rule or a limit; anything else is not the file's fault.
    if (!/^(22|23|54)/.test(sqlState(thrown) ?? '')) throw thrown;
    await session.query('rollback to savepoint batch');
    for (const row of batch) await giveOne(row, give);
    throw thrown;
  }
  await session.query('release savepoint batch');
}

async function giveOne(row: ExportedRow, give: (batch: RowBatch) => Promise<void>): Promise<void> {
  try {
    await give([row]);
  } catch (cause) {
    throw new ImportLineError(row.line, `the database does not take this row of ${row.table}: ${errorMessage(cause)}`, {
      cause,
    });
  }
}
