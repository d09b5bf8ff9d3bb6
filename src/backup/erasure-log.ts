import { type FileHandle, open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { Queryable } from '../db/database.ts';
import { type Erasure, findErasure, selectErasures } from '../store/erasures-due.ts';
import { errorMessage } from '../telemetry/engramd-error.ts';
import type { Log } from '../telemetry/log.ts';
import { isMissing, nodeFiles, readError, storageError } from './backup-files.ts';

/**
 * What was forgotten, beside the backups that may still hold it: ids and no texts, one erasure a line, only ever added to.
 * A restore takes it along, so that what was forgotten after the backup stays so. The database is the truth; a line that
 * could not be written comes with the next {@link syncErasures}.
 */
export const erasureLogFile = 'erasures.jsonl';

const lineSchema = z.object({
  bankId: z.string(),
  memoryId: z.guid(),
  erasedAt: z.iso.datetime({ offset: true }),
});

export interface ErasureLog {
  /** Each memory once, in the order in which they were noted. */
  readonly erasures: readonly Erasure[];
  /** Lines that say nothing: each is what a crash left of a write that nobody was told of. */
  readonly unreadable: number;
}

/** @throws BackupStorageError where it is there and cannot be read */
export async function readErasures(directory: string): Promise<ErasureLog> {
  const byMemory = new Map<string, Erasure>();
  let unreadable = 0;
  for (const line of (await readLog(directory)).split('\n')) {
    if (line === '') continue;
    const erasure = parseLine(line);
    if (!erasure) unreadable += 1;
    else if (!byMemory.has(keyOf(erasure))) byMemory.set(keyOf(erasure), erasure);
  }
  return { erasures: [...byMemory.values()], unreadable };
}

/**
 * Adds them, and returns when they are on the disk.
 *
 * @throws BackupStorageError
 */
export async function appendErasures(directory: string, erasures: readonly Erasure[]): Promise<void> {
  if (erasures.length === 0) return;
  const text = erasures.map((erasure) => `${lineOf(erasure)}\n`).join('');
  try {
    await nodeFiles.makeFolder(directory);
    const file = await open(join(directory, erasureLogFile), 'a+', 0o600);
    try {
      // Behind what a crash left of a line, one of its own. One write: other processes add lines too.
      await file.appendFile((await isTorn(file)) ? `\n${text}` : text);
      await file.sync();
    } finally {
      await file.close();
    }
    await nodeFiles.syncFolder(directory);
  } catch (thrown) {
    throw storageError(thrown, directory);
  }
}

const chunkSize = 5000;

/**
 * Adds what the database has and the log has not: erasures of other hosts and of plain SQL, and those whose line could not
 * be written.
 *
 * @returns how many there were
 * @throws BackupStorageError, errors of the server
 */
export async function syncErasures(db: Queryable, directory: string): Promise<number> {
  const known = new Set((await readErasures(directory)).erasures.map(keyOf));
  let added = 0;
  let last: Erasure | null = null;
  for (;;) {
    const chunk: Erasure[] = await selectErasures(db, last, chunkSize);
    const missing = chunk.filter((erasure) => !known.has(keyOf(erasure)));
    await appendErasures(directory, missing);
    added += missing.length;
    last = chunk.at(-1) ?? null;
    if (chunk.length < chunkSize) return added;
  }
}

/**
 * Notes one erasure after its commit. Never throws: the memory is forgotten, whatever becomes of the line, which comes
 * with the next sync.
 */
export async function noteErasure(
  deps: { readonly db: Queryable; readonly directory: string; readonly log: Log },
  erased: Pick<Erasure, 'bankId' | 'memoryId'>,
): Promise<void> {
  const { db, directory, log } = deps;
  try {
    const erasure = await findErasure(db, erased.bankId, erased.memoryId);
    if (erasure) await appendErasures(directory, [erasure]);
  } catch (thrown) {
    log.warn(
      { ...erased, error: errorMessage(thrown) },
      'a memory is forgotten but not in the log beside the backups yet; the next backup or start puts it there',
    );
  }
}

async function readLog(directory: string): Promise<string> {
  try {
    return await readFile(join(directory, erasureLogFile), 'utf8');
  } catch (thrown) {
    if (isMissing(thrown)) return '';
    throw readError(thrown, join(directory, erasureLogFile));
  }
}

function parseLine(line: string): Erasure | undefined {
  try {
    const { bankId, memoryId, erasedAt } = lineSchema.parse(JSON.parse(line));
    return { bankId, memoryId, erasedAt: new Date(erasedAt) };
  } catch {
    return undefined;
  }
}

function lineOf({ bankId, memoryId, erasedAt }: Erasure): string {
  return JSON.stringify({ bankId, memoryId, erasedAt: erasedAt.toISOString() });
}

function keyOf({ bankId, memoryId }: Pick<Erasure, 'bankId' | 'memoryId'>): string {
  return JSON.stringify([bankId, memoryId]);
}

async function isTorn(file: FileHandle): Promise<boolean> {
  const { size } = await file.stat();
  if (size === 0) return false;
  const { buffer } = await file.read(Buffer.alloc(1), 0, 1, size - 1);
  return buffer.toString('latin1') !== '\n';
}
