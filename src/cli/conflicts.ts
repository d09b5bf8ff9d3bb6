import { type Command, Option } from 'commander';
import type { ResolvedConflict } from '../api/routes/review-routes.ts';
import { call } from './api-client.ts';
import type { Conflict } from './api-types.ts';
import { type CommandContext, globalOptions, withTransport } from './command-context.ts';
import { bankOption, bankPath, query, wholeNumber } from './options.ts';

const exampleId = '0198c1f0-0000-7000-8000-000000000001';

export function addConflicts(program: Command, context: CommandContext): void {
  const conflicts = program
    .command('conflicts')
    .summary('what cannot both hold, and which of it to keep')
    .description(
      'Pairs of observations that cannot both hold. Both stay until a person, or a later fact, tells which does.',
    );
  addList(conflicts, context);
  addResolve(conflicts, context);
}

function addList(conflicts: Command, context: CommandContext): void {
  conflicts
    .command('list')
    .description('Lists conflicts, newest first.')
    .addOption(bankOption())
    .addOption(
      new Option('--status <status>', 'only those').choices(['open', 'resolved', 'all'] as const).default('open'),
    )
    .option('--limit <n>', 'most conflicts', wholeNumber(1, 500), 50)
    .addHelpText('after', '\nExample:\n  $ engramd conflicts list --bank studio --json')
    .action(async (options: { bank: string; status: string; limit: number }, command: Command) => {
      const globals = globalOptions(command);
      const path = bankPath(options.bank, `/conflicts${query({ status: options.status, limit: options.limit })}`);
      const found = await withTransport(context, globals, (transport) =>
        call<{ conflicts: Conflict[] }>(transport, { method: 'GET', path }),
      );
      const { terminal } = context;
      if (globals.json) return terminal.json(found);
      if (found.conflicts.length === 0) return terminal.out('no conflicts');
      for (const conflict of found.conflicts) {
        const kept = conflict.resolution === null ? '' : `, kept ${conflict.resolution}`;
        const status = conflict.status === 'open' ? terminal.red('open') : terminal.green(`resolved${kept}`);
        terminal.out(`${conflict.id}  ${status}  ${terminal.dim(conflict.reason)}`);
        for (const side of ['left', 'right'] as const) {
          const since = conflict[side].valid_from?.slice(0, 10);
          terminal.out(`  ${side.padEnd(5)}  ${conflict[side].text}${since ? terminal.dim(` (since ${since})`) : ''}`);
        }
      }
    });
}

function addResolve(conflicts: Command, context: CommandContext): void {
  conflicts
    .command('resolve <id>')
    .description(
      'Closes a conflict. The side that is not kept is superseded where it held earlier, else retired; `changes undo` brings it back.',
    )
    .addOption(bankOption())
    .addOption(
      new Option('--keep <side>', 'which of the two holds').choices(['left', 'right', 'both']).makeOptionMandatory(),
    )
    .addHelpText('after', `\nExample:\n  $ engramd conflicts resolve ${exampleId} --keep right`)
    .action(async (id: string, options: { bank: string; keep: string }, command: Command) => {
      const globals = globalOptions(command);
      const path = bankPath(options.bank, `/conflicts/${encodeURIComponent(id)}/resolve`);
      const body = { keep: options.keep };
      const answer = await withTransport(context, globals, (transport) =>
        call<ResolvedConflict>(transport, { method: 'POST', path, body }),
      );
      const { terminal } = context;
      if (globals.json) return terminal.json(answer);
      const outcome = answer.outcome === null ? 'nothing else changed' : `the other was ${answer.outcome.fate}`;
      terminal.out(`${terminal.green('resolved')}: ${answer.resolution} kept; ${outcome}`);
      terminal.out(terminal.dim(`to have it back: engramd changes undo ${answer.change_set_id}`));
    });
}
