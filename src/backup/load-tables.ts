import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { type DirectSession, quoteName } from '../db/direct-session.ts';
import { sqlState } from '../db/errors.ts';
import { errorMessage } from '../telemetry/engramd-error.ts';
import type { OnProgress } from './backup-store.ts';
import { keptTables } from './kept-tables.ts';
import type { ManifestTable } from './manifest.ts';
import { engramTables } from './schema-parts.ts';
import type { KeptTable } from './table-copy.ts';
import { type BackupSource, checkFile, damaged, openTable, tapFile } from './table-files.ts';

/**
 * Handed to the server at once. The heap is swept by how many pieces there were, not by how much they hold: with pieces of
 * 128 KiB a verification of 200,000 memories stood 93 to 99 MiB over idle, with these 77 to 83, and took as long.
 */
const unpackedBytes = 32 * 1024;
/** Of a file, between two words about it. */
const bytesATold = 4 * 1024 * 1024;

/**
 * Copies every table of a backup in. The tables are empty and were made in this transaction, which is what lets their
 * rows be written as if they had always been there.
 *
 * @throws BackupDamagedError where a file is not what the manifest says, or its rows are none of this schema
 */
export async function loadTables(
  session: DirectSession,
  source: BackupSource,
  options: { readonly signal: AbortSignal; readonly onProgress: OnProgress },
): Promise<void> {
  const { tables, schema } = source.manifest;
  const known = new Set(await engramTables(session));
  const totalRows = tables.reduce((sum, { rows }) => sum + rows, 0);
  let rowsBefore = 0;
  for (const table of tables) {
    if (!known.has(table.name) || !isKept(table.name)) {
      throw damaged(source, table, `is of a table that schema ${schema} does not have`);
    }
    const told = (rows: number) =>
      options.onProgress({ phase: 'restore', table: table.name, rows: rowsBefore + rows, totalRows });
    told(0);
    await loadTable(session, source, table, options.signal, told);
    rowsBefore += table.rows;
  }
}

export function isKept(name: string): name is KeptTable {
  return keptTables.some((kept) => kept === name);
}

async function loadTable(
  session: DirectSession,
  source: BackupSource,
  table: ManifestTable,
  signal: AbortSignal,
  told: (rows: number) => void,
): Promise<void> {
  let toldBytes = 0;
  const tap = tapFile(source, table, (bytes) => {
    if (bytes - toldBytes < bytesATold) return;
    toldBytes = bytes;
    // Nobody counts rows on the way in; those that came back are counted when they are compared.
    told(Math.round((table.rows * bytes) / table.fileBytes));
  });
  const rows = session.copyIn(copyInStatement(table));
  try {
    await pipeline(openTable(source, table), tap.stream, createGunzip({ chunkSize: unpackedBytes }), rows, { signal });
    tap.assertWhole();
  } catch (thrown) {
    signal.throwIfAborted();
    throw await explain(thrown, source, table, signal);
  }
}

function copyInStatement({ name, columns }: ManifestTable): string {
  return `copy engram.${quoteName(name)} (${columns.map(quoteName).join(', ')}) from stdin with (format binary, freeze)`;
}

/** An altered file fails wherever it stops making sense: in its compression, in its rows, or nowhere but in its hash. */
async function explain(thrown: unknown, source: BackupSource, table: ManifestTable, signal: AbortSignal) {
  try {
    await checkFile(source, table, signal);
  } catch (found) {
    return found;
  }
  return explainMisfit(thrown, source.manifest.schema, (what) => damaged(source, table, what, thrown));
}

/** Classes of data, integrity and syntax: the server took the rows for what they are, and they do not fit. */
export function explainMisfit(thrown: unknown, schema: number, make: (what: string) => Error): unknown {
  const state = sqlState(thrown);
  if (state === undefined || !/^(22|23|42[67]|08P)/.test(state)) return thrown;
  return make(`does not fit the tables of schema ${schema}: ${errorMessage(thrown)}`);
}
