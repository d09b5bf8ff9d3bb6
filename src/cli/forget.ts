import { createInterface } from 'node:readline/promises';
import type { Command } from 'commander';
import { call } from './api-client.ts';
import type { ForgottenMemory, Memory } from './api-types.ts';
import { UsageError } from './cli-errors.ts';
import { type CommandContext, globalOptions, withTransport } from './command-context.ts';
import { bankOption, bankPath } from './options.ts';
import { oneLine } from './table.ts';

export function addForget(program: Command, context: CommandContext): void {
  program
    .command('forget <id>')
    .summary('erase a memory and all made from it')
    .description(
      'Erases a memory and every text made from it, at once: observations, history, what models said. Asks first where a person can answer, and needs --yes elsewhere. This cannot be undone.',
    )
    .addOption(bankOption())
    .option('-y, --yes', 'do not ask')
    .addHelpText('after', '\nExample:\n  $ engramd forget 0198c1f0-0000-7000-8000-000000000001 --yes')
    .action(async (id: string, options: { bank: string; yes?: true }, command: Command) => {
      const globals = globalOptions(command);
      const path = bankPath(options.bank, `/memories/${encodeURIComponent(id)}`);
      const asks = options.yes !== true;
      if (asks && !(context.terminal.isInteractive && process.stdin.isTTY === true)) {
        throw new UsageError('forgetting cannot be undone: say --yes');
      }
      const done = await withTransport(context, globals, async (transport, signal) => {
        if (asks) {
          const { text } = await call<Memory>(transport, { method: 'GET', path });
          await confirm(`Forget "${oneLine(text, 80)}" and all made from it? [y/N] `, signal);
        }
        return call<ForgottenMemory>(transport, { method: 'DELETE', path });
      });
      const { terminal } = context;
      if (globals.json) return terminal.json(done);
      terminal.out(`forgot ${done.forgotten}`);
      terminal.out(
        `observations: ${done.deleted.length} deleted, ${done.rewritten.length} said again from other memories; ${done.scrubbed_ops} entries of the history erased`,
      );
      if (done.conflicted_changes.length > 0) {
        terminal.out(terminal.yellow(`no longer to be approved: ${done.conflicted_changes.join(', ')}`));
      }
      terminal.out(terminal.dim(inBackups(done)));
    });
}

/** A restore erases it again, whatever it is restored from. */
function inBackups({ backups_expire_at: expireAt, store_restored_at: restoredAt }: ForgottenMemory): string {
  if (expireAt === null) return 'no backup of engramd holds it; any that you made yourself may';
  const until = `until about ${expireAt.slice(0, 10)}`;
  return restoredAt === null
    ? `backups hold it ${until}; a restore erases it again`
    : `backups may hold it ${until}, and those that another database took before the restore of ${restoredAt.slice(0, 10)} until somebody removes them; a restore erases it again`;
}

async function confirm(question: string, signal: AbortSignal): Promise<void> {
  const prompt = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const answer = await prompt.question(question, { signal });
    if (!/^y(?:es)?$/i.test(answer.trim())) throw new UsageError('not forgotten');
  } finally {
    prompt.close();
  }
}
