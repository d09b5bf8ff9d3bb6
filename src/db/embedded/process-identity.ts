import { execFileSync } from 'node:child_process';
import { readFileSync, readlinkSync } from 'node:fs';

/** A pid alone says little: it is given out again. With the start time of its process it names one process of one boot. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Opaque; equal for the same process only. Linux: clock ticks since boot. Elsewhere: what `ps` prints, to the second. */
  readonly startTime: string;
}

/** The process that has this pid now, or undefined. A zombie is gone: under a PID 1 that never reaps it would stay for ever. */
export function findProcess(pid: number): ProcessIdentity | undefined {
  if (!Number.isSafeInteger(pid) || pid <= 0) return undefined;
  if (process.platform !== 'linux') return findProcessByPs(pid);
  const stat = readOrUndefined(`/proc/${pid}/stat`);
  if (stat === undefined) return undefined;
  // The second field is the command in parentheses and may hold blanks and parentheses itself.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const state = fields[0];
  const startTime = fields[19];
  if (startTime === undefined || state === 'Z' || state === 'X') return undefined;
  return { pid, startTime };
}

export function isSameProcessAlive(identity: ProcessIdentity): boolean {
  return findProcess(identity.pid)?.startTime === identity.startTime;
}

/** The arguments a process was started with, or undefined where the system does not tell. */
export function commandLine(pid: number): readonly string[] | undefined {
  if (process.platform === 'linux') {
    const text = readOrUndefined(`/proc/${pid}/cmdline`);
    return text ? text.replace(/\0$/, '').split('\0') : undefined;
  }
  const text = ps(pid, 'command=');
  return text ? text.split(' ') : undefined;
}

/**
 * The boot and the process namespace that pids are to be read in. Two equal values mean that each sees the other's
 * processes; containers that share a volume differ in the namespace, machines and reboots in the boot.
 */
export function processScope(): string {
  if (process.platform === 'linux') {
    const boot = readOrUndefined('/proc/sys/kernel/random/boot_id')?.trim() ?? 'unknown-boot';
    return `${boot} ${linkOrUndefined('/proc/self/ns/pid') ?? 'unknown-namespace'}`;
  }
  return run('sysctl', ['-n', 'kern.bootsessionuuid']) ?? run('sysctl', ['-n', 'kern.boottime']) ?? 'unknown-boot';
}

function findProcessByPs(pid: number): ProcessIdentity | undefined {
  const line = ps(pid, 'stat=,lstart=');
  const match = line === undefined ? null : /^(\S+)\s+(.+)$/.exec(line);
  if (!match?.[2] || match[1]?.startsWith('Z')) return undefined;
  return { pid, startTime: match[2] };
}

function ps(pid: number, columns: string): string | undefined {
  return run('ps', ['-ww', '-o', columns, '-p', String(pid)]);
}

function run(command: string, args: readonly string[]): string | undefined {
  try {
    // The start time is printed in local words and local time; pin both, or a changed TZ makes every owner look dead.
    const env = { PATH: process.env.PATH ?? '/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' };
    return (
      execFileSync(command, args, { encoding: 'utf8', env, stdio: ['ignore', 'pipe', 'ignore'] }).trim() || undefined
    );
  } catch {
    return undefined;
  }
}

function readOrUndefined(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

function linkOrUndefined(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}
