import { createHash } from 'node:crypto';
import { constants, createReadStream, fstatSync, openSync } from 'node:fs';
import { mkdtemp, open as openFile, rm, stat } from 'node:fs/promises';
import { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { addAbortSignal, type Readable } from 'node:stream';
import { isatty, ReadStream as TerminalStream } from 'node:tty';
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
 * A file, or for `-` what comes on stdin. What is no regular file (`<(…)`, a pipe with a name) cannot be read twice, and
 * the hash is in the key of the first line already; so it is put aside in a temporary file, not in memory.
 *
 * @throws UsageError where the file cannot be read
 */
export async function openIngestSource(path: string, stdin: Readable, signal?: AbortSignal): Promise<IngestSource> {
  if (path === '-' || path === '/dev/stdin') return putAside(() => stdin, signal);
  try {
    const found = await stat(path);
    if (found.isDirectory()) throw new Error('is a directory');
    if (!found.isFile()) return await putAside(() => openUnending(path), signal);
    return await hashed(path, async () => undefined, signal);
  } catch (cause) {
    throw new UsageError(`${path} cannot be read: ${errorMessage(cause)}`, { cause });
  }
}

/**
 * What may keep a reader waiting for ever: a pipe that nobody writes to, a terminal. Not read as files are, in a thread
 * that no signal gets out of its wait, and that the process would not end without.
 */
function openUnending(path: string): Readable {
  // The opening of a pipe alone would wait for a writer.
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  if (isatty(fd)) return new TerminalStream(fd);
  return fstatSync(fd).isFIFO() ? new Socket({ fd, readable: true, writable: false }) : createReadStream(path, { fd });
}

async function hashed(
  path: string,
  close: () => Promise<void>,
  signal: AbortSignal | undefined,
): Promise<IngestSource> {
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const chunk of createReadStream(path, { signal }) as AsyncIterable<Uint8Array>) {
    hash.update(chunk);
    bytes += chunk.length;
  }
  return { hash: hash.digest('hex'), bytes, chunks: () => createReadStream(path), close };
}

async function putAside(open: () => Readable, signal: AbortSignal | undefined): Promise<IngestSource> {
  const folder = await mkdtemp(join(tmpdir(), 'engramd-ingest-'));
  const remove = () => rm(folder, { recursive: true, force: true });
  const path = join(folder, 'put-aside.jsonl');
  try {
    const file = await openFile(path, 'wx', 0o600);
    try {
      const from = open();
      if (signal) addAbortSignal(signal, from);
      for await (const chunk of from as AsyncIterable<Uint8Array>) await file.writeFile(chunk);
    } finally {
      await file.close();
    }
    const source = await hashed(path, remove, signal);
    signal?.throwIfAborted();
    return source;
  } catch (thrown) {
    await remove();
    throw thrown;
  }
}
