import { chmodSync, mkdirSync, rmSync } from 'node:fs';
import { EngramdError, errorMessage } from '../../telemetry/engramd-error.ts';
import { copyBinaries, locateBinaries, removeOtherCopies } from './binaries.ts';
import { ensureCluster } from './cluster.ts';
import { EmbeddedStorageError } from './embedded-errors.ts';
import { connectionUrl, databaseName, embeddedLayout } from './layout.ts';
import { findPostmaster, isSameFolder, postmasterPidFile, stopPostmaster } from './postmaster.ts';
import { livenessOf, type ProcessIdentity } from './process-identity.ts';
import { launchServer, recoveryLimitMs } from './server-process.ts';
import { askServer, ensureDatabase } from './server-queries.ts';
import { assertReachable, chooseServerUser } from './server-user.ts';
import type { EmbeddedPostgresOptions, StartContext } from './start-context.ts';

export interface EmbeddedPostgres {
  /** Database `engramd`, superuser `engramd`, over the unix socket. Holds the password. */
  readonly connectionString: string;
  /** True when the server was running already, left over from a daemon that was killed. */
  readonly adopted: boolean;
  readonly pid: number;
  /** Of the server, e.g. `18.4`. */
  readonly version: string;
  /** False once the server is known to be gone, for whatever reason: that the system does not tell is no death (law L12). */
  isRunning(): boolean;
  /**
   * Stops the server, adopted or not, and resolves when it is gone. Repeated calls share one stop.
   *
   * @throws EmbeddedStopError
   */
  stop(): Promise<void>;
}

/**
 * A PostgreSQL of engramd's own below `dataDir`, created on first use, reachable over a unix socket only.
 *
 * The server survives its supervisor: it is started detached, so that neither Ctrl-C nor SIGKILL here takes it down in
 * the middle of a commit, and the next start adopts it.
 *
 * @throws UnsupportedPlatformError, SocketPathTooLongError, NoServerUserError, DataDirUnreachableError,
 *   EmbeddedStorageError, EmbeddedClusterError, EmbeddedStartError, EmbeddedStopError
 */
export async function startEmbeddedPostgres(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  try {
    return await start(options);
  } catch (thrown) {
    throw explainStorageError(thrown, options.dataDir);
  }
}

async function start(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  const { log, signal } = options;
  const layout = embeddedLayout(options.dataDir);
  const user = chooseServerUser(layout.data);
  mkdirSync(layout.root, { recursive: true });
  chmodSync(layout.root, user ? 0o711 : 0o700);
  if (user) assertReachable(layout.root, user);
  const binaries = copyBinaries(locateBinaries(), layout.binaries);
  const isDurable = options.extraSettings?.fsync !== 'off';
  const password = await ensureCluster(layout, { binaries, user, isDurable, log, signal });
  const context: StartContext = { ...options, layout, binaries, user, password };

  const adopted = await adoptOrStopOrphan(context);
  if (adopted) {
    log.info(
      { serverPid: adopted.pid, version: adopted.version },
      'adopted the embedded database that was running already',
    );
    return supervise(context, adopted, true);
  }
  signal?.throwIfAborted();
  removeOtherCopies(layout.binaries, binaries.version, log);
  const launched = await launchServer(context);
  try {
    await ensureDatabase(connectionUrl(layout, password, 'postgres'), databaseName);
    signal?.throwIfAborted();
  } catch (thrown) {
    await stopPostmaster(launched.process, context);
    throw thrown;
  }
  log.info({ serverPid: launched.process.pid, version: launched.version }, 'the embedded database is up');
  return supervise(context, { ...launched.process, version: launched.version }, false);
}

type RunningServer = ProcessIdentity & { readonly version: string };

/** The running server of this cluster if there is one that answers. Afterwards, if undefined, there is none at all. */
async function adoptOrStopOrphan(context: StartContext): Promise<RunningServer | undefined> {
  const { layout, log, clock, signal } = context;
  const finding = findPostmaster(layout.data);
  switch (finding.kind) {
    case 'absent':
    case 'gone':
    case 'unclear':
      // PostgreSQL judges such a file itself, and refuses to start rather than to share a data directory.
      return undefined;
    case 'foreign':
      // It would refuse here too: all it sees is that the pid is alive.
      log.warn({ pid: finding.pid }, 'postmaster.pid names a process that is not this server; removing it');
      rmSync(postmasterPidFile(layout.data), { force: true });
      return undefined;
    case 'ours':
      break;
    default:
      return finding satisfies never;
  }
  const orphan = finding.process;
  const maintenance = connectionUrl(layout, context.password, 'postgres');
  const startedMs = clock.monotonicMs();
  while (livenessOf(orphan) !== 'gone') {
    signal?.throwIfAborted();
    const answer = await askServer(maintenance);
    if (answer.kind === 'ready' && isSameFolder(answer.dataDirectory, layout.data)) {
      await ensureDatabase(maintenance, databaseName);
      return { ...orphan, version: answer.version };
    }
    // A recovery that is under way would begin again if it were stopped.
    if (answer.kind !== 'busy' || clock.monotonicMs() - startedMs > recoveryLimitMs) {
      log.warn(
        { serverPid: orphan.pid, error: answerError(answer) },
        'a server left over does not answer; stopping it',
      );
      break;
    }
    await clock.sleep(100, signal);
  }
  await stopPostmaster(orphan, context);
  return undefined;
}

function answerError(answer: Awaited<ReturnType<typeof askServer>>): string {
  return answer.kind === 'ready' ? `it serves ${answer.dataDirectory}` : errorMessage(answer.error);
}

function supervise(context: StartContext, server: RunningServer, adopted: boolean): EmbeddedPostgres {
  let stopping: Promise<void> | undefined;
  let wasUnknown = false;

  function isRunning(): boolean {
    const found = livenessOf(server);
    if (found === 'unknown' && !wasUnknown)
      context.log.warn(
        { serverPid: server.pid },
        'the system does not tell whether the embedded database runs (out of descriptors?); it is taken to',
      );
    wasUnknown = found === 'unknown';
    return found !== 'gone';
  }

  return {
    connectionString: connectionUrl(context.layout, context.password, databaseName),
    adopted,
    pid: server.pid,
    version: server.version,
    isRunning,
    stop() {
      stopping ??= stopPostmaster(server, context);
      return stopping;
    },
  };
}

const storageCodes = new Set(['EACCES', 'EPERM', 'EROFS', 'ENOSPC', 'EDQUOT', 'EIO', 'ENOTDIR', 'EEXIST']);

function explainStorageError(thrown: unknown, dataDir: string): unknown {
  if (thrown instanceof EngramdError || !(thrown instanceof Error) || !('code' in thrown)) return thrown;
  if (!storageCodes.has(String(thrown.code))) return thrown;
  return new EmbeddedStorageError(`the embedded database under ${dataDir} cannot be set up: ${errorMessage(thrown)}`, {
    cause: thrown,
  });
}
