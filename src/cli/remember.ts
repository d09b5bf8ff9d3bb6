import { randomUUID } from 'node:crypto';
import { type Command, Option } from 'commander';
import { call } from './api-client.ts';
import type { WriteResult } from './api-types.ts';
import { type CommandContext, globalOptions, withTransport } from './command-context.ts';
import { bankOption, bankPath, collect } from './options.ts';

interface RememberOptions {
  readonly bank: string;
  readonly tag?: readonly string[];
  readonly context?: string;
  readonly kind?: 'world' | 'experience';
  readonly sourceRef?: string;
  readonly at?: string;
}

export function addRemember(program: Command, context: CommandContext): void {
  program
    .command('remember <text>')
    .summary('write one memory')
    .description(
      'Writes one memory. It is found at once by its words, and consolidated when the bank has been quiet for a while.',
    )
    .addOption(bankOption())
    .option('--tag <tag>', 'tag, may be given again; only memories of the same tags are consolidated together', collect)
    .option('--context <text>', 'what one has to know to understand the text')
    .addOption(new Option('--kind <kind>', 'a fact, or something lived through').choices(['world', 'experience']))
    .option('--source-ref <ref>', 'where it comes from; the same text under the same reference is stored once')
    .option('--at <time>', 'when it was said, ISO 8601 (default: now)')
    .addHelpText(
      'after',
      `
Examples:
  $ engramd remember "Mara prefers the matte paper."
  $ engramd remember "The kiln is booked on Fridays." --bank studio --tag rooms --at 2026-03-02`,
    )
    .action(async (text: string, options: RememberOptions, command: Command) => {
      const globals = globalOptions(command);
      const body = {
        text,
        // A dated memory can supersede an older one; what is said now is dated now.
        mentioned_at: options.at ?? context.clock.now().toISOString(),
        ...(options.tag && { tags: options.tag }),
        ...(options.context !== undefined && { context: options.context }),
        ...(options.kind && { kind: options.kind }),
        ...(options.sourceRef !== undefined && { source_ref: options.sourceRef }),
      };
      const written = await withTransport(context, globals, (transport) =>
        call<WriteResult>(transport, {
          method: 'POST',
          path: bankPath(options.bank, '/memories'),
          body,
          headers: { 'idempotency-key': randomUUID() },
        }),
      );
      const { terminal } = context;
      if (globals.json) return terminal.json(written);
      const [memory] = written.memories;
      terminal.out(memory?.duplicate ? `${memory.id} ${terminal.dim('(was there already)')}` : (memory?.id ?? ''));
      if (written.scrubbed > 0)
        terminal.note(`engramd: ${written.scrubbed} secret${written.scrubbed > 1 ? 's' : ''} taken out of it`);
    });
}
