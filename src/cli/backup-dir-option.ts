import type { Command } from 'commander';
import { metaOf, type SettingKey } from '../config/schema.ts';

/** On the command whose subcommands read or write backups. */
export function addBackupDir(command: Command): void {
  const { flag, variable } = metaOf('backupDir');
  command.option(`${flag} <dir>`, `where the backups are (${variable})`);
}

/** For `loadSettings`. */
export function backupDirOf(command: Command): Partial<Record<SettingKey, string>> {
  const { backupDir } = command.optsWithGlobals<{ backupDir?: string }>();
  return backupDir === undefined ? {} : { backupDir };
}
