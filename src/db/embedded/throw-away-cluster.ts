import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Clock } from '../../telemetry/clock.ts';
import { errorMessage } from '../../telemetry/engramd-error.ts';
import type { Log } from '../../telemetry/log.ts';
import { startEmbeddedPostgres } from './embedded-postgres.ts';
import { embeddedLayout } from './layout.ts';
import { findPostmaster, stopPostmaster } from './postmaster.ts';
import { findProcess, livenessOf, processScope } from './process-identity.ts';

export interface ThrowAwayCluster {
  readonly connectionString: string;
  /** Stops the server and removes all of it. */
  remove(): Promise<void>;
}

export interface ThrowAwayClusterOptions {
  readonly log: Log;
  readonly clock: Clock;
  readonly signal?: AbortSignal | undefined;
  /** Where its folder is made; default: that of the system (`TMPDIR`). */
  readonly parent?: string;
}

const folderPrefix = 'engramd-throw-away-';
const ownerFile = 'owner';

/** Nothing in it has to outlive anything; and what is written into a table of the same transaction needs no log. */
const settings: Readonly<Record<string, string>> = {
  fsync: 'off',
  full_page_writes: 'off',
  synchronous_commit: 'off',
  autovacuum: 'off',
  wal_level: 'minimal',
  max_wal_senders: '0',
  max_wal_size: '1GB',
  max_connections: '10',
};

/**
 * A PostgreSQL for an hour at most, in a folder of its own. What a killed process left of an earlier one goes first: its
 * server outlived it by design.
 *
 * @throws as startEmbeddedPostgres
 */
export async function startThrowAwayCluster(options: ThrowAwayClusterOptions): Promise<ThrowAwayCluster> {
  const { log, clock, signal, parent = tmpdir() } = options;
  await clearLeftovers(parent, options);
  const folder = mkdtempSync(join(parent, folderPrefix));
  const remove = () => rmSync(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
  try {
    // As root, the server runs as somebody else, who has to get in.
    chmodSync(folder, process.getuid?.() === 0 ? 0o711 : 0o700);
    writeFileSync(join(folder, ownerFile), ownMark());
    const server = await startEmbeddedPostgres({ dataDir: folder, log, clock, signal, extraSettings: settings });
    return {
      connectionString: server.connectionString,
      async remove() {
        await server.stop();
        remove();
      },
    };
  } catch (thrown) {
    remove();
    throw thrown;
  }
}

/** Who made a folder: a pid alone is given out again, and in another container it is somebody else's. */
function ownMark(): string {
  return JSON.stringify({ scope: processScope(), pid: process.pid, startTime: findProcess(process.pid)?.startTime });
}

async function clearLeftovers(parent: string, { log, clock }: ThrowAwayClusterOptions): Promise<void> {
  for (const name of readdirSync(parent)) {
    if (!name.startsWith(folderPrefix)) continue;
    const folder = join(parent, name);
    if (!isOrphan(folder)) continue;
    try {
      const server = findPostmaster(embeddedLayout(folder).data);
      if (server.kind === 'ours') await stopPostmaster(server.process, { clock, log });
      rmSync(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
    } catch (thrown) {
      log.warn({ folder, error: errorMessage(thrown) }, 'a throw-away database left over could not be removed');
    }
  }
}

/** Whether whoever made it is known to be dead (law L12). A folder of somebody else cannot be read. */
function isOrphan(folder: string): boolean {
  try {
    const mark: unknown = JSON.parse(readFileSync(join(folder, ownerFile), 'utf8'));
    if (typeof mark !== 'object' || mark === null) return false;
    const { scope, pid, startTime } = { scope: undefined, pid: undefined, startTime: undefined, ...mark };
    if (scope !== processScope() || typeof pid !== 'number' || typeof startTime !== 'string') return false;
    return livenessOf({ pid, startTime }) === 'gone';
  } catch {
    return false;
  }
}
