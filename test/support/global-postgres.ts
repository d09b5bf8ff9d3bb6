import { chmodSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { createDatabase } from '../../src/db/database.ts';
import { startEmbeddedPostgres } from '../../src/db/embedded/embedded-postgres.ts';
import { embeddedLayout } from '../../src/db/embedded/layout.ts';
import { findPostmaster, stopPostmaster } from '../../src/db/embedded/postmaster.ts';
import { findProcess } from '../../src/db/embedded/process-identity.ts';
import { migrate, readMigrations } from '../../src/db/migrate.ts';
import { systemClock } from '../../src/telemetry/clock.ts';
import { createLog, silentLog } from '../../src/telemetry/log.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { withAdmin } from './admin-connection.ts';

declare module 'vitest' {
  interface ProvidedContext {
    postgres: TestServer;
  }
}

/** The server of this run; every test database is cloned from its template. */
export interface TestServer {
  /** Superuser, to whatever database the server came with. */
  readonly adminUrl: string;
  readonly template: string;
  /** `embedded`, or `external` where ENGRAMD_TEST_DATABASE_URL names a server. */
  readonly kind: 'embedded' | 'external';
}

const migrationsFolder = new URL('../../src/store/migrations', import.meta.url).pathname;

/** One server for the whole run: the embedded one, or the one of ENGRAMD_TEST_DATABASE_URL (a superuser's URL). */
export default async function globalPostgres(project: TestProject): Promise<() => Promise<void>> {
  const template = `engramd_template_${process.pid}`;
  const external = process.env.ENGRAMD_TEST_DATABASE_URL;
  const server = external ? { adminUrl: external, stop: async () => undefined } : await startThrowAway();
  const tearDown = async () => {
    try {
      if (external) await dropTemplate(external, template);
    } finally {
      await server.stop();
    }
  };
  try {
    await createTemplate(server.adminUrl, template);
  } catch (thrown) {
    await tearDown();
    throw thrown;
  }
  project.provide('postgres', { adminUrl: server.adminUrl, template, kind: external ? 'external' : 'embedded' });
  return tearDown;
}

async function startThrowAway(): Promise<{ adminUrl: string; stop: () => Promise<void> }> {
  await stopLeftovers();
  const dataDir = mkdtempSync(join(tmpdir(), `engramd-test-${process.pid}-`));
  // As root, the server runs as somebody else, who has to get in.
  chmodSync(dataDir, 0o711);
  const remove = () => rmSync(dataDir, { recursive: true, force: true });
  try {
    const server = await startEmbeddedPostgres({
      dataDir,
      log: createLog({ level: 'warn', pretty: false }),
      clock: systemClock,
      extraSettings: {
        fsync: 'off',
        full_page_writes: 'off',
        synchronous_commit: 'off',
        max_connections: '200',
        shared_buffers: '128MB',
      },
    });
    return {
      adminUrl: server.connectionString,
      async stop() {
        await server.stop();
        remove();
      },
    };
  } catch (thrown) {
    remove();
    throw thrown;
  }
}

/** Servers of runs that were killed: the server outlives its supervisor by design. */
async function stopLeftovers(): Promise<void> {
  for (const name of readdirSync(tmpdir())) {
    const pid = Number(/^engramd-test-(\d+)-/.exec(name)?.[1]);
    if (!pid || findProcess(pid)) continue;
    const folder = join(tmpdir(), name);
    const postmaster = findPostmaster(embeddedLayout(folder).data);
    if (postmaster.kind === 'ours') await stopPostmaster(postmaster.process, { clock: systemClock, log: silentLog });
    rmSync(folder, { recursive: true, force: true });
  }
}

async function createTemplate(adminUrl: string, template: string): Promise<void> {
  const templateUrl = await withAdmin(adminUrl, async (admin) => {
    await admin.query(`create database ${admin.escapeIdentifier(template)} template template0 encoding 'UTF8'`);
    return admin.urlOf(template);
  });
  const db = createDatabase({
    connectionString: templateUrl,
    poolMax: 1,
    applicationName: 'engramd-test-template',
    log: silentLog,
    clock: systemClock,
    metrics: createMetrics(),
  });
  try {
    await migrate(db, await readMigrations(migrationsFolder));
    // A clone of statistics and hint bits is cheaper than each test making them.
    await db.query('vacuum (freeze, analyze)');
  } finally {
    await db.close();
  }
  // A stray connection to the template would make every clone fail.
  await withAdmin(adminUrl, (admin) =>
    admin.query(`alter database ${admin.escapeIdentifier(template)} allow_connections false`),
  );
}

async function dropTemplate(adminUrl: string, template: string): Promise<void> {
  await withAdmin(adminUrl, (admin) =>
    admin.query(`drop database if exists ${admin.escapeIdentifier(template)} with (force)`),
  );
}
