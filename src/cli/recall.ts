import { type Command, Option } from 'commander';
import { call } from './api-client.ts';
import type { RecallResult } from './api-types.ts';
import { type CommandContext, globalOptions, withTransport } from './command-context.ts';
import { bankOption, bankPath, collect, wholeNumber } from './options.ts';
import type { Terminal } from './terminal.ts';

interface RecallOptions {
  readonly bank: string;
  readonly limit?: number;
  readonly maxTokens?: number;
  readonly tag?: readonly string[];
  readonly only?: 'observations' | 'memories';
  readonly pinned?: true;
  readonly asOf?: string;
  readonly superseded?: true;
  readonly folded?: true;
  readonly retired?: true;
}

export function addRecall(program: Command, context: CommandContext): void {
  program
    .command('recall <query>')
    .summary('what a bank knows about something')
    .description(
      'Asks a bank. Observations come with the memories they rest on; memories that none cites come by themselves.',
    )
    .addOption(bankOption())
    .option('--limit <n>', 'most items (default 10)', wholeNumber(1, 100))
    .option('--max-tokens <n>', 'most tokens of all texts together', wholeNumber(1, 1_000_000))
    .option('--tag <tag>', 'only what carries this tag, may be given again', collect)
    .addOption(new Option('--only <what>', 'one kind of item').choices(['observations', 'memories']))
    .option('--pinned', 'what is pinned first')
    .option('--as-of <time>', 'what it would have answered then (ISO 8601 with a zone), or so long ago: 45m, 2h, 3d')
    .option('--superseded', 'also what was true once')
    .option('--folded', 'also what was folded into something else')
    .option('--retired', 'also what was retired')
    .addHelpText(
      'after',
      `
Examples:
  $ engramd recall "which paper does Mara like?"
  $ engramd recall "delivery address" --superseded --json | jq -r '.items[].text'
  $ engramd recall "delivery address" --as-of 2026-03-02T09:00:00+01:00`,
    )
    .action(async (text: string, options: RecallOptions, command: Command) => {
      const globals = globalOptions(command);
      const result = await withTransport(context, globals, (transport) =>
        call<RecallResult>(transport, {
          method: 'POST',
          path: bankPath(options.bank, '/recall'),
          body: {
            query: text,
            ...(options.limit !== undefined && { limit: options.limit }),
            ...(options.maxTokens !== undefined && { max_tokens: options.maxTokens }),
            ...(options.tag && { tags: options.tag }),
            ...(options.only && { only: options.only }),
            ...(options.pinned && { pinned: true }),
            ...(options.asOf !== undefined && { as_of: options.asOf }),
            ...(options.superseded && { include_superseded: true }),
            ...(options.folded && { include_folded: true }),
            ...(options.retired && { include_retired: true }),
          },
        }),
      );
      if (globals.json) context.terminal.json(result);
      else printRecall(context.terminal, result);
    });
}

export function printRecall(terminal: Terminal, { items, degraded, as_of: asOf }: RecallResult): void {
  if (degraded) terminal.note('engramd: the embedder did not answer; only words were compared');
  if (asOf && asOf.edited_since > 0) {
    const are = asOf.edited_since === 1 ? 'memory was' : 'memories were';
    terminal.note(
      `engramd: ${asOf.edited_since} ${are} edited since ${asOf.at}; what they said is not kept, and they are left out`,
    );
  }
  if (items.length === 0) terminal.out('nothing found');
  for (const item of items) {
    switch (item.type) {
      case 'observation': {
        const state = item.state === 'live' ? '' : ` ${terminal.yellow(item.state)}`;
        terminal.out(`${terminal.green('●')} ${terminal.bold(item.text)}${state}`);
        terminal.out(
          terminal.dim(
            `  ${item.id}  ${item.evidence} source${item.evidence === 1 ? '' : 's'}${since(item.valid_from)}`,
          ),
        );
        for (const source of item.sources) terminal.out(terminal.dim(`    ← ${source.text}`));
        for (const conflict of item.conflicts) terminal.out(`    ${terminal.red('≠')} ${conflict.text}`);
        break;
      }
      case 'memory': {
        const marks = [...(item.pinned ? ['pinned'] : []), ...(item.superseded_by === null ? [] : ['superseded'])];
        terminal.out([`${terminal.cyan('○')} ${item.text}`, ...marks.map(terminal.yellow)].join(' '));
        terminal.out(terminal.dim(`  ${item.id}  memory, ${item.state}${since(item.mentioned_at)}`));
        break;
      }
      default:
        item satisfies never;
    }
  }
}

function since(time: string | null): string {
  return time === null ? '' : `, ${time.slice(0, 10)}`;
}
