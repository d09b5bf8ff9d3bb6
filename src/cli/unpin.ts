import type { Command } from 'commander';
import type { CommandContext } from './command-context.ts';
import { addPinCommand } from './pin-command.ts';

export function addUnpin(program: Command, context: CommandContext): void {
  addPinCommand(program, context, {
    name: 'unpin',
    summary: 'let go of pinned memories',
    description:
      'Takes pins away, whoever set them. A memory is not pinned again by its significance until its text is edited. --json prints a document for each.',
    said: ({ id, already }) => (already ? `${id} was not pinned` : `${id} is no longer pinned`),
  });
}
