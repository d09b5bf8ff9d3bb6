import { accessSync, constants, existsSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Database } from '../db/database.ts';
import { believedAheadMs } from '../lifecycle/backup-due.ts';
import { readBackupHistory } from '../store/backup-freshness.ts';
import { errorMessage } from '../telemetry/engramd-error.ts';
import type { Finding } from './doctor-checks.ts';
import { secondsBetween, showSeconds } from './duration.ts';

/** Whether backups can be written there. Makes nothing: the first backup makes the directory. */
export function checkBackupDir(directory: string, access = accessSync): Finding {
  const check = 'backup directory';
  const place = nearestThere(directory);
  try {
    if (!statSync(place).isDirectory()) throw new Error(`${place} is no directory`);
    access(place, constants.W_OK | constants.X_OK);
    return {
      check,
      status: 'ok',
      detail: place === directory ? `${directory}: writable` : `${directory}: not made yet`,
    };
  } catch (thrown) {
    return {
      check,
      status: 'fail',
      detail: `${directory} cannot be written: ${errorMessage(thrown)}`,
      advice: 'ENGRAMD_BACKUP_DIR names another one',
    };
  }
}

function nearestThere(path: string): string {
  return existsSync(path) || dirname(path) === path ? path : nearestThere(dirname(path));
}

const staleSeconds = 26 * 3600;

/** How old the last verified backup is, on whatever host it was taken. */
export async function checkBackups(db: Database): Promise<Finding> {
  const check = 'backups';
  const { now, bornAt, lastGood, since } = await readBackupHistory(db, { asOf: null, aheadMs: believedAheadMs });
  const ageSeconds = secondsBetween(lastGood?.finishedAt ?? bornAt, now);
  const detail =
    lastGood === null ? 'none has been verified yet' : `the last one was verified ${showSeconds(ageSeconds)} ago`;
  if (ageSeconds <= staleSeconds) return { check, status: 'ok', detail };
  const why = since.find(({ error }) => error !== null)?.error?.message;
  return {
    check,
    status: 'warn',
    detail,
    advice: why ?? 'a running daemon takes one a night; `engramd backup now` takes one',
  };
}
