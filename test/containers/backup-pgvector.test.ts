import { randomUUID } from 'node:crypto';
import { afterAll, describe, expect, test } from 'vitest';
import { createDatabase, type Database } from '../../src/db/database.ts';
import { startThrowAwayCluster } from '../../src/db/embedded/throw-away-cluster.ts';
import { migrate } from '../../src/db/migrate.ts';
import { createPgvectorIndex } from '../../src/store/vectors/pgvector-index.ts';
import { systemClock } from '../../src/telemetry/clock.ts';
import { silentLog } from '../../src/telemetry/log.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { catalogOf, contentsOf, migrations, restore, takeBackup, verify } from '../backup/backup-bench.ts';
import { restoresExactly } from '../backup/restores-exactly.ts';
import { seedStore } from '../backup/seeded-store.ts';
import { startPgvector } from '../support/pgvector-server.ts';
import { createScratchFolder, removeScratchFolder } from '../support/scratch-folder.ts';

const start = await startPgvector();
if (start.kind === 'unavailable') console.warn(`skipped: pgvector runs in a container, and ${start.reason}`);
const server = start.kind === 'started' ? start.server : undefined;

interface ContainerDatabase {
  readonly connectionString: string;
  readonly db: Database;
  drop(): Promise<void>;
}

function connect(connectionString: string, poolMax = 2): Database {
  const deps = { log: silentLog, clock: systemClock, metrics: createMetrics() };
  return createDatabase({ connectionString, poolMax, applicationName: 'engramd-test', ...deps });
}

async function createContainerDatabase(isMigrated: boolean): Promise<ContainerDatabase> {
  if (!server) throw new Error('no server');
  const url = new URL(server.connectionString);
  const admin = connect(url.href, 1);
  const name = `test_${randomUUID().replaceAll('-', '')}`;
  await admin.query(`create database ${name} template template0`);
  url.pathname = `/${name}`;
  const db = connect(url.href);
  if (isMigrated) await migrate(db, migrations);
  return {
    connectionString: url.href,
    db,
    async drop() {
      await db.close();
      await admin.query(`drop database ${name} with (force)`);
      await admin.close();
    },
  };
}

describe.skipIf(!server)('PostgreSQL 17 with pgvector', () => {
  afterAll(() => server?.stop());

  test('a backup of 100,000 memories taken while four writers run restores to exactly its snapshot', async () => {
    const [source, target] = [await createContainerDatabase(true), await createContainerDatabase(false)];
    const folder = createScratchFolder();
    try {
      await restoresExactly({ source: source.connectionString, target: target.connectionString, folder });
      expect(await catalogOf(target.connectionString)).toEqual(await catalogOf(source.connectionString));
    } finally {
      removeScratchFolder(folder);
      await target.drop();
      await source.drop();
    }
  });

  test('vector indexes are no part of a backup, go with what is replaced, and are made again', async () => {
    const source = await createContainerDatabase(true);
    const folder = createScratchFolder();
    const model = { id: 'test/model', dimensions: 8 };
    const indexes = async () => {
      const { rows } = await source.db.query(
        `select from pg_index i join pg_class c on c.oid = i.indexrelid join pg_am a on a.oid = c.relam where a.amname = 'hnsw'`,
      );
      return rows.length;
    };
    try {
      const plain = await catalogOf(source.connectionString);
      await source.db.query('create extension vector');
      await seedStore(source.db, { banks: 1, memories: 200 });
      await createPgvectorIndex({ db: source.db, log: silentLog }).prepare(model);
      expect(await indexes()).toBe(2);
      const backup = await takeBackup(source.connectionString, folder);
      await verify(backup, { connectionString: source.connectionString });
      await restore(backup, { connectionString: source.connectionString, replace: true });
      expect(await catalogOf(source.connectionString)).toEqual(plain);
      await createPgvectorIndex({ db: source.db, log: silentLog }).prepare(model);
      expect(await indexes()).toBe(2);
    } finally {
      removeScratchFolder(folder);
      await source.drop();
    }
  });

  test('what was backed up there restores on the embedded PostgreSQL, and back', async () => {
    const [source, back] = [await createContainerDatabase(true), await createContainerDatabase(false)];
    const folder = createScratchFolder();
    const embedded = await startThrowAwayCluster({ log: silentLog, clock: systemClock, parent: folder });
    try {
      await seedStore(source.db, { banks: 2, memories: 500 });
      const first = await takeBackup(source.connectionString, `${folder}/there`);
      await restore(first, { connectionString: embedded.connectionString });
      const second = await takeBackup(embedded.connectionString, `${folder}/back`);
      await restore(second, { connectionString: back.connectionString });
      expect(await contentsOf(back.connectionString)).toEqual(await contentsOf(embedded.connectionString));
      const [{ memories, events }, { memories: told, events: toldEvents }] = [
        await contentsOf(back.connectionString),
        await contentsOf(source.connectionString),
      ];
      expect({ memories, events }).toEqual({ memories: told, events: toldEvents });
    } finally {
      await embedded.remove();
      removeScratchFolder(folder);
      await back.drop();
      await source.drop();
    }
  });
});
