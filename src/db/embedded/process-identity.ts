import { execFileSync } from 'node:child_process';
import { readFileSync, readlinkSync } from 'node:fs';
import { EngramdError, errorMessage } from '../../telemetry/engramd-error.ts';

/** A pid alone says little: it is given out again. With the start time of its process it names one process of one boot. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Opaque; equal for the same process only. Linux: clock ticks since boot. Elsewhere: what `ps` prints, to the second. */
  readonly startTime: string;
}

/** The system does not tell about a process: no descriptor is left to ask with, or no right to. It may well live (law L12). */
export class ProcessUnreadableError extends EngramdError {
  readonly code = 'PROCESS_UNREADABLE';
  override readonly retryable = true;
}

/**
 * The process that has this pid now, or undefined. A zombie is gone: under a PID 1 that never reaps it would stay for ever.
 *
 * @throws ProcessUnreadableError
 */
export function findProcess(pid: number): ProcessIdentity | undefined {
  if (!Number.isSafeInteger(pid) || pid <= 0) return undefined;
  if (process.platform !== 'linux') return findProcessByPs(pid);
  const stat = ofTheLiving(() => readFileSync(`/proc/${pid}/stat`, 'utf8'));
  if (stat === undefined) return undefined;
  // The second field is the command in parentheses and may hold blanks and parentheses itself.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const state = fields[0];
  const startTime = fields[19];
  if (startTime === undefined || state === 'Z' || state === 'X') return undefined;
  return { pid, startTime };
}

/** `unknown`: nobody told; whoever acts on a death does not act on that. */
export type Liveness = 'alive' | 'gone' | 'unknown';

export function livenessOf(identity: ProcessIdentity): Liveness {
  try {
    return findProcess(identity.pid)?.startTime === identity.startTime ? 'alive' : 'gone';
  } catch (thrown) {
    if (thrown instanceof ProcessUnreadableError) return 'unknown';
    throw thrown;
  }
}

/** The arguments a process was started with, or undefined where the system does not tell. */
export function commandLine(pid: number): readonly string[] | undefined {
  if (process.platform === 'linux') {
    const text = unlessUnreadable(() => readFileSync(`/proc/${pid}/cmdline`, 'utf8'));
    return text ? text.replace(/\0$/, '').split('\0') : undefined;
  }
  const text = unlessUnreadable(() => ps(pid, 'command='));
  return text ? text.split(' ') : undefined;
}

/**
 * The boot and the process namespace that pids are to be read in. Two equal values mean that each sees the other's
 * processes; containers that share a volume differ in the namespace, machines and reboots in the boot.
 *
 * @throws ProcessUnreadableError where it would be another value a moment later
 */
export function processScope(): string {
  if (process.platform === 'linux') {
    const boot = ofTheSystem(() => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8'))?.trim() ?? 'unknown-boot';
    return `${boot} ${ofTheSystem(() => readlinkSync('/proc/self/ns/pid')) ?? 'unknown-namespace'}`;
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
  } catch (thrown) {
    // It ran and found nothing; otherwise it could not even be started.
    if (typeof thrown === 'object' && thrown !== null && 'status' in thrown && typeof thrown.status === 'number')
      return undefined;
    throw unreadable(command, thrown);
  }
}

/** What only a living process has. ESRCH: it ended between the opening and the reading. */
function ofTheLiving(read: () => string): string | undefined {
  return unless(['ENOENT', 'ESRCH'], read);
}

/** What a sandbox may hide for as long as it lives: then it is unknown to everybody in it. */
function ofTheSystem(read: () => string): string | undefined {
  return unless(['ENOENT', 'EACCES', 'EPERM'], read);
}

function unless(codes: readonly string[], read: () => string): string | undefined {
  try {
    return read();
  } catch (thrown) {
    const code = typeof thrown === 'object' && thrown !== null && 'code' in thrown ? String(thrown.code) : '';
    if (codes.includes(code)) return undefined;
    throw unreadable('/proc', thrown);
  }
}

function unlessUnreadable(read: () => string | undefined): string | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}

function unreadable(what: string, thrown: unknown): ProcessUnreadableError {
  return new ProcessUnreadableError(`${what} does not tell about processes: ${errorMessage(thrown)}`, {
    cause: thrown,
  });
}
