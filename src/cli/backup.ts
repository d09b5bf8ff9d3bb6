import type { Command } from 'commander';
import { v7 as uuidV7 } from 'uuid';
import type { BackupOutcome, Backups, OnProgress, StoredBackup } from '../backup/backup-store.ts';
import { databaseLabel } from '../backup/ownership.ts';
import { listBackups } from '../backup/stored-backups.ts';
import { openBackups } from '../daemon/open-backups.ts';
import { inertRacepoints } from '../telemetry/racepoints.ts';
import { addBackupDir, backupDirOf } from './backup-dir-option.ts';
import { showBackupProgress } from './backup-progress.ts';
import { addRestore } from './backup-restore.ts';
import { showBytes } from './bytes.ts';
import { type CommandContext, globalOptions, loadSettings, noteWarnings } from './command-context.ts';
import { withDirectStore } from './direct-store.ts';
import { secondsBetween, showSeconds } from './duration.ts';
import { oneLine, table } from './table.ts';

export function addBackup(program: Command, context: CommandContext): void {
  const backup = program
    .command('backup')
    .summary('backups of all there is: take, list, verify, restore')
    .description(
      'Backups of all there is, each restored into a throw-away database and compared before older ones go. A daemon takes one a night by itself.',
    );
  addBackupDir(backup);
  addNow(backup, context);
  addList(backup, context);
  addVerify(backup, context);
  addRestore(backup, context);
}

function addNow(backup: Command, context: CommandContext): void {
  backup
    .command('now')
    .summary('take one now, and verify it')
    .description(
      'Takes a backup, restores it into a throw-away database and compares, also while a daemon works. Takes none where nothing has changed since the last one. Exit 4 while another process is at one.',
    )
    .option('--force', 'although nothing has changed')
    .addHelpText(
      'after',
      '\nExamples:\n  $ engramd backup now\n  $ engramd backup now --backup-dir /mnt/backups --json',
    )
    .action(async ({ force }: { force?: true }, command: Command) => {
      const { json } = globalOptions(command);
      const outcome = await withBackups(context, command, (backups, work) =>
        backups.take({ trigger: 'asked', force: force === true, ...work }),
      );
      if (json) context.terminal.json(jsonOfOutcome(outcome));
      else printOutcome(context, outcome);
    });
}

function addList(backup: Command, context: CommandContext): void {
  backup
    .command('list')
    .summary('those of this host, newest first')
    .description(
      'Lists the backups in the backup directory, newest first, with what is wrong with those that are damaged, and whose they are where several databases have theirs there. Reads files only: no database and no daemon.',
    )
    .action(async (_options: unknown, command: Command) => {
      const globals = globalOptions(command);
      const loaded = loadSettings(context, globals, backupDirOf(command));
      noteWarnings(context, loaded);
      const { backupDir } = loaded.config;
      const backups = await listBackups(backupDir);
      if (globals.json) return context.terminal.json({ directory: backupDir, backups: backups.map(jsonOf) });
      if (backups.length === 0) context.terminal.note(`there is no backup in ${backupDir}`);
      else printList(context, backups);
    });
}

function addVerify(backup: Command, context: CommandContext): void {
  backup
    .command('verify [name]')
    .summary('restore one into a throw-away database and compare')
    .description(
      'Restores a backup into a throw-away database and compares counts, contents and a search with what was noted when it was taken; the newest without a name. What it finds is kept beside the files. Exit 1 where it differs or cannot be read.',
    )
    .addHelpText(
      'after',
      '\nExamples:\n  $ engramd backup verify\n  $ engramd backup verify 2026-03-01T03-00-00Z-0198c1f0',
    )
    .action(async (name: string | undefined, _options: unknown, command: Command) => {
      const { json } = globalOptions(command);
      const verified = await withBackups(context, command, (backups, work) =>
        backups.verify({ name: name ?? null, ...work }),
      );
      if (json) return context.terminal.json(jsonOf(verified));
      context.terminal.out(`${verified.name} restores to what it was taken from: ${sizeOf(verified)}`);
    });
}

