import { v7 as uuid } from 'uuid';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type BackupChoreDeps, createBackupChore } from '../../src/backup/backup-chore.ts';
import { BackupBusyError, BackupStorageError } from '../../src/backup/backup-errors.ts';
import type { BackupOutcome, Backups } from '../../src/backup/backup-store.ts';
import { systemClock } from '../../src/telemetry/clock.ts';
import { silentLog } from '../../src/telemetry/log.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts';

const zone = process.env.TZ;
let database: TestDatabase;
beforeEach(async () => {
  process.env.TZ = 'Europe/Berlin';
  database = await createTestDatabase();
  await database.db.query("update engram.lifecycle set born_at = '2026-01-01T12:00:00Z'");
});
afterEach(async () => {
  if (zone === undefined) delete process.env.TZ;
  else process.env.TZ = zone;
  await database.drop();
});

interface Row {
  readonly startedAt: string;
  readonly finishedAt?: string | null;
  readonly status: string;
  readonly verifiedAt?: string;
  readonly bytes?: number;
  readonly error?: readonly [code: string, message: string];
}

async function insert({ startedAt, finishedAt = startedAt, status, verifiedAt, bytes, error }: Row): Promise<void> {
  await database.db.query(
    `insert into engram.backups (id, instance_id, host, trigger, status, started_at, finished_at, verified_at, bytes,
       error_code, error)
     values ($1, $1, 'a-host', 'due', $2, $3, $4, $5, $6, $7, $8)`,
    [uuid(), status, startedAt, finishedAt, verifiedAt ?? null, bytes ?? null, error?.[0] ?? null, error?.[1] ?? null],
  );
}

const noBackup: Pick<Backups, 'take'> = { take: async () => expect.unreachable('nobody asked for one') };

function open(take?: Backups['take']) {
  const metrics = createMetrics();
  const deps: BackupChoreDeps = {
    db: database.db,
    backups: take ? { take } : noBackup,
    atMinute: 180,
    clock: systemClock,
    log: silentLog,
    metrics,
  };
  const read = async (name: string) => (await metrics.registry.getSingleMetric(name)?.get())?.values[0]?.value ?? null;
  return { ...createBackupChore(deps), read };
}

const nextAt = async (now: string) => (await open().chore.nextAt(new Date(now)))?.toISOString();

describe('the nightly backup', () => {
  it('off at 03:00: due as soon as somebody asks, and not again that day', async () => {
    await insert({ startedAt: '2026-03-04T02:00:05Z', status: 'verified' });
    expect(await nextAt('2026-03-04T20:00:00Z')).toBe('2026-03-05T02:00:00.000Z');
    expect(await nextAt('2026-03-05T09:00:00Z')).toBe('2026-03-05T09:00:00.000Z');
    await insert({ startedAt: '2026-03-05T09:00:01Z', status: 'verified' });
    expect(await nextAt('2026-03-05T09:05:00Z')).toBe('2026-03-06T08:00:01.000Z');
  });

  it('of a database that never had one is counted from its birth', async () => {
    expect(await nextAt('2026-01-01T12:00:00Z')).toBe('2026-01-02T02:00:00.000Z');
    const { chore, read } = open();
    await chore.nextAt(new Date('2026-01-01T12:00:00Z'));
    expect(await read('engramd_last_verified_backup_timestamp_seconds')).toBe(
      Date.parse('2026-01-01T12:00:00Z') / 1000,
    );
  });

  it.each([
    ['verified', { status: 'verified' }, true],
    ['unchanged: as fresh as a new one', { status: 'unchanged' }, true],
    ['verified, and pruned since', { status: 'pruned', verifiedAt: '2026-03-05T02:10:00Z' }, true],
    ['pruned without ever having been verified', { status: 'pruned' }, false],
    ['written, not verified', { status: 'written' }, false],
    ['failed', { status: 'failed', error: ['BACKUP_STORAGE', 'full'] }, false],
    ['under way, or left by one that died', { status: 'running', finishedAt: null }, false],
  ] as const)('last %s', async (_, row, isGood) => {
    await insert({ startedAt: '2026-03-04T02:00:00Z', status: 'verified' });
    await insert({ startedAt: '2026-03-05T02:00:00Z', ...row });
    expect((await nextAt('2026-03-05T12:00:00Z')) === '2026-03-06T02:00:00.000Z').toBe(isGood);
  });

  it('that fails is tried again after ten minutes, then twenty, whoever was started since', async () => {
    await insert({ startedAt: '2026-03-04T02:00:00Z', status: 'verified' });
    const failed = { status: 'failed', error: ['BACKUP_STORAGE', 'full'] } as const;
    await insert({ startedAt: '2026-03-05T02:00:00Z', ...failed });
    expect(await nextAt('2026-03-05T02:00:01Z')).toBe('2026-03-05T02:10:00.000Z');
    await insert({ startedAt: '2026-03-05T02:10:00Z', ...failed });
    expect(await nextAt('2026-03-05T02:10:01Z')).toBe('2026-03-05T02:30:00.000Z');
    expect(await nextAt('2026-03-05T02:30:00Z')).toBe('2026-03-05T02:30:00.000Z');
  });

  it('a row from a clock that was years ahead stops nothing', async () => {
    await insert({ startedAt: '2026-03-04T02:00:00Z', status: 'verified' });
    await insert({ startedAt: '2031-03-04T02:00:00Z', status: 'unchanged' });
    expect(await nextAt('2026-03-05T09:00:00Z')).toBe('2026-03-05T09:00:00.000Z');
  });
});

