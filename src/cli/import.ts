import type { Command } from 'commander';
import { v7 as uuidV7 } from 'uuid';
import { type ImportReport, importBank } from '../backup/transfer/import-bank.ts';
import { carryOutDueErasures } from '../curation/due-erasures.ts';
import { newestSchema } from '../daemon/open-database.ts';
import { openDirectSession } from '../db/direct-session.ts';
import { RestoreUnderWayError } from '../db/errors.ts';
import { tryShareStore } from '../db/store-lock.ts';
import { bankNameSchema } from '../ingest/bank-name.ts';
import { inertRacepoints } from '../telemetry/racepoints.ts';
import { UsageError } from './cli-errors.ts';
import { type CommandContext, globalOptions } from './command-context.ts';
import { withDirectStore } from './direct-store.ts';
import { openIngestSource } from './ingest-source.ts';

export function addImport(program: Command, context: CommandContext): void {
  program
    .command('import <file>')
    .summary('read a bank that `engramd export` wrote')
    .description(
      'Writes a bank from its export, all of it or nothing; from stdin with -. Only into a bank that is new or empty: one that stands is compared, and the same file again adds nothing. What was forgotten here does not come back.',
    )
    .option('--bank <bank>', 'name of the bank here; default: the one it had')
    .addHelpText(
      'after',
      `
Examples:
  $ engramd import studio.jsonl
  $ gunzip -c studio.jsonl.gz | engramd import - --bank studio-copy`,
    )
    .action(async (file: string, options: { bank?: string }, command: Command) => {
      const globals = globalOptions(command);
      const { terminal } = context;
      const named = bankNameSchema.optional().safeParse(options.bank);
      if (!named.success) throw new UsageError(`--bank: ${named.error.issues[0]?.message ?? 'not the name of a bank'}`);
      const source = await context.interruptible((signal) => openIngestSource(file, context.stdin, signal));
      let report: ImportReport;
      try {
        report = await withDirectStore(context, globals, async (store, signal) => {
          const { db, connectionString, instanceId, log } = store;
          const session = await openDirectSession({ connectionString, applicationName: 'engramd import' });
          try {
            // No restore comes before it is done.
            if (!(await tryShareStore(session))) throw new RestoreUnderWayError();
            const imported = await importBank({
              session,
              source,
              bankId: options.bank ?? null,
              schema: await newestSchema(),
              instanceId,
              signal,
              onProgress: (done, total) => terminal.progress(`${done} of ${total} rows`),
              racepoints: inertRacepoints,
            });
            await carryOutDueErasures({
              db,
              instanceId,
              clock: context.clock,
              log,
              racepoints: inertRacepoints,
              newId: uuidV7,
              signal,
            });
            return imported;
          } finally {
            await session.close();
          }
        });
      } finally {
        await source.close();
      }
      if (globals.json) return terminal.json(report);
      const { added, bankId, rows, forgotten } = report;
      const parts = Object.entries(added).map(([table, count]) => `${count} ${table.replaceAll('_', ' ')}`);
      terminal.out(
        parts.length === 0 ? `bank ${bankId} has all ${rows} rows already` : `bank ${bankId}: ${parts.join(', ')}`,
      );
      if (forgotten > 0) terminal.out(`${forgotten} memories were forgotten here and stay so`);
    });
}
