import type { Command } from 'commander';
import { call } from './api-client.ts';
import type { ChangeOp, Explanation } from './api-types.ts';
import { type CommandContext, globalOptions, withTransport } from './command-context.ts';
import { opLabel, opText } from './op-texts.ts';
import { bankOption, bankPath } from './options.ts';
import type { Terminal } from './terminal.ts';

export function addExplain(program: Command, context: CommandContext): void {
  program
    .command('explain <id>')
    .summary('where a memory went, or what an observation rests on')
    .description(
      'Tells the story of a memory or an observation: what it says, what it rests on, and every change that touched it.',
    )
    .addOption(bankOption())
    .addHelpText('after', '\nExample:\n  $ engramd explain 0198c1f0-0000-7000-8000-000000000001 --bank studio')
    .action(async (id: string, options: { bank: string }, command: Command) => {
      const globals = globalOptions(command);
      const path = bankPath(options.bank, `/explain/${encodeURIComponent(id)}`);
      const story = await withTransport(context, globals, (transport) =>
        call<Explanation>(transport, { method: 'GET', path }),
      );
      if (globals.json) context.terminal.json(story);
      else print(context.terminal, story);
    });
}

function print(terminal: Terminal, story: Explanation): void {
  const { memory, observation } = story;
  const text = memory?.text ?? observation?.text ?? '';
  terminal.out(
    `${terminal.bold(text)} ${terminal.dim(`(${story.type}, ${memory?.state ?? observation?.state ?? ''})`)}`,
  );
  terminal.out(story.why);
  if (memory !== null && memory.significance !== null)
    terminal.out(terminal.dim(`significance ${memory.significance} of 3`));
  section(
    terminal,
    'It rests on',
    observation?.sources.map(({ text: source, mentioned_at }) => dated(source, mentioned_at)),
  );
  section(
    terminal,
    'Observations that rest on it',
    story.cited_by.map((cited) => `${cited.text} (${cited.state})`),
  );
  section(
    terminal,
    'Cannot hold beside it',
    story.conflicts.map(({ left, right, status }) => `${left.text} ≠ ${right.text} (${status})`),
  );
  section(terminal, 'Folded into it', story.folded);
  section(terminal, 'It took the place of', story.superseded);
  section(
    terminal,
    'What happened',
    story.ops.map((op) => happening(terminal, op)),
  );
}

function section(terminal: Terminal, title: string, lines: readonly string[] | undefined): void {
  if (lines === undefined || lines.length === 0) return;
  terminal.out('');
  terminal.out(terminal.dim(title));
  for (const line of lines) terminal.out(`  ${line}`);
}

function happening(terminal: Terminal, op: ChangeOp): string {
  const when = op.at.slice(0, 19).replace('T', ' ');
  const status = op.status === 'applied' ? '' : `, ${op.status}`;
  const reason = op.reason === '' ? '' : terminal.dim(` because ${op.reason}`);
  return `${terminal.dim(when)} ${opLabel(terminal, op.op)}${status}: ${opText(terminal, op.op, op.before_text, op.after_text)}${reason}`;
}

function dated(text: string, time: string | null): string {
  return time === null ? text : `${text} (${time.slice(0, 10)})`;
}
