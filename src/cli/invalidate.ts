import type { Command } from 'commander';
import { call } from './api-client.ts';
import type { InvalidatedMemory } from './api-types.ts';
import { type CommandContext, globalOptions, withTransport } from './command-context.ts';
import { bankOption, bankPath } from './options.ts';

export function addInvalidate(program: Command, context: CommandContext): void {
  program
    .command('invalidate <id>')
    .summary('no longer believe a memory')
    .description(
      'Marks a memory as not to be believed. It is kept, but neither recalled nor consolidated any more; observations that rest on it are said again from what is left, or retired.',
    )
    .addOption(bankOption())
    .addHelpText('after', '\nExample:\n  $ engramd invalidate 0198c1f0-0000-7000-8000-000000000001 --bank studio')
    .action(async (id: string, options: { bank: string }, command: Command) => {
      const globals = globalOptions(command);
      const path = bankPath(options.bank, `/memories/${encodeURIComponent(id)}/invalidate`);
      const done = await withTransport(context, globals, (transport) =>
        call<InvalidatedMemory>(transport, { method: 'POST', path, body: {} }),
      );
      const { terminal } = context;
      if (globals.json) return terminal.json(done);
      terminal.out(done.already ? `${done.id} was invalid already` : `${done.id} is invalid`);
      if (done.observations.length === 0) terminal.out(terminal.dim('no observation rests on it'));
      for (const { text, fate } of done.observations) terminal.out(`  ${terminal.yellow(fates[fate])}  ${text}`);
    });
}

const fates: Readonly<Record<InvalidatedMemory['observations'][number]['fate'], string>> = {
  rewrite: 'will be said again from its other sources',
  retire: 'will be retired: nothing else speaks for it',
  history: 'is history and keeps its words',
};
