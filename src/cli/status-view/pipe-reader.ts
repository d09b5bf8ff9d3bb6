import { fstatSync, lstatSync, readdirSync, readlinkSync } from 'node:fs';

/**
 * Tells whether somebody still reads a pipe, without writing to it: `engramd status --watch | head -1` is over when head
 * is, and the next change, whose EPIPE would tell, may be hours away.
 *
 * Linux alone shows who holds an end of a pipe. A reader that was never seen (elsewhere, of another user, in another
 * container) is taken to be there; EPIPE ends the command then.
 */
export function createPipeReaderWatch(fd: number): () => boolean {
  const pipe = process.platform === 'linux' && fstatSync(fd).isFIFO() ? targetOf(`/proc/self/fd/${fd}`) : undefined;
  if (pipe === undefined || pipe === 'unknown') return () => true;
  let reader = findReader(pipe);
  return () => {
    if (reader === undefined || reader === 'unknown') return true;
    const held = targetOf(reader);
    if (held === pipe || held === 'unknown') return true;
    // A shell holds both ends until it has started both programs.
    const next = findReader(pipe);
    if (next !== 'unknown') reader = next;
    return next !== undefined;
  };
}

/** The first descriptor of any process that can read from it. */
function findReader(pipe: string): string | undefined | 'unknown' {
  const processes = namesIn('/proc');
  if (processes === 'unknown') return 'unknown';
  for (const pid of processes.filter((name) => /^\d+$/.test(name))) {
    const descriptors = namesIn(`/proc/${pid}/fd`);
    if (descriptors === 'unknown') return 'unknown';
    for (const name of descriptors) {
      const path = `/proc/${pid}/fd/${name}`;
      if (targetOf(path) === pipe && isReadable(path)) return path;
    }
  }
  return undefined;
}

/** The right to read of such a link is that of its descriptor. */
function isReadable(path: string): boolean {
  return ((lstatSync(path, { throwIfNoEntry: false })?.mode ?? 0) & 0o400) !== 0;
}

function targetOf(path: string): string | undefined | 'unknown' {
  try {
    return readlinkSync(path);
  } catch (thrown) {
    return isGone(thrown) ? undefined : 'unknown';
  }
}

/** Those of other users are passed over; anything else that cannot be read may be the reader's. */
function namesIn(folder: string): readonly string[] | 'unknown' {
  try {
    return readdirSync(folder);
  } catch (thrown) {
    return isGone(thrown) || codeOf(thrown) === 'EACCES' ? [] : 'unknown';
  }
}

function isGone(thrown: unknown): boolean {
  const code = codeOf(thrown);
  return code === 'ENOENT' || code === 'ESRCH';
}

function codeOf(thrown: unknown): string {
  return typeof thrown === 'object' && thrown !== null && 'code' in thrown ? String(thrown.code) : '';
}
