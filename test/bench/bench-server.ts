import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startEmbeddedPostgres } from '../../src/db/embedded/embedded-postgres.ts';
import { systemClock } from '../../src/telemetry/clock.ts';
import { silentLog } from '../../src/telemetry/log.ts';

/** A PostgreSQL that nobody else uses. */
export interface BenchServer {
  readonly connectionString: string;
  readonly pid: number | undefined;
  stop(): Promise<void>;
}

/** The embedded one, with the settings of production, in a folder that goes with it. */
export async function startPlainServer(): Promise<BenchServer> {
  const dataDir = mkdtempSync(join(tmpdir(), 'engramd-bench-'));
  // As root, the server runs as somebody else, who has to get in.
  chmodSync(dataDir, 0o711);
  const server = await startEmbeddedPostgres({ dataDir, log: silentLog, clock: systemClock });
  return {
    connectionString: server.connectionString,
    pid: server.pid,
    async stop() {
      await server.stop();
      rmSync(dataDir, { recursive: true, force: true });
    },
  };
}
