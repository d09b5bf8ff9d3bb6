import { randomUUID } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, afterEach, expect, inject, test, vi } from 'vitest';
import { createDatabase, type Database } from '../../src/db/database.ts';
import { connectionUrl, databaseName } from '../../src/db/embedded/layout.ts';
import { findPostmaster } from '../../src/db/embedded/postmaster.ts';
import { systemClock } from '../../src/telemetry/clock.ts';
import { silentLog } from '../../src/telemetry/log.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { withAdmin } from '../support/admin-connection.ts';
import { createEmbeddedSandbox } from '../support/embedded-sandbox.ts';
import { expectAppliedOnce, readStory } from './bank-state.ts';
import { killDaemons, startDaemon, urlOf } from './daemon-process.ts';
import { createLane, type Home, type Lane, soon } from './lane.ts';
import { load } from './workload.ts';

const lanes: Lane[] = [];
afterEach(async () => {
  await Promise.allSettled(lanes.splice(0).map((lane) => lane.close()));
});
afterAll(killDaemons);

/** A data directory and a database that engramd has never seen. */
async function createEmptyHome(): Promise<Home & { readonly databaseUrl: string }> {
  const { adminUrl } = inject('postgres');
  const name = `test_${randomUUID().replaceAll('-', '')}`;
  const databaseUrl = await withAdmin(adminUrl, async (admin) => {
    await admin.query(`create database ${admin.escapeIdentifier(name)} template template0 encoding 'UTF8'`);
    return admin.urlOf(name);
  });
  const dataDir = mkdtempSync(join(tmpdir(), `engramd-test-${process.pid}-`));
  const db = connect(databaseUrl);
  return {
    dataDir,
    databaseUrl,
    connect: () => db,
    async remove() {
      await db.close();
      await withAdmin(adminUrl, (admin) =>
        admin.query(`drop database if exists ${admin.escapeIdentifier(name)} with (force)`),
      );
      rmSync(dataDir, { recursive: true, force: true });
    },
  };
}

function connect(connectionString: string): Database {
  const deps = { log: silentLog, clock: systemClock, metrics: createMetrics() };
  return createDatabase({ connectionString, poolMax: 3, applicationName: 'engramd-test', ...deps });
}

/** Until somebody's statement stands behind what another transaction has not committed. */
async function untilBlocked(db: Database): Promise<void> {
  await vi.waitFor(
    async () => {
      const { rowCount } = await db.query(
        `select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
      );
      expect(rowCount).toBe(1);
    },
    { timeout: 15_000, interval: 20 },
  );
}

test.for([
  ['half-way through our migrations', 'engram'],
  ['between our migrations and those of pg-boss', 'pgboss'],
] as const)('SIGKILL %s is harmless', { timeout: 120_000 }, async ([, schema]) => {
  const home = await createEmptyHome();
  const inTheWay = new pg.Client({ connectionString: home.databaseUrl });
  inTheWay.on('error', () => undefined);
  await inTheWay.connect();
  await inTheWay.query(`begin; create schema ${schema}`);
  const doomed = startDaemon(home);
  await untilBlocked(home.connect());
  doomed.kill('SIGKILL');
  expect(await soon('die', doomed.exited)).toEqual({ code: null, signal: 'SIGKILL' });

  // The next one starts while what the dead one asked for is still under way in the server.
  const starting = createLane({ home, banks: 1 });
  await inTheWay.query('rollback');
  await inTheWay.end();
  const lane = await starting;
  lanes.push(lane);
  const bank = await lane.seededBank();
  await expectAppliedOnce(lane.db, bank, await lane.consolidateInPeace(bank));
});

test('SIGKILL right after the migrations is harmless', { timeout: 120_000 }, async () => {
  const home = await createEmptyHome();
  const doomed = startDaemon(home);
  await doomed.said('migrated the database');
  doomed.kill('SIGKILL');
  await soon('die', doomed.exited);
  const lane = await createLane({ home, banks: 1 });
  lanes.push(lane);
  const bank = await lane.seededBank();
  await expectAppliedOnce(lane.db, bank, await lane.consolidateInPeace(bank));
});

test('SIGKILL on the embedded database: the next start adopts the server, and everything is there', {
  timeout: 120_000,
}, async () => {
  const sandbox = createEmbeddedSandbox();
  let db: Database | undefined;
  const home: Home = {
    dataDir: sandbox.dataDir,
    connect() {
      const password = readFileSync(sandbox.layout.passwordFile, 'utf8').trim();
      db = connect(connectionUrl(sandbox.layout, password, databaseName));
      return db;
    },
    async remove() {
      await db?.close();
      await sandbox.remove();
    },
  };
  const lane = await createLane({ home, banks: 2 });
  lanes.push(lane);
  const [calm, bank] = [await lane.seededBank(), await lane.seededBank()];
  await lane.consolidateInPeace(calm);
  const before = findPostmaster(sandbox.layout.data);

  await lane.daemon.set({ point: 'apply:before-commit', visit: 2, does: 'die' });
  const { memoryIds } = await lane.deliver(bank, load, 'load');
  await lane.askOnce(bank);
  await lane.revive();
  expect(await urlOf(lane.daemon)).toMatch(/^http:/);
  expect(before.kind).toBe('ours');
  expect(findPostmaster(sandbox.layout.data)).toEqual(before);
  await lane.settled(bank);
  await expectAppliedOnce(lane.db, bank, memoryIds);
  expect(await readStory(lane.db, bank)).toEqual(await readStory(lane.db, calm));

  await db?.close();
  db = undefined;
  lane.daemon.kill('SIGTERM');
  expect(await soon('stop', lane.daemon.exited)).toEqual({ code: 0, signal: null });
  expect(findPostmaster(sandbox.layout.data).kind).toBe('absent');
});
