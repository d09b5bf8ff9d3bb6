import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, it, vi } from 'vitest';
import type { ControlReply } from '../../src/daemon/control/protocol.ts';
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts';
import { endAll, type LivingDaemon, scratch, shortLife, startLiving } from './living-daemon.ts';

/* Nights of real daemons: the backup is written, restored into a database of its own and compared. */
vi.setConfig({ testTimeout: 90_000, hookTimeout: 90_000 });

const databases: TestDatabase[] = [];
afterAll(async () => {
  await endAll();
  await Promise.all(databases.map((database) => database.drop()));
});

type Backups = NonNullable<ControlReply<'status'>['status']['backups']>;

async function dawn(env: (dataDir: string) => Readonly<Record<string, string>>) {
  const database = await createTestDatabase();
  databases.push(database);
  await database.db.query("insert into engram.banks (id) values ('b')");
  const dataDir = scratch();
  const daemon = await startLiving({ DATABASE_URL: database.connectionString, ...env(dataDir) }, { dataDir });
  return {
    database,
    daemon,
    directory: join(dataDir, 'backups'),
    /** As if three nights had passed without a backup; the look is that of a pause that ends. */
    async letNightsPass() {
      await database.db.query("update engram.lifecycle set born_at = now() - interval '3 days'");
      await database.db.query("select pg_notify('engramd_life', 'resume')");
    },
  };
}

async function backupsUntil(daemon: LivingDaemon, what: string, isSo: (backups: Backups) => boolean): Promise<Backups> {
  return vi.waitFor(
    async () => {
      const { status } = await daemon.control({ type: 'status', fresh: true });
      if (status.backups && isSo(status.backups)) return status.backups;
      throw new Error(`not ${what}: ${JSON.stringify(status.backups)}\n${daemon.output().stderr}`);
    },
    { timeout: 60_000, interval: 50 },
  );
}

describe.concurrent('a night that was missed', () => {
  it('a daemon in HIBERNATION takes the backup as maintenance, and goes back to park as it was', async ({ expect }) => {
    const { daemon, directory, letNightsPass } = await dawn(() => shortLife);
    const before = await daemon.until('parked', (life) => life.parked);
    await letNightsPass();
    const taken = await backupsUntil(daemon, 'taken', (backups) => backups.last_verified_at !== null);
    expect(taken.last_failure).toBeNull();
    const after = await daemon.until('parked again', (life) => life.parked);
    expect([after.state, after.since, after.reason]).toEqual([before.state, before.since, before.reason]);
    expect(readdirSync(directory).filter((name) => name.startsWith('20'))).toHaveLength(1);
  });

  it('without a place for it: status says what to change, and the metrics what for', async ({ expect }) => {
    const { daemon, letNightsPass } = await dawn((dataDir) => {
      const file = join(dataDir, 'a-file');
      writeFileSync(file, '');
      return { ENGRAMD_BACKUP_DIR: join(file, 'backups') };
    });
    await letNightsPass();
    const { last_failure: failure, last_verified_at: last } = await backupsUntil(
      daemon,
      'failed',
      (backups) => backups.last_failure !== null,
    );
    expect(failure).toMatchObject({ code: 'BACKUP_STORAGE', message: expect.stringContaining('ENGRAMD_BACKUP_DIR') });
    expect(last).toBeNull();
    const scrape = await (await fetch(`${daemon.file.url}/metrics`)).text();
    expect(scrape).toContain('engramd_backup_failures_total{cause="storage"} 1');
    expect(scrape).toContain('engramd_backups_total{outcome="failed"} 1');
  });
});
