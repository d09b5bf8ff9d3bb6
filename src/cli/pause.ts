import type { Command } from 'commander';
import { tellDaemon } from './ask-daemon.ts';
import type { CommandContext } from './command-context.ts';
import { parseSeconds } from './duration.ts';

export function addPause(program: Command, context: CommandContext): void {
  program
    .command('pause')
    .summary('hand out no work for a while')
    .description(
      'Stops consolidation and sleep cycles, for a time or until engramd resume. Requests are answered all the same.',
    )
    .argument('[for]', 'how long, e.g. 90s, 5m or 2h; without it until engramd resume', parseSeconds)
    .addHelpText('after', '\nExamples:\n  $ engramd pause 2h\n  $ engramd pause')
    .action((seconds: number | undefined, _options: unknown, command: Command) =>
      tellDaemon(context, command, { type: 'pause', ...(seconds !== undefined && { seconds }) }),
    );
}
