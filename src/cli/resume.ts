import type { Command } from 'commander';
import { tellDaemon } from './ask-daemon.ts';
import type { CommandContext } from './command-context.ts';

export function addResume(program: Command, context: CommandContext): void {
  program
    .command('resume')
    .summary('end a pause')
    .description('Ends a pause: work is handed out again, and sleep cycles may begin.')
    .addHelpText('after', '\nExample:\n  $ engramd resume')
    .action((_options: unknown, command: Command) => tellDaemon(context, command, { type: 'resume' }));
}
