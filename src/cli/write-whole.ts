import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { type FileHandle, lstat, open, readlink, realpath, rename, rm, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import type { Writable } from 'node:stream';
import { errorMessage } from '../telemetry/engramd-error.ts';
import { UsageError } from './cli-errors.ts';

/**
 * Lines into a file that nobody else may read: beside its name, and then renamed, so that what has the name is whole. What
 * is there and no regular file (a pipe, a device) is written into as it is, since a rename would put a file in its place.
 *
 * @throws UsageError where it cannot be written
 */
export async function writeWhole(path: string, lines: AsyncIterable<string>): Promise<void> {
  try {
    if (await isSpecial(path)) await writeInto(await open(path, 'w'), lines);
    else await replace(await behindLinks(path), lines);
  } catch (thrown) {
    if (thrown instanceof Error && 'syscall' in thrown) {
      throw new UsageError(`${path} cannot be written: ${errorMessage(thrown)}`, { cause: thrown });
    }
    throw thrown;
  }
}

/** As fast as the reader takes it. */
export async function pour(lines: AsyncIterable<string>, to: Writable): Promise<void> {
  let failure: Error | undefined;
  const onError = (error: Error) => {
    failure = error;
  };
  to.on('error', onError);
  try {
    for await (const line of lines) {
      if (failure) throw failure;
      if (!to.write(`${line}\n`)) await roomIn(to);
    }
    if (failure) throw failure;
  } finally {
    to.off('error', onError);
  }
}

/** Until it takes more, or is closed. */
async function roomIn(to: Writable): Promise<void> {
  const over = new AbortController();
  const { signal } = over;
  try {
    await Promise.race([once(to, 'drain', { signal }), once(to, 'close', { signal })]);
  } finally {
    // The one that did not come would be listened for to the end.
    over.abort();
  }
}

async function replace(path: string, lines: AsyncIterable<string>): Promise<void> {
  // A name of its own: another export to the same file may be under way, and a `.part` that is there is somebody's. A file
  // that is made here is ours alone; one that was there would keep its rights, or be a link.
  const part = `${path}.${randomBytes(6).toString('hex')}.part`;
  const handle = await open(part, 'wx', 0o600);
  try {
    await writeInto(handle, lines, () => handle.sync());
    await rename(part, path);
  } catch (thrown) {
    await rm(part, { force: true }).catch(() => undefined);
    throw thrown;
  }
}

async function writeInto(handle: FileHandle, lines: AsyncIterable<string>, atEnd?: () => Promise<void>): Promise<void> {
  try {
    const stream = createWriteStream('', { fd: handle.fd, autoClose: false });
    await pour(lines, stream);
    stream.end();
    await once(stream, 'finish');
    await atEnd?.();
  } finally {
    await handle.close();
  }
}

async function isSpecial(path: string): Promise<boolean> {
  return !((await unlessAbsent(stat(path)))?.isFile() ?? true);
}

/** Of a link the file that it names, there or not: what is replaced is that and not the link. */
async function behindLinks(path: string): Promise<string> {
  const real = await unlessAbsent(realpath(path));
  if (real !== undefined) return real;
  const isLink = (await unlessAbsent(lstat(path)))?.isSymbolicLink() ?? false;
  return isLink ? behindLinks(resolve(dirname(path), await readlink(path))) : path;
}

async function unlessAbsent<T>(looking: Promise<T>): Promise<T | undefined> {
  try {
    return await looking;
  } catch (thrown) {
    if (thrown instanceof Error && 'code' in thrown && thrown.code === 'ENOENT') return undefined;
    throw thrown;
  }
}
