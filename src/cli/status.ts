import type { Command } from 'commander';
import { askStatus, noDaemon } from './ask-daemon.ts';
import { type CommandContext, globalOptions, loadSettings, noteWarnings } from './command-context.ts';
import { createPipeReaderWatch } from './status-view/pipe-reader.ts';
import { statusRows } from './status-view/status-rows.ts';
import { watchStatus } from './status-view/watch-status.ts';
import { table } from './table.ts';

export function addStatus(program: Command, context: CommandContext): void {
  program
    .command('status')
    .summary('how the daemon is')
    .description(
      'Asks the daemon of the data directory how it is, which does not wake it. --watch goes on looking: a view on a terminal, elsewhere a line for each change, until nobody reads them. Exit 3 where none answers.',
    )
    .option('--watch', 'look once a second until Ctrl-C')
    .addHelpText(
      'after',
      '\nExamples:\n  $ engramd status --watch\n  $ engramd status --json | jq .life.state\n  $ engramd status --watch --json',
    )
    .action(async (options: { watch?: true }, command: Command) => {
      const globals = globalOptions(command);
      const loaded = loadSettings(context, globals);
      noteWarnings(context, loaded);
      const { terminal, clock } = context;
      await context.interruptible(async (signal) => {
        const ask = () => askStatus(loaded, signal);
        const status = await ask();
        if (!status) throw noDaemon(loaded);
        if (options.watch) {
          const asJson = globals.json === true;
          const isOnScreen = terminal.isInteractive && context.env.TERM !== 'dumb';
          const { stdout } = process;
          const hasReader = createPipeReaderWatch(stdout.fd);
          return watchStatus({ ask, terminal, stdout, hasReader, isOnScreen, asJson, clock, signal }, status);
        }
        if (globals.json) return terminal.json(status);
        const rows = statusRows(status, clock.now(), terminal);
        for (const line of table(rows.map(([name, value]) => [terminal.dim(name), value]))) terminal.out(line);
      });
    });
}
