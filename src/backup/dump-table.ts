import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { constants, createGzip } from 'node:zlib';
import type { DirectSession } from '../db/direct-session.ts';
import type { BackupFiles, NewFile } from './backup-files.ts';
import type { ManifestTable } from './manifest.ts';
import { readTable, type TableColumns } from './table-copy.ts';

/** Enough that the rows after those being compressed are hashed meanwhile. */
const mostUncompressedBytes = 2 ** 19;
const chunkBytes = 2 ** 17;

/** Rows of a table from the server into a compressed file, at the pace of the slowest of them. */
export async function dumpTable(
  session: DirectSession,
  table: TableColumns,
  options: { readonly folder: string; readonly files: BackupFiles; readonly onRows: (rows: number) => void },
): Promise<ManifestTable> {
  const name = `${table.name}.copy.gz`;
  const file = await options.files.create(join(options.folder, name));
  try {
    const compressed = compressInto(file);
    let content: { rows: number; contentHash: string };
    try {
      content = await readTable(session, table, (chunk, rows) => {
        options.onRows(rows);
        return compressed.write(chunk);
      });
    } catch (thrown) {
      await compressed.abandon();
      throw thrown;
    }
    const written = await compressed.end();
    await file.sync();
    return { ...table, columns: [...table.columns], file: name, ...written, ...content };
  } finally {
    await file.close();
  }
}

function compressInto(file: NewFile) {
  // Most of the bytes are vectors, of which a higher level makes nothing smaller.
  const gzip = createGzip({ level: constants.Z_BEST_SPEED, chunkSize: chunkBytes });
  const sha256 = createHash('sha256');
  let fileBytes = 0;
  let pendingBytes = 0;
  let proceed: () => void = () => undefined;
  /** Ends the stream with its failure, and that every write that waits. */
  const writing = (async () => {
    for await (const piece of gzip) {
      sha256.update(piece);
      fileBytes += piece.length;
      await file.write(piece);
    }
  })();
  writing.catch(() => undefined);

  return {
    async write(chunk: Buffer): Promise<void> {
      pendingBytes += chunk.length;
      gzip.write(chunk, () => {
        pendingBytes -= chunk.length;
        proceed();
      });
      while (pendingBytes > mostUncompressedBytes && !gzip.destroyed) {
        await new Promise<void>((resolve) => {
          proceed = resolve;
        });
      }
      if (gzip.destroyed) await writing;
    },
    async end(): Promise<{ fileBytes: number; sha256: string }> {
      gzip.end();
      await writing;
      return { fileBytes, sha256: sha256.digest('hex') };
    },
    async abandon(): Promise<void> {
      gzip.destroy();
      // A write under way would meet a closed file.
      await writing.catch(() => undefined);
    },
  };
}
