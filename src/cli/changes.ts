import { type Command, Option } from 'commander';
import { call } from './api-client.ts';
import type { ChangeOp, ChangeSet } from './api-types.ts';
import { addReview } from './changes-review.ts';
import { type CommandContext, globalOptions, withTransport } from './command-context.ts';
import { opLabel, opText, printGrounds, printOp, showCounts } from './op-texts.ts';
import { bankOption, bankPath, wholeNumber } from './options.ts';
import { readPages } from './read-pages.ts';
import { table } from './table.ts';
import type { Terminal } from './terminal.ts';

interface ListOptions {
  readonly bank: string;
  readonly limit: number;
  readonly status?: string;
}

type ChangeSetWithOps = ChangeSet & { readonly steps: readonly ChangeOp[] };

export function addChanges(program: Command, context: CommandContext): void {
  const changes = program
    .command('changes')
    .summary('what consolidation changed; approve, reject, undo it')
    .description('What consolidation changed, with what was there before.');
  addList(changes, context);
  addOne(changes, context, {
    name: 'show',
    summary: 'show what a change set did, and why',
    description: 'Shows the operations of a change set: before, after, sources, reason.',
    print: (terminal, ops) => {
      for (const op of ops) printOp(terminal, op);
    },
  });
  addOne(changes, context, {
    name: 'diff',
    summary: 'show what a change set did, word by word',
    description: 'Shows what a change set changed word by word: [-gone-] {+new+}.',
    print: (terminal, ops) => {
      for (const op of ops) {
        terminal.out(`${opLabel(terminal, op.op)} ${opText(terminal, op.op, op.before_text, op.after_text)}`);
        printGrounds(terminal, op);
      }
    },
  });
  addReview(changes, context);
}

function addList(changes: Command, context: CommandContext): void {
  changes
    .command('list')
    .summary('list change sets, newest first')
    .description('Lists change sets, newest first.')
    .addOption(bankOption())
    .option('--limit <n>', 'most change sets', wholeNumber(1, 10_000), 20)
    .addOption(
      new Option('--status <status>', 'only those').choices([
        'proposed',
        'applied',
        'rejected',
        'conflicted',
        'undone',
      ]),
    )
    .addHelpText(
      'after',
      '\nExamples:\n  $ engramd changes list\n  $ engramd changes list --bank studio --status proposed --json',
    )
    .action(async (options: ListOptions, command: Command) => {
      const globals = globalOptions(command);
      const sets = await withTransport(context, globals, (transport) =>
        readPages<ChangeSet>(transport, bankPath(options.bank, '/changes'), 'changes', {
          most: options.limit,
          filter: { status: options.status },
        }),
      );
      const { terminal } = context;
      if (globals.json) return terminal.json({ changes: sets });
      if (sets.length === 0) return terminal.out('no changes');
      const rows = sets.map((set) => [
        set.id,
        terminal.dim(set.created_at.slice(0, 19).replace('T', ' ')),
        terminal.dim(set.kind),
        set.status === 'applied' ? terminal.green(set.status) : terminal.yellow(set.status),
        `${showCounts(set.ops)}${set.rejected > 0 ? terminal.dim(`, ${set.rejected} refused`) : ''}`,
      ]);
      for (const line of table(rows)) terminal.out(line);
    });
}

function addOne(
  changes: Command,
  context: CommandContext,
  view: {
    name: string;
    summary: string;
    description: string;
    print: (terminal: Terminal, ops: readonly ChangeOp[]) => void;
  },
): void {
  changes
    .command(`${view.name} <id>`)
    .summary(view.summary)
    .description(view.description)
    .addOption(bankOption())
    .addHelpText('after', `\nExample:\n  $ engramd changes ${view.name} 0198c1f0-0000-7000-8000-000000000001`)
    .action(async (id: string, options: { bank: string }, command: Command) => {
      const globals = globalOptions(command);
      const path = bankPath(options.bank, `/changes/${encodeURIComponent(id)}`);
      const set = await withTransport(context, globals, (transport) =>
        call<ChangeSetWithOps>(transport, { method: 'GET', path }),
      );
      const { terminal } = context;
      if (globals.json) return terminal.json(set);
      terminal.out(terminal.dim(`${set.id}  ${set.created_at}  ${set.decider}  ${set.kind}  ${set.status}`));
      if (set.undoes !== null) terminal.out(terminal.dim(`took back ${set.undoes}`));
      if (set.reason !== null) terminal.out(terminal.yellow(set.reason));
      view.print(terminal, set.steps);
    });
}
