import type { Command } from 'commander';
import { call } from './api-client.ts';
import type { PinnedMemory } from './api-types.ts';
import { type CommandContext, globalOptions, withTransport } from './command-context.ts';
import { bankOption, bankPath } from './options.ts';

interface PinCommand {
  readonly name: 'pin' | 'unpin';
  readonly summary: string;
  readonly description: string;
  readonly said: (done: PinnedMemory) => string;
}

/** `pin` and `unpin` differ in a word. Each memory is a change of its own; one that fails ends the command there. */
export function addPinCommand(program: Command, context: CommandContext, spec: PinCommand): void {
  const { name, summary, description, said } = spec;
  program
    .command(`${name} <ids...>`)
    .summary(summary)
    .description(description)
    .addOption(bankOption())
    .addHelpText('after', `\nExample:\n  $ engramd ${name} 0198c1f0-0000-7000-8000-000000000001 --bank studio`)
    .action(async (ids: readonly string[], options: { bank: string }, command: Command) => {
      const globals = globalOptions(command);
      const { terminal } = context;
      await withTransport(context, globals, async (transport) => {
        for (const id of ids) {
          const path = bankPath(options.bank, `/memories/${encodeURIComponent(id)}/${name}`);
          const done = await call<PinnedMemory>(transport, { method: 'POST', path, body: {} });
          if (globals.json) {
            terminal.json(done);
            continue;
          }
          terminal.out(said(done));
          for (const evicted of done.evicted) terminal.out(terminal.dim(`  made room: ${evicted}`));
        }
      });
    });
}
