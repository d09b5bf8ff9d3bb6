import type { TestProject } from 'vitest/node';
import { createDatabase } from '../../src/db/database.ts';
import { startEmbeddedPostgres } from '../../src/db/embedded/embedded-postgres.ts';
import { migrate, readMigrations } from '../../src/db/migrate.ts';
import { systemClock } from '../../src/telemetry/clock.ts';
import { createLog, silentLog } from '../../src/telemetry/log.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { withAdmin } from './admin-connection.ts';
import { clearLeftovers, createScratchFolder, removeScratchFolder } from './scratch-folder.ts';

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
  await clearLeftovers();
  const dataDir = createScratchFolder();
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
        removeScratchFolder(dataDir);
      },
    };
  } catch (thrown) {
    removeScratchFolder(dataDir);
    throw thrown;
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
