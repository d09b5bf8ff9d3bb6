import type { Command } from 'commander';
import { createLog } from '../telemetry/log.ts';
import type { ChangeOp } from './api-types.ts';
import { type CommandContext, globalOptions } from './command-context.ts';
import { type DemoReport, type DemoStory, runDemo } from './demo/run-demo.ts';
import { opLabel, printOp, showCounts } from './op-texts.ts';
import { printRecall } from './recall.ts';
import type { Terminal } from './terminal.ts';

export function addDemo(program: Command, context: CommandContext): void {
  program
    .command('demo')
    .summary('see it work, in a temporary place')
    .description(
      'Starts an embedded PostgreSQL in a temporary folder, ingests a sample bank, consolidates it through the real queue, shows what came of it, and removes everything. Settings, keys and running daemons are left alone.',
    )
    .addHelpText('after', '\nExamples:\n  $ engramd demo\n  $ engramd demo --json | jq .ops')
    .action(async (_options: unknown, command: Command) => {
      const globals = globalOptions(command);
      const { terminal, clock } = context;
      const log = createLog({ level: globals.logLevel ?? 'warn', pretty: process.stderr.isTTY === true });
      const onProgress = (line: string) => terminal.progress(line);
      const { report, story } = await context.interruptible((signal) => runDemo({ log, clock, signal, onProgress }));
      if (globals.json) terminal.json(report);
      else tell(terminal, report, story);
    });
}

/** Two of each kind are enough to see what it means. */
const examplesOfKind = 2;

function tell(terminal: Terminal, report: DemoReport, story: DemoStory): void {
  title(terminal, 'Before: raw memories, as the assistant wrote them');
  terminal.out(`${report.memories} memories. ${terminal.bold(story.question)}`);
  printRecall(terminal, story.before);

  title(terminal, 'After: observations that rest on them');
  terminal.out(
    `${report.memories} memories, ${report.observations} observations, ${report.conflicts} open conflicts. ${terminal.bold(story.question)}`,
  );
  printRecall(terminal, story.after);

  for (const [op, examples] of examplesByKind(story.applied)) {
    title(terminal, `${opLabel(terminal, op)}: ${meanings[op]} (${report.ops[op] ?? examples.length})`);
    for (const example of examples) printOp(terminal, example);
  }

  terminal.out('');
  terminal.out(`Operations: ${showCounts(report.ops)}. Refused by validators: ${showCounts(report.rejected)}.`);
  terminal.out(
    terminal.bold(
      `${(report.elapsedMs / 1000).toFixed(1)} s, $${report.costUsd.toFixed(2)}, ${report.pending} memories pending. Everything was removed again.`,
    ),
  );
}

const meanings: Readonly<Record<ChangeOp['op'], string>> = {
  create: 'a fact that was not there',
  reinforce: 'said before; one more source, the same text',
  revise: 'said before, now more fully',
  supersede: 'true then, not now; both stay',
  conflict: 'both cannot hold, and nothing tells which does',
  fold: 'two observations that say the same',
  retire: 'nothing is left that supports it',
  skip: 'nothing worth more than the raw memory',
};

/** In the order of `meanings`, those with the most sources first. */
function examplesByKind(ops: readonly ChangeOp[]): [ChangeOp['op'], ChangeOp[]][] {
  const kinds = Object.keys(meanings) as ChangeOp['op'][];
  return kinds.flatMap((kind) => {
    const found = ops.filter(({ op }) => op === kind).sort((a, b) => b.sources.length - a.sources.length);
    return found.length === 0 ? [] : [[kind, found.slice(0, examplesOfKind)]];
  });
}

function title(terminal: Terminal, text: string): void {
  terminal.out('');
  terminal.out(terminal.bold(text));
}
