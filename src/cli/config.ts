import type { Command } from 'commander';
import { describeConfig } from '../config/describe-config.ts';
import { type CommandContext, globalOptions, loadSettings, noteWarnings } from './command-context.ts';
import { table } from './table.ts';

export function addConfig(program: Command, context: CommandContext): void {
  const config = program.command('config').summary('show the settings').description('Shows the settings.');
  config
    .command('print')
    .summary('print the effective settings')
    .description(
      'Prints the effective settings and where each came from: flag, environment, file or default. Secrets are redacted.',
    )
    .addHelpText(
      'after',
      `
Examples:
  $ engramd config print
  $ engramd config print --json | jq -r .ENGRAMD_DATA_DIR.value`,
    )
    .action((_options: unknown, command: Command) => {
      const globals = globalOptions(command);
      const loaded = loadSettings(context, globals);
      noteWarnings(context, loaded);
      const lines = describeConfig(loaded);
      const { terminal } = context;
      if (globals.json) {
        terminal.json(Object.fromEntries(lines.map(({ variable, value, source }) => [variable, { value, source }])));
        return;
      }
      const rows = lines.map(({ variable, value, source }) => [
        terminal.bold(variable),
        value === null ? terminal.dim('(unset)') : String(value),
        terminal.dim(source),
      ]);
      for (const line of table(rows)) terminal.out(line);
    });
}
