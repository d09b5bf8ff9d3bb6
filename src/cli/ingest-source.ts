import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdtemp, open, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { errorMessage } from '../telemetry/engramd-error.ts';
import { UsageError } from './cli-errors.ts';

/** Something that can be read twice: once for its hash, once for its lines. */
export interface IngestSource {
  /** SHA-256 of the content, hexadecimal. */
  readonly hash: string;
  readonly bytes: number;
  chunks(): AsyncIterable<Uint8Array>;
  /** Removes what was put aside. */
  close(): Promise<void>;
}

/**
 * A file, or for `-` what comes on stdin. A pipe cannot be read twice, and the hash is in the key of the first line
 * already; so it is put aside in a temporary file, not in memory.
 *
 * @throws UsageError where the file cannot be read
 */
export async function openIngestSource(path: string, stdin: AsyncIterable<Uint8Array>): Promise<IngestSource> {
  if (path === '-') return putAside(stdin);
  try {
    if ((await stat(path)).isDirectory()) throw new Error('is a directory');
    return await hashed(path, async () => undefined);
  } catch (cause) {
    throw new UsageError(`${path} cannot be read: ${errorMessage(cause)}`, { cause });
  }
}

async function hashed(path: string, close: () => Promise<void>): Promise<IngestSource> {
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const chunk of createReadStream(path) as AsyncIterable<Uint8Array>) {
    hash.update(chunk);
    bytes += chunk.length;
  }
  return { hash: hash.digest('hex'), bytes, chunks: () => createReadStream(path), close };
}

async function putAside(stdin: AsyncIterable<Uint8Array>): Promise<IngestSource> {
  const folder = await mkdtemp(join(tmpdir(), 'engramd-ingest-'));
  const remove = () => rm(folder, { recursive: true, force: true });
  const path = join(folder, 'stdin.jsonl');
  try {
    const file = await open(path, 'wx', 0o600);
    try {
      for await (const chunk of stdin) await file.writeFile(chunk);
    } finally {
      await file.close();
    }
    return await hashed(path, remove);
  } catch (thrown) {
    await remove();
    throw thrown;
  }
}
