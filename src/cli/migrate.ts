import type { Command } from 'commander';
import { migrateDatabase, openDatabase } from '../daemon/open-database.ts';
import { createReleasers } from '../daemon/releasers.ts';
import { createMetrics } from '../telemetry/metrics.ts';
import { type CommandContext, commandLog, globalOptions, loadSettings, noteWarnings } from './command-context.ts';

export function addMigrate(program: Command, context: CommandContext): void {
  program
    .command('migrate')
    .summary('bring the database to the schema of this version')
    .description(
      'Brings the database to the schema of this version. `run` and the other commands do it too; this does nothing else.',
    )
    .addHelpText(
      'after',
      `
Example:
  $ DATABASE_URL=postgres://owner@db/engram engramd migrate`,
    )
    .action(async (_options: unknown, command: Command) => {
      const globals = globalOptions(command);
      const loaded = loadSettings(context, globals);
      noteWarnings(context, loaded);
      const { clock, terminal } = context;
      const log = commandLog(loaded);
      const report = await context.interruptible(async (signal) => {
        const releasers = createReleasers({ log, clock });
        try {
          const { config } = loaded;
          const { db } = await openDatabase({
            config,
            role: 'cli',
            log,
            clock,
            signal,
            metrics: createMetrics(),
            releasers,
          });
          return await migrateDatabase(db);
        } finally {
          await releasers.releaseAll();
        }
      });
      if (globals.json) return terminal.json(report);
      for (const name of report.applied) terminal.out(`applied ${name}`);
      terminal.out(`the database is at schema version ${report.version}`);
    });
}
