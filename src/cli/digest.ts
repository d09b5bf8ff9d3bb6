import { type Command, InvalidArgumentError } from 'commander';
import { call } from './api-client.ts';
import type { DigestList, DigestText } from './api-types.ts';
import { type CommandContext, globalOptions, withTransport } from './command-context.ts';
import { query, wholeNumber } from './options.ts';
import { table } from './table.ts';

interface DigestOptions {
  readonly date?: string;
  readonly list?: true;
  readonly limit: number;
}

export function addDigest(program: Command, context: CommandContext): void {
  program
    .command('digest')
    .summary('what the last night changed, cost and asks')
    .description(
      'Prints the last digest, in Markdown: what was added, superseded, folded and refused while the daemon slept, what it cost, and what it asks of you.',
    )
    .option('--date <day>', 'of the nights that ended on this day (YYYY-MM-DD)', day)
    .option('--list', 'only when the nights were, and what each came to')
    .option('--limit <n>', 'most nights of a list', wholeNumber(1, 200), 30)
    .addHelpText(
      'after',
      '\nExamples:\n  $ engramd digest\n  $ engramd digest --date 2026-03-02\n  $ engramd digest --list',
    )
    .action(async ({ date, list, limit }: DigestOptions, command: Command) => {
      const globals = globalOptions(command);
      const { terminal } = context;
      const most = list || date !== undefined ? limit : 1;
      const { found, texts } = await withTransport(context, globals, async (transport) => {
        const path = `/v1/digests${query({ date, limit: most })}`;
        const page = await call<DigestList>(transport, { method: 'GET', path });
        const read: DigestText[] = [];
        for (const { id } of list ? [] : page.digests.toReversed()) {
          read.push(await call<DigestText>(transport, { method: 'GET', path: `/v1/digests/${id}` }));
        }
        return { found: page, texts: read };
      });
      if (globals.json) return terminal.json(list ? found : { digests: texts });
      if (found.digests.length === 0) {
        terminal.note(date === undefined ? 'no night has been slept yet' : `no night ended on ${date}`);
        return;
      }
      if (list) return printList(context, found);
      texts.forEach(({ markdown }, index) => {
        if (index > 0) terminal.out('');
        terminal.out(markdown.trimEnd());
      });
    });
}

function printList({ terminal }: CommandContext, { digests }: DigestList): void {
  const head = ['until', 'added', 'superseded', 'folded', 'refused', 'conflicts', 'waiting', 'dollars', ''];
  const rows = digests.map(({ to, id, counts }) => [
    new Date(to).toLocaleString('sv-SE').slice(0, 16),
    ...[counts.added, counts.superseded, counts.folded, counts.refused, counts.conflicts, counts.proposed].map(String),
    counts.usd.toFixed(4),
    terminal.dim(id),
  ]);
  for (const line of table([head.map((name) => terminal.dim(name)), ...rows])) terminal.out(line);
}

/** @returns the same text @throws InvalidArgumentError, a usage error (exit 2) */
function day(text: string): string {
  const time = new Date(`${text}T00:00:00Z`);
  if (!/^\d{4}-\d{2}-\d{2}$/.test(text) || Number.isNaN(time.getTime()) || !time.toISOString().startsWith(text))
    throw new InvalidArgumentError('expected a day, YYYY-MM-DD');
  return text;
}
