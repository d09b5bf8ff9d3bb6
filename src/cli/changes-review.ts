import type { Command } from 'commander';
import type { ApprovedChanges, RejectedChanges, UndoneChanges } from '../api/routes/review-routes.ts';
import { call } from './api-client.ts';
import { type CommandContext, globalOptions, withTransport } from './command-context.ts';
import { bankOption, bankPath, wholeNumber } from './options.ts';
import type { Terminal } from './terminal.ts';

interface Decision<T> {
  readonly name: 'approve' | 'reject' | 'undo';
  readonly summary: string;
  readonly description: string;
  readonly print: (context: CommandContext, answer: T) => void;
}

const exampleId = '0198c1f0-0000-7000-8000-000000000001';

/** What a person decides on what consolidation did, or proposes to do. */
export function addReview(changes: Command, context: CommandContext): void {
  addDecision<ApprovedChanges>(changes, context, {
    name: 'approve',
    summary: 'let happen what waits',
    description:
      'Lets a proposed change set happen, or all of a run. What no longer fits what is there by now does not; its memories are decided again.',
    print: printApproved,
  });
  addDecision<RejectedChanges>(changes, context, {
    name: 'reject',
    summary: 'put away what waits',
    description:
      'Puts a proposed change set away, or all of a run. Its memories are held: `engramd consolidate --held` brings them back.',
    print: ({ terminal }, answer) => {
      for (const set of answer.changes) terminal.out(`${set.id}  ${terminal.yellow(set.status)}`);
      if (answer.held.length > 0) terminal.out(`${memories(answer.held)} held`);
      if (answer.kept.length > 0) terminal.out(`${answer.kept.length} observations kept as they are`);
    },
  });
  addDecision<UndoneChanges>(changes, context, {
    name: 'undo',
    summary: 'take back what was done',
    description:
      'Takes back a change set or a run, exactly. If something stands on it by now, nothing is done and each such change is listed (exit 4).',
    print: ({ terminal }, answer) => {
      for (const set of answer.changes) {
        terminal.out(`${set.undoes}  ${terminal.yellow('undone')}  ${terminal.dim(ops(set.ops))}`);
      }
      if (answer.held.length > 0) {
        terminal.out(`${memories(answer.held)} held; ${terminal.dim('engramd consolidate --held brings them back')}`);
      }
      if (answer.consolidated.length > 0) terminal.out(`${memories(answer.consolidated)} consolidated again`);
      terminal.out(terminal.dim(`to have it back: engramd changes undo ${answer.run_id}`));
    },
  });
}

function addDecision<T>(changes: Command, context: CommandContext, decision: Decision<T>): void {
  const { name } = decision;
  changes
    .command(`${name} <id>`)
    .summary(decision.summary)
    .description(decision.description)
    .addOption(bankOption())
    .option(
      '--op <n>',
      'of a change set: only this op, with the ops it stands or falls with',
      wholeNumber(1, 1_000_000),
    )
    .addHelpText(
      'after',
      `\nExamples:\n  $ engramd changes ${name} ${exampleId}\n  $ engramd changes ${name} ${exampleId} --op 2 --bank studio --json`,
    )
    .action(async (id: string, options: { bank: string; op?: number }, command: Command) => {
      const globals = globalOptions(command);
      const path = bankPath(options.bank, `/changes/${encodeURIComponent(id)}/${name}`);
      const body = options.op === undefined ? {} : { op: options.op };
      const answer = await withTransport(context, globals, (transport) =>
        call<T>(transport, { method: 'POST', path, body }),
      );
      if (globals.json) context.terminal.json(answer);
      else decision.print(context, answer);
      if (name === 'approve') exitWhereNothingFit(context, answer as ApprovedChanges);
    });
}

function printApproved({ terminal }: CommandContext, answer: ApprovedChanges): void {
  for (const set of answer.changes) {
    const status = set.status === 'applied' ? terminal.green(set.status) : terminal.yellow(set.status);
    terminal.out(`${set.id}  ${status}  ${terminal.dim(`${ops(set.applied.length)} applied`)}`);
    for (const group of set.conflicted) printConflicted(terminal, group);
  }
  if (answer.pending_again.length > 0) terminal.out(`${memories(answer.pending_again)} will be decided again`);
}

const missReasons = {
  memory_changed: 'a memory was edited, invalidated or deleted since',
  target_changed: 'an observation it acts on has changed since',
  scope_moved: 'something much like it was written since',
} as const;

function printConflicted(terminal: Terminal, group: ApprovedChanges['changes'][number]['conflicted'][number]): void {
  const numbers = group.ops.map((op) => `op ${op}`).join(', ');
  terminal.out(`  ${terminal.red('conflicted')} ${numbers}: ${missReasons[group.reason]}`);
}

/** Refused like any other conflict, but for what did happen. */
function exitWhereNothingFit(context: CommandContext, { changes }: ApprovedChanges): void {
  if (changes.some((set) => set.conflicted.length > 0) && changes.every((set) => set.applied.length === 0)) {
    context.exitWith(4);
  }
}

function ops(count: number): string {
  return `${count} ${count === 1 ? 'op' : 'ops'}`;
}

function memories(ids: readonly string[]): string {
  return `${ids.length} ${ids.length === 1 ? 'memory' : 'memories'}`;
}
