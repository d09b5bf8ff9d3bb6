import { type FileHandle, open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { Queryable } from '../db/database.ts';
import { type Erasure, findErasure, selectErasures } from '../store/erasures-due.ts';
import { readStoreId, readStoreIdentity } from '../store/store-origin.ts';
import { errorMessage } from '../telemetry/engramd-error.ts';
import type { Log } from '../telemetry/log.ts';
import { isMissing, nodeFiles, readError, storageError } from './backup-files.ts';

/**
 * What was forgotten, beside the backups that may still hold it: ids and no texts, one erasure a line, only ever added to.
 * A restore takes it along, so that what was forgotten after the backup stays so. Several databases may share it, and an
 * import gives two of them the same memory: each line says in which store it was forgotten. The database is the truth; a
 * line that could not be written comes with the next {@link syncErasures}.
 */
export const erasureLogFile = 'erasures.jsonl';

/** An erasure as a line tells it. */
export interface NotedErasure extends Erasure {
  /** In which it was forgotten. Null: the line is older than that, and may be of any. */
  readonly store: string | null;
}

const lineSchema = z.object({
  bankId: z.string(),
  memoryId: z.guid(),
  erasedAt: z.iso.datetime({ offset: true }),
  store: z.guid().optional(),
});

export interface ErasureLog {
  /** Each memory once a store, in the order in which they were noted. */
  readonly erasures: readonly NotedErasure[];
  /** Lines that say nothing: each is what a crash left of a write that nobody was told of. */
  readonly unreadable: number;
}

/** @throws BackupStorageError where it is there and cannot be read */
export async function readErasures(directory: string): Promise<ErasureLog> {
  const byMemory = new Map<string, NotedErasure>();
  let unreadable = 0;
  for (const line of (await readLog(directory)).split('\n')) {
    if (line === '') continue;
    const erasure = parseLine(line);
    if (!erasure) unreadable += 1;
    else if (!byMemory.has(keyOf(erasure))) byMemory.set(keyOf(erasure), erasure);
  }
  return { erasures: [...byMemory.values()], unreadable };
}

/** Those that a restore takes along: of one of the stores, or of nobody knows which. */
export function erasuresOf(erasures: readonly NotedErasure[], stores: readonly (string | null)[]): NotedErasure[] {
  return erasures.filter(({ store }) => store === null || stores.includes(store));
}

/**
 * Adds them, and returns when they are on the disk.
 *
 * @throws BackupStorageError
 */
export async function appendErasures(directory: string, erasures: readonly NotedErasure[]): Promise<void> {
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
  // None where the database is older than the id of its store, which a restore may find.
  const { store } = await readStoreIdentity(db);
  const own = erasuresOf((await readErasures(directory)).erasures, [store]);
  const known = new Set(own.map((erasure) => keyOf({ ...erasure, store })));
  let added = 0;
  let last: Erasure | null = null;
  for (;;) {
    const chunk: Erasure[] = await selectErasures(db, last, chunkSize);
    const missing = chunk.map((erasure) => ({ ...erasure, store })).filter((erasure) => !known.has(keyOf(erasure)));
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
    if (erasure) await appendErasures(directory, [{ ...erasure, store: await readStoreId(db) }]);
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

function parseLine(line: string): NotedErasure | undefined {
  try {
    const { bankId, memoryId, erasedAt, store = null } = lineSchema.parse(JSON.parse(line));
    return { bankId, memoryId, erasedAt: new Date(erasedAt), store };
  } catch {
    return undefined;
  }
}

function lineOf({ bankId, memoryId, erasedAt, store }: NotedErasure): string {
  return JSON.stringify({ bankId, memoryId, erasedAt: erasedAt.toISOString(), ...(store !== null && { store }) });
}

function keyOf({ store, bankId, memoryId }: Pick<NotedErasure, 'store' | 'bankId' | 'memoryId'>): string {
  return JSON.stringify([store, bankId, memoryId]);
}

async function isTorn(file: FileHandle): Promise<boolean> {
  const { size } = await file.stat();
  if (size === 0) return false;
  const { buffer } = await file.read(Buffer.alloc(1), 0, 1, size - 1);
  return buffer.toString('latin1') !== '\n';
}
