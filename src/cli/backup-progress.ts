import type { BackupProgress } from '../backup/backup-store.ts';

const phases = {
  write: 'writing',
  restore: 'restoring',
  index: 'making indexes',
  compare: 'comparing',
} as const satisfies Record<BackupProgress['phase'], string>;

/** `writing memories, 41,200 of about 100,000 rows` */
export function showBackupProgress({ phase, table, rows, totalRows }: BackupProgress): string {
  const what = table === null ? phases[phase] : `${phases[phase]} ${table}`;
  if (rows === 0) return what;
  const count = rows.toLocaleString('en-US');
  return totalRows === null
    ? `${what}, ${count} rows`
    : `${what}, ${count} of about ${totalRows.toLocaleString('en-US')} rows`;
}
