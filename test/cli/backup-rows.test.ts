import { PassThrough } from 'node:stream';
import { describe, expect, test } from 'vitest';
import type { Status } from '../../src/cli/api-types.ts';
import { backupRows } from '../../src/cli/status-view/backup-rows.ts';
import { changesBetween } from '../../src/cli/status-view/changes.ts';
import { createTerminal } from '../../src/cli/terminal.ts';
import { tenOClock as now, statusOf } from './life-documents.ts';

const plain = createTerminal(new PassThrough(), new PassThrough(), {});
type Backups = NonNullable<Status['backups']>;

const backups: Backups = {
  last_verified_at: '2026-03-04T03:01:00.000Z',
  unchanged: false,
  bytes: 5_400_000,
  next_due_at: '2026-03-05T03:00:00.000Z',
  running: null,
  last_failure: null,
  snapshots_at: '2026-03-04T07:00:00.000Z',
};
const running = {
  phase: 'write',
  table: 'memories',
  rows: 41_200,
  total_rows: 100_000,
  started_at: '2026-03-04T09:58:00.000Z',
} as const;
const failure = {
  at: '2026-03-04T09:30:00.000Z',
  host: 'a-host',
  code: 'BACKUP_STORAGE',
  message: 'the backup directory /b is full; let ENGRAMD_BACKUP_DIR name another one',
};
const rowsOf = (change: Partial<Backups>) =>
  backupRows(statusOf({ backups: { ...backups, ...change } }), now, plain).map((row) => row.join(' | '));

describe('backups in status', () => {
  test.each([
    ['when the last was verified and when the next is due', {}, 'backup | verified 7.0 h ago, 5.1 MiB, next in 17.0 h'],
    [
      'that nothing had changed',
      { unchanged: true },
      'backup | nothing new since the last one 7.0 h ago, 5.1 MiB, next in 17.0 h',
    ],
    ['that there is none yet', { last_verified_at: null, bytes: null }, 'backup | none yet, next in 17.0 h'],
    ['that one is due', { next_due_at: '2026-03-04T10:00:00.000Z' }, 'backup | verified 7.0 h ago, 5.1 MiB, due now'],
    ['that nobody has looked', { last_verified_at: null, bytes: null, next_due_at: null }, 'backup | not read yet'],
    ['how far it is', { running }, ' | taking one for 2 min: writing memories, 41,200 of about 100,000 rows'],
    [
      'where nobody knows of how many',
      { running: { ...running, phase: 'restore' as const, total_rows: null } },
      ' | taking one for 2 min: restoring memories, 41,200 rows',
    ],
    [
      'a full disk, and what to change',
      { last_failure: failure },
      ` | failed 30 min ago on a-host: ${failure.message}`,
    ],
    ['how old the snapshots are', {}, 'snapshots | of what was 3.0 h ago'],
  ])('%s', (_, change, line) => {
    expect(rowsOf(change)).toContain(line);
  });

  test('nothing of a command that asks itself', () => {
    expect(backupRows(statusOf(), now, plain)).toEqual([]);
  });

  test('a live view tells their beginnings and ends once', () => {
    const from = (before: Partial<Backups>, after: Partial<Backups>) =>
      changesBetween(
        statusOf({ backups: { ...backups, ...before } }),
        statusOf({ backups: { ...backups, ...after } }),
      ).filter((line) => line.includes('back'));
    expect(from({}, { running })).toEqual(['a backup has begun']);
    expect(from({ running }, { running })).toEqual([]);
    expect(from({}, { last_failure: failure })).toEqual([`a backup failed on a-host: ${failure.message}`]);
    expect(from({ last_failure: failure }, { last_failure: failure })).toEqual([]);
    const later = '2026-03-04T10:00:00.000Z';
    expect(from({ running }, { last_verified_at: later })).toEqual(['a backup was taken and verified']);
    expect(from({ running }, { last_verified_at: later, unchanged: true })).toEqual([
      'nothing to back up since the last backup',
    ]);
  });
});
