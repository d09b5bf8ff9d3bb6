import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { PassThrough, Transform, type TransformCallback } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { errorMessage } from '../telemetry/engramd-error.ts';
import { BackupDamagedError } from './backup-errors.ts';
import { isMissing, readError } from './backup-files.ts';
import type { Manifest, ManifestTable } from './manifest.ts';

/** What a backup is read from: its folder, and what its manifest says of the files there. */
export interface BackupSource {
  readonly folder: string;
  readonly manifest: Manifest;
}

/** Read ahead; what has been read lies outside the heap until it is swept, and pieces of 256 KiB were no faster. */
const readBytes = 64 * 1024;

/** The bytes of a file as they stand, passed on, and what they came to. */
export interface FileTap {
  readonly stream: Transform;
  /** @throws BackupDamagedError where what passed is not what the manifest says */
  assertWhole(): void;
}

export function openTable(source: BackupSource, table: ManifestTable) {
  return createReadStream(join(source.folder, table.file), { highWaterMark: readBytes });
}

export function tapFile(source: BackupSource, table: ManifestTable, onBytes: (bytes: number) => void): FileTap {
  const hash = createHash('sha256');
  let bytes = 0;
  const stream = new Transform({
    transform(chunk: Buffer, _encoding, done: TransformCallback) {
      hash.update(chunk);
      bytes += chunk.length;
      onBytes(bytes);
      done(null, chunk);
    },
  });
  return {
    stream,
    assertWhole() {
      assertLength(source, table, bytes);
      if (hash.digest('hex') !== table.sha256) throw damaged(source, table, 'was altered: its SHA-256 does not fit');
    },
  };
}

/**
 * Reads one file and compares it with the manifest.
 *
 * @throws BackupDamagedError which file, and whether it is missing, truncated or altered; BackupStorageError where it
 *   cannot be read, which is no damage
 */
export async function checkFile(
  source: BackupSource,
  table: ManifestTable,
  signal: AbortSignal,
  onBytes: (bytes: number) => void = () => undefined,
): Promise<void> {
  const found = await stat(join(source.folder, table.file)).catch((thrown) => {
    throw fileFault(source, table, thrown);
  });
  // Cheaper than reading it, and says more than a hash that does not fit.
  assertLength(source, table, found.size);
  const tap = tapFile(source, table, onBytes);
  await pipeline(openTable(source, table), tap.stream, new PassThrough().resume(), { signal }).catch((thrown) => {
    signal.throwIfAborted();
    throw fileFault(source, table, thrown);
  });
  tap.assertWhole();
}

/** Every file of a backup, before anything is begun with it. @throws BackupDamagedError, BackupStorageError */
export async function checkFiles(
  source: BackupSource,
  signal: AbortSignal,
  onTable: (table: ManifestTable) => void = () => undefined,
): Promise<void> {
  for (const table of source.manifest.tables) {
    onTable(table);
    await checkFile(source, table, signal);
  }
}

function fileFault(source: BackupSource, table: ManifestTable, thrown: unknown): Error {
  return isMissing(thrown)
    ? damaged(source, table, `is missing (${errorMessage(thrown)})`)
    : readError(thrown, join(source.folder, table.file));
}

function assertLength(source: BackupSource, table: ManifestTable, bytes: number): void {
  if (bytes === table.fileBytes) return;
  const what = bytes < table.fileBytes ? 'truncated' : 'too long';
  throw damaged(source, table, `is ${what}: ${bytes} bytes instead of ${table.fileBytes}`);
}

export function damaged(source: BackupSource, table: ManifestTable, what: string, cause?: unknown): BackupDamagedError {
  return new BackupDamagedError(`${table.file} of the backup ${source.folder} ${what}`, { cause });
}
