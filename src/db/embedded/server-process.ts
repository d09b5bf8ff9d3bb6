import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { errorMessage } from '../../telemetry/engramd-error.ts';
import { explainSpawnFailure, serverEnvironment } from './cluster.ts';
import { EmbeddedStartError } from './embedded-errors.ts';
import { connectionUrl, serverPort } from './layout.ts';
import { stopPostmaster } from './postmaster.ts';
import { findProcess, type ProcessIdentity } from './process-identity.ts';
import { askServer } from './server-queries.ts';
import type { StartContext } from './start-context.ts';

/** A server that says nothing at all for this long is not going to. */
const silentLimitMs = 60_000;
/** Crash recovery answers "starting up" meanwhile, and may take its time on a slow disk. */
export const recoveryLimitMs = 15 * 60_000;
/** Children of a postmaster that was killed end with their statement, which a transaction of ours limits to 60 s. */
const sharedMemoryLimitMs = 90_000;

const requiredSettings: Readonly<Record<string, string>> = {
  listen_addresses: '',
  unix_socket_permissions: '0700',
  logging_collector: 'off',
  log_destination: 'stderr',
  log_line_prefix: '%m [%p] ',
  // What failed is known to the client. Its text, its parameters and the DETAIL of a violated key hold memories, and
  // those have no business in a log.
  log_statement: 'none',
  log_min_error_statement: 'panic',
  log_min_duration_statement: '-1',
  log_error_verbosity: 'terse',
  log_parameter_max_length: '0',
  log_parameter_max_length_on_error: '0',
};

/** Starts the server and waits until a query is answered. */
export async function launchServer(context: StartContext): Promise<{ process: ProcessIdentity; version: string }> {
  const { clock, signal } = context;
  const startedMs = clock.monotonicMs();
  for (;;) {
    try {
      return await launchOnce(context);
    } catch (thrown) {
      if (!isHeldByTheDead(thrown) || clock.monotonicMs() - startedMs > sharedMemoryLimitMs) throw thrown;
      await clock.sleep(250, signal);
      signal?.throwIfAborted();
    }
  }
}

/**
 * A postmaster that was killed is in the way for as long as a child of its computes, which holds the shared memory, and
 * until whoever started it has taken note of its end, since the server asks whether its pid exists and a zombie does.
 */
function isHeldByTheDead(thrown: unknown): boolean {
  if (!(thrown instanceof EmbeddedStartError)) return false;
  return /pre-existing shared memory block|lock file "postmaster\.pid" already exists/.test(thrown.message);
}

async function launchOnce(context: StartContext): Promise<{ process: ProcessIdentity; version: string }> {
  const { clock, log, layout, signal } = context;
  const child = spawnServer(context);
  const ended = new Promise<never>((_, reject) => {
    child.once('error', (error) => reject(explainSpawnFailure(error, 'postgres')));
    child.once('exit', (code, endSignal) => {
      const how = endSignal ? `was ended by ${endSignal}` : `ended with code ${code}`;
      reject(
        new EmbeddedStartError(
          `the embedded PostgreSQL ${how}; the end of ${layout.logFile}:\n${lastLines(layout.logFile)}`,
        ),
      );
    });
  });
  // It is raced below; the rejection after a success (the server's normal end) is nobody's business.
  ended.catch(() => undefined);
  const process = child.pid === undefined ? undefined : await findChild(child, child.pid, ended);
  if (!process) return await ended;
  try {
    const version = await Promise.race([waitUntilReady(context), ended]);
    // From here on it lives without us: nothing of it keeps our event loop going.
    child.unref();
    return { process, version };
  } catch (thrown) {
    await stopPostmaster(process, { clock, log });
    signal?.throwIfAborted();
    throw thrown;
  }
}

/** @throws ProcessUnreadableError; nobody could watch over a server that is not told apart, so it is ended again */
async function findChild(
  child: ChildProcess,
  pid: number,
  ended: Promise<never>,
): Promise<ProcessIdentity | undefined> {
  try {
    return findProcess(pid);
  } catch (thrown) {
    // Our own child: its pid is nobody else's before we have taken note of its end.
    child.kill('SIGINT');
    await ended.catch(() => undefined);
    throw thrown;
  }
}

function spawnServer(context: StartContext): ChildProcess {
  const { layout, binaries, user, extraSettings } = context;
  const settings = {
    ...requiredSettings,
    port: String(serverPort),
    unix_socket_directories: layout.socketFolder,
    ...extraSettings,
  };
  rotateLog(layout.logFile);
  const logHandle = openSync(layout.logFile, 'a', 0o600);
  try {
    return spawn(
      join(binaries.folder, 'bin', 'postgres'),
      ['-D', layout.data, ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])],
      {
        // A session of its own: Ctrl-C at the terminal goes to us, and we stop it in order.
        detached: true,
        stdio: ['ignore', logHandle, logHandle],
        cwd: '/',
        env: serverEnvironment(),
        ...(user ? { uid: user.uid, gid: user.gid } : {}),
      },
    );
  } finally {
    closeSync(logHandle);
  }
}

async function waitUntilReady(context: StartContext): Promise<string> {
  const { clock, log, layout, password, signal } = context;
  const startedMs = clock.monotonicMs();
  let hasAnswered = false;
  let isAnnounced = false;
  for (;;) {
    signal?.throwIfAborted();
    const answer = await askServer(connectionUrl(layout, password, 'postgres'));
    if (answer.kind === 'ready') return answer.version;
    const waitedMs = clock.monotonicMs() - startedMs;
    if (answer.kind === 'refused') {
      throw new EmbeddedStartError(
        `the embedded PostgreSQL refuses the password in ${layout.passwordFile}: ${errorMessage(answer.error)}`,
        { cause: answer.error },
      );
    }
    hasAnswered ||= answer.kind === 'busy';
    if (waitedMs > 2_000 && !isAnnounced) {
      isAnnounced = true;
      log.info(
        { answer: errorMessage(answer.error) },
        'waiting for the embedded database; after a crash it recovers first',
      );
    }
    const limitMs = hasAnswered ? recoveryLimitMs : silentLimitMs;
    if (waitedMs > limitMs) {
      throw new EmbeddedStartError(
        `the embedded PostgreSQL did not answer within ${limitMs / 1000} s (${errorMessage(answer.error)}); ` +
          `the end of ${layout.logFile}:\n${lastLines(layout.logFile)}`,
      );
    }
    await clock.sleep(20, signal);
  }
}

/** One log a start and the one before: a daemon restarted for years keeps two. */
function rotateLog(logFile: string): void {
  try {
    renameSync(logFile, `${logFile}.1`);
  } catch {
    // The first start.
  }
}

function lastLines(logFile: string, count = 10): string {
  try {
    return readFileSync(logFile, 'utf8').trimEnd().split('\n').slice(-count).join('\n');
  } catch (thrown) {
    return `(not readable: ${errorMessage(thrown)})`;
  }
}
