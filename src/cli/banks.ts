import { createInterface } from 'node:readline/promises';
import type { Command } from 'commander';
import { call } from './api-client.ts';
import type { Bank } from './api-types.ts';
import { UsageError } from './cli-errors.ts';
import { type CommandContext, globalOptions, withTransport } from './command-context.ts';
import { bankPath } from './options.ts';
import { readPages } from './read-pages.ts';
import { table } from './table.ts';

export function addBanks(program: Command, context: CommandContext): void {
  const banks = program
    .command('banks')
    .summary('list, create and delete banks')
    .description('Banks: each a world of its own, no recall and no consolidation crosses it.');
  addList(banks, context);
  addCreate(banks, context);
  addDelete(banks, context);
}

function addList(banks: Command, context: CommandContext): void {
  banks
    .command('list')
    .description('Lists the banks and what is in them.')
    .addHelpText('after', '\nExample:\n  $ engramd banks list --json | jq -r ".banks[].id"')
    .action(async (_options: unknown, command: Command) => {
      const globals = globalOptions(command);
      const found = await withTransport(context, globals, (transport) =>
        readPages<Bank>(transport, '/v1/banks', 'banks'),
      );
      const { terminal } = context;
      if (globals.json) return terminal.json({ banks: found });
      if (found.length === 0) return terminal.out('no banks yet');
      const heading = ['bank', 'memories', 'due', 'observations', 'conflicts'].map(terminal.dim);
      const rows = found.map((bank) => [
        terminal.bold(bank.id),
        String(sum(bank.memories)),
        String(bank.due),
        String(bank.observations.live),
        String(bank.open_conflicts),
      ]);
      for (const line of table([heading, ...rows])) terminal.out(line);
    });
}

function sum(counts: Readonly<Record<string, number>>): number {
  return Object.values(counts).reduce((total, count) => total + count, 0);
}

function addCreate(banks: Command, context: CommandContext): void {
  banks
    .command('create <bank>')
    .description('Makes a bank. The first write makes one too.')
    .option('--mission <text>', 'what the bank is for; deciders read it')
    .addHelpText(
      'after',
      '\nExample:\n  $ engramd banks create studio --mission "What the assistant of a print studio should know."',
    )
    .action(async (bank: string, options: { mission?: string }, command: Command) => {
      const globals = globalOptions(command);
      const body = { id: bank, ...(options.mission !== undefined && { mission: options.mission }) };
      const created = await withTransport(context, globals, (transport) =>
        call<Bank>(transport, { method: 'POST', path: '/v1/banks', body }),
      );
      if (globals.json) context.terminal.json(created);
      else context.terminal.out(`${created.id}`);
    });
}

function addDelete(banks: Command, context: CommandContext): void {
  banks
    .command('delete <bank>')
    .description(
      'Deletes a bank with everything in it. Asks first where a person can answer; a script is taken at its word.',
    )
    .option('-y, --yes', 'do not ask')
    .addHelpText('after', '\nExample:\n  $ engramd banks delete studio --yes')
    .action(async (bank: string, options: { yes?: true }, command: Command) => {
      const globals = globalOptions(command);
      await withTransport(context, globals, async (transport, signal) => {
        if (options.yes !== true && context.terminal.isInteractive && process.stdin.isTTY === true) {
          const { memories } = await call<Bank>(transport, { method: 'GET', path: bankPath(bank) });
          await confirm(`Delete ${bank} with its ${sum(memories)} memories? Type its name: `, bank, signal);
        }
        await call<unknown>(transport, { method: 'DELETE', path: bankPath(bank) });
      });
      if (globals.json) context.terminal.json({ deleted: bank });
      else context.terminal.out(`deleted ${bank}`);
    });
}

async function confirm(question: string, expected: string, signal: AbortSignal): Promise<void> {
  const prompt = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const answer = await prompt.question(question, { signal });
    if (answer.trim() !== expected) throw new UsageError('not deleted: that was another name');
  } finally {
    prompt.close();
  }
}