describe('what status knows of it', () => {
  it('a full disk: what to change, until the next good one', async () => {
    await insert({
      startedAt: '2026-03-04T02:00:00Z',
      finishedAt: '2026-03-04T02:05:00Z',
      status: 'verified',
      bytes: 4711,
    });
    const message = 'the backup directory /b is full; let ENGRAMD_BACKUP_DIR name another one';
    await insert({ startedAt: '2026-03-05T02:00:00Z', status: 'failed', error: ['BACKUP_STORAGE', message] });
    const { refresh, view, read } = open();
    await refresh();
    expect(view()).toMatchObject({
      lastGoodAt: new Date('2026-03-04T02:05:00Z'),
      isUnchanged: false,
      bytes: 4711,
      running: null,
      lastFailure: { at: new Date('2026-03-05T02:00:00Z'), host: 'a-host', code: 'BACKUP_STORAGE', message },
    });
    expect(await read('engramd_last_verified_backup_timestamp_seconds')).toBe(
      Date.parse('2026-03-04T02:05:00Z') / 1000,
    );
    expect(await read('engramd_backup_size_bytes')).toBe(4711);
    await insert({ startedAt: '2026-03-05T03:00:00Z', status: 'unchanged' });
    await refresh();
    expect(view()).toMatchObject({ lastFailure: null, isUnchanged: true });
  });

  it('a stop is no failure', async () => {
    await insert({ startedAt: '2026-03-05T02:00:00Z', status: 'failed', error: ['ABORTED', 'the daemon stops'] });
    const { refresh, view } = open();
    await refresh();
    expect(view().lastFailure).toBeNull();
  });

  it('nothing before it is read', () => {
    expect(open().view()).toEqual({
      lastGoodAt: null,
      isUnchanged: false,
      bytes: null,
      nextDueAt: null,
      running: null,
      lastFailure: null,
    });
  });
});

describe('a run', () => {
  const signal = new AbortController().signal;

  it('tells how far it is without asking anybody, and no more when it is over', async () => {
    const held = Promise.withResolvers<BackupOutcome>();
    const { chore, view } = open(async ({ onProgress, trigger, force }) => {
      expect([trigger, force]).toEqual(['due', false]);
      onProgress({ phase: 'write', table: 'memories', rows: 5, totalRows: 10 });
      return held.promise;
    });
    const run = chore.run(signal);
    expect(view().running).toMatchObject({ phase: 'write', table: 'memories', rows: 5, totalRows: 10 });
    held.resolve({ kind: 'unchanged', since: new Date() });
    await run;
    expect(view().running).toBeNull();
  });

  it('that fails throws on', async () => {
    const { chore, view } = open(() => Promise.reject(new BackupStorageError('full')));
    await expect(chore.run(signal)).rejects.toThrow('full');
    expect(view().running).toBeNull();
  });

  it('beside another process that is at one is no failure', async () => {
    const { chore, view } = open(() => Promise.reject(new BackupBusyError('another one')));
    const thrown = await chore.run(signal).catch((error: unknown) => error);
    expect(chore.isElsewhere(thrown)).toBe(true);
    expect(chore.isElsewhere(new BackupStorageError('full'))).toBe(false);
    expect(view()).toMatchObject({ running: null, lastFailure: null });
  });
});
