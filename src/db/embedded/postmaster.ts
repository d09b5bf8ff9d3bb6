import { readFileSync, realpathSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { Clock } from '../../telemetry/clock.ts';
import type { Log } from '../../telemetry/log.ts';
import { EmbeddedStopError } from './embedded-errors.ts';
import {
  commandLine,
  findProcess,
  type Liveness,
  livenessOf,
  type ProcessIdentity,
  ProcessUnreadableError,
} from './process-identity.ts';

/**
 * What postmaster.pid says, checked against the processes there are.
 *
 * `foreign`: its pid belongs to another program by now. `unclear`: a PostgreSQL, but the system does not tell of which
 * data directory, or it tells nothing of the process. `gone` needs nothing, the server itself replaces such a file.
 */
export type PostmasterFinding =
  | { readonly kind: 'absent' }
  | { readonly kind: 'gone' }
  | { readonly kind: 'foreign'; readonly pid: number }
  | { readonly kind: 'unclear'; readonly pid: number }
  | { readonly kind: 'ours'; readonly process: ProcessIdentity };

export function postmasterPidFile(data: string): string {
  return join(data, 'postmaster.pid');
}

export function findPostmaster(data: string): PostmasterFinding {
  let text: string;
  try {
    text = readFileSync(postmasterPidFile(data), 'utf8');
  } catch (thrown) {
    if (isErrno(thrown, 'ENOENT') || isErrno(thrown, 'ENOTDIR')) return { kind: 'absent' };
    throw thrown;
  }
  // Negative for a server in single-user mode.
  const pid = Math.abs(Number.parseInt(text, 10));
  const process = findOrUnclear(pid);
  if (process === 'unclear') return { kind: 'unclear', pid };
  if (!process) return { kind: 'gone' };
  const command = commandLine(pid);
  if (!command) return { kind: 'unclear', pid };
  const folder = dataFolderOf(command);
  if (folder !== undefined) return isSameFolder(folder, data) ? { kind: 'ours', process } : { kind: 'foreign', pid };
  return { kind: basename(command[0] ?? '').startsWith('postgres') ? 'unclear' : 'foreign', pid };
}

function findOrUnclear(pid: number): ProcessIdentity | undefined | 'unclear' {
  try {
    return findProcess(pid);
  } catch (thrown) {
    if (thrown instanceof ProcessUnreadableError) return 'unclear';
    throw thrown;
  }
}

function dataFolderOf(command: readonly string[]): string | undefined {
  if (!basename(command[0] ?? '').startsWith('postgres')) return undefined;
  const flag = command.indexOf('-D');
  return flag === -1 ? undefined : command[flag + 1];
}

/** Whatever links the two paths go through. */
export function isSameFolder(one: string, other: string): boolean {
  try {
    return realpathSync(one) === realpathSync(other);
  } catch {
    return false;
  }
}

const pollMs = 25;

/** What became of it within `limitMs`; `unknown` is asked about again for as long. */
async function waitWhile(
  process: ProcessIdentity,
  states: readonly Liveness[],
  limitMs: number,
  clock: Clock,
): Promise<Liveness> {
  const startedMs = clock.monotonicMs();
  for (;;) {
    const found = livenessOf(process);
    if (!states.includes(found) || clock.monotonicMs() - startedMs >= limitMs) return found;
    await clock.sleep(pollMs);
  }
}

/**
 * SIGINT is PostgreSQL's "fast": it ends connections, writes a checkpoint and goes. SIGQUIT comes after, and costs a
 * recovery at the next start. Never SIGKILL.
 *
 * @throws EmbeddedStopError
 */
export async function stopPostmaster(
  postmaster: ProcessIdentity,
  options: { clock: Clock; log: Log; fastMs?: number; immediateMs?: number },
): Promise<void> {
  const { clock, log, fastMs = 30_000, immediateMs = 15_000 } = options;
  const steps = [
    { signal: 'SIGINT', limitMs: fastMs },
    { signal: 'SIGQUIT', limitMs: immediateMs },
  ] as const;
  for (const { signal, limitMs } of steps) {
    // Asked right before: a pid that has been given to somebody else must not be hit, nor one that nobody knows.
    const found = await waitWhile(postmaster, ['unknown'], limitMs, clock);
    if (found === 'gone') return;
    if (found === 'alive') {
      if (!sendSignal(postmaster.pid, signal)) return;
      if ((await waitWhile(postmaster, ['alive', 'unknown'], limitMs, clock)) === 'gone') return;
    }
    log.warn(
      { serverPid: postmaster.pid, signal: found === 'alive' ? signal : 'none', waitedMs: limitMs },
      'the embedded database has not stopped yet',
    );
  }
  throw new EmbeddedStopError(`the embedded PostgreSQL (pid ${postmaster.pid}) does not stop; it is left running`);
}

/** False: there is no such process. */
function sendSignal(pid: number, signal: NodeJS.Signals): boolean {
  try {
    process.kill(pid, signal);
    // One that somebody paused would not hear it.
    process.kill(pid, 'SIGCONT');
    return true;
  } catch (thrown) {
    if (isErrno(thrown, 'ESRCH')) return false;
    throw thrown;
  }
}

function isErrno(thrown: unknown, code: string): boolean {
  return typeof thrown === 'object' && thrown !== null && 'code' in thrown && thrown.code === code;
}