/** In this process, past the pool, beside whatever else is at work; progress where somebody watches. */
function withBackups<T>(
  context: CommandContext,
  command: Command,
  run: (backups: Backups, work: { readonly signal: AbortSignal; readonly onProgress: OnProgress }) => Promise<T>,
): Promise<T> {
  const { terminal, clock } = context;
  return withDirectStore(
    context,
    globalOptions(command),
    async (store, signal) => {
      const backups = openBackups({ ...store, clock, racepoints: inertRacepoints, newId: uuidV7 });
      try {
        return await run(backups, { signal, onProgress: (done) => terminal.progress(showBackupProgress(done)) });
      } finally {
        terminal.endProgress();
      }
    },
    backupDirOf(command),
  );
}

function printOutcome({ terminal, clock }: CommandContext, outcome: BackupOutcome): void {
  if (outcome.kind === 'unchanged') {
    const ago = showSeconds(secondsBetween(outcome.since, clock.now()));
    terminal.out(
      `nothing has changed since the backup of ${ago} ago, which was verified; --force takes one all the same`,
    );
    return;
  }
  const { backup, pruned } = outcome;
  terminal.out(`${backup.name} was taken and verified: ${sizeOf(backup)}`);
  for (const name of pruned) terminal.out(terminal.dim(`removed ${name} (ENGRAMD_BACKUP_KEEP)`));
}

function printList({ terminal, clock }: CommandContext, backups: readonly StoredBackup[]): void {
  const areOfSeveral = new Set(backups.map(databaseLabel)).size > 1;
  const head = ['name', 'taken', 'rows', 'size', ...(areOfSeveral ? ['database'] : []), 'state'];
  const rows = backups.map((backup) => {
    const { name, manifest, bytes } = backup;
    const taken = manifest ? `${showSeconds(secondsBetween(manifest.snapshotAt, clock.now()))} ago` : '';
    const whose = areOfSeveral ? [databaseLabel(backup) ?? ''] : [];
    return [name, taken, rowsOf(backup)?.toLocaleString('en-US') ?? '', showBytes(bytes), ...whose, stateOf(backup)];
  });
  for (const line of table([head.map((name) => terminal.dim(name)), ...rows])) terminal.out(line);

  function stateOf({ standing, problem, verifiedAt }: StoredBackup): string {
    switch (standing) {
      case 'verified':
        return terminal.green(
          verifiedAt === null ? 'verified' : `verified ${showSeconds(secondsBetween(verifiedAt, clock.now()))} ago`,
        );
      case 'unverified':
        return terminal.yellow('not verified');
      case 'damaged':
        return terminal.red(`damaged: ${oneLine(problem ?? 'it cannot be read', 200)}`);
      case 'newer':
        return terminal.yellow(oneLine(problem ?? 'of a newer engramd', 200));
      case 'unreadable':
        return terminal.yellow(oneLine(problem ?? 'cannot be read', 200));
    }
  }
}

function rowsOf({ manifest }: StoredBackup): number | null {
  return manifest?.tables.reduce((sum, { rows }) => sum + rows, 0) ?? null;
}

function sizeOf(backup: StoredBackup): string {
  return `${(rowsOf(backup) ?? 0).toLocaleString('en-US')} rows, ${showBytes(backup.bytes)}`;
}

function jsonOf(backup: StoredBackup) {
  const { name, standing, store, problem, manifest, verifiedAt, bytes } = backup;
  return {
    name,
    state: standing,
    store,
    database: databaseLabel(backup),
    problem,
    taken_at: manifest?.snapshotAt ?? null,
    verified_at: verifiedAt?.toISOString() ?? null,
    rows: rowsOf(backup),
    bytes,
    engramd: manifest?.engramd ?? null,
    schema: manifest?.schema ?? null,
  };
}

function jsonOfOutcome(outcome: BackupOutcome) {
  return outcome.kind === 'unchanged'
    ? { outcome: outcome.kind, since: outcome.since.toISOString() }
    : { outcome: outcome.kind, backup: jsonOf(outcome.backup), pruned: outcome.pruned };
}
