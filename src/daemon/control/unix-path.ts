import { readFileSync, readlinkSync, statSync } from 'node:fs';

/**
 * The path of a unix socket that somebody else has bound, as `connect` takes it. Null where it cannot be had: outside of
 * Linux, which is where sockets are handed down by descriptor.
 */
export function pathOfUnixSocket(fd: number): string | null {
  try {
    const [, inode] = /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/self/fd/${fd}`)) ?? [];
    if (inode === undefined) return null;
    const path = readFileSync('/proc/net/unix', 'utf8')
      .split('\n')
      .map((line) => /^[0-9a-f]+: (?:[0-9A-F]+ ){5} *(\d+) (.+)$/.exec(line))
      .find((row) => row?.[1] === inode)?.[2];
    if (path === undefined) return null;
    // In the abstract name space; the kernel shows its zero so.
    return path.startsWith('@') ? `\0${path.slice(1)}` : path;
  } catch {
    return null;
  }
}

/** Whether both lead to the same socket: `/var/run` is a link to `/run`. */
export function isSameSocket(one: string, other: string): boolean {
  if (one === other) return true;
  try {
    const [first, second] = [statSync(one), statSync(other)];
    return first.ino === second.ino && first.dev === second.dev;
  } catch {
    return false;
  }
}
