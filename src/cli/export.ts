import type { Command } from 'commander';
import { exportBank } from '../backup/transfer/export-bank.ts';
import { newestSchema } from '../daemon/open-database.ts';
import { openDirectSession } from '../db/direct-session.ts';
import { UsageError } from './cli-errors.ts';
import { type CommandContext, globalOptions } from './command-context.ts';
import { withDirectStore } from './direct-store.ts';
import { bankOption } from './options.ts';
import { pour, writeWhole } from './write-whole.ts';

export function addExport(program: Command, context: CommandContext): void {
  program
    .command('export [file]')
    .summary('write a bank with all that is in it as JSON Lines')
    .description(
      'Writes a bank as JSON Lines: memories, observations, their history, timeline and vectors, all of one instant. To stdout without a file. `engramd import` reads it, here or in another database.',
    )
    .addOption(bankOption())
    .addHelpText(
      'after',
      `
Examples:
  $ engramd export studio.jsonl --bank studio
  $ engramd export --bank studio | gzip > studio.jsonl.gz
  $ engramd export --bank studio | DATABASE_URL=postgres://… engramd import -`,
    )
    .action(async (file: string | undefined, options: { bank: string }, command: Command) => {
      const globals = globalOptions(command);
      const { terminal } = context;
      const toFile = file !== undefined && file !== '-';
      if (globals.json && !toFile)
        throw new UsageError('--json tells of the export: name a file for the export itself');
      const rows = await withDirectStore(context, globals, async ({ connectionString }, signal) => {
        const session = await openDirectSession({ connectionString, applicationName: 'engramd export' });
        try {
          let total = 0;
          const lines = exportBank({
            session,
            bankId: options.bank,
            schema: await newestSchema(),
            signal,
            onProgress: (done) => {
              total = done;
              terminal.progress(`${done} rows written`);
            },
          });
          if (toFile) await writeWhole(file, lines);
          else await pour(lines, process.stdout);
          return total;
        } finally {
          await session.close();
        }
      });
      if (globals.json) terminal.json({ bank: options.bank, file, rows });
      else if (toFile) terminal.out(`${rows} rows of bank ${options.bank} written to ${file}`);
    });
}
