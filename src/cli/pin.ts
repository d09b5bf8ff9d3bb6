import type { Command } from 'commander';
import type { CommandContext } from './command-context.ts';
import { addPinCommand } from './pin-command.ts';

export function addPin(program: Command, context: CommandContext): void {
  addPinCommand(program, context, {
    name: 'pin',
    summary: 'hold memories in mind',
    description:
      'Pins memories by hand: they come first in `recall --pinned`, what rests on them is not retired, and no other pin takes their place. --json prints a document for each.',
    said: ({ id, already }) => (already ? `${id} was pinned already` : `${id} is pinned`),
  });
}
