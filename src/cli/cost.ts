import { type Command, Option } from 'commander';
import { costGroupings } from '../store/cost-report.ts';
import { call } from './api-client.ts';
import type { CostReport } from './api-types.ts';
import { type CommandContext, globalOptions, withTransport } from './command-context.ts';
import { query, wholeNumber } from './options.ts';
import { table } from './table.ts';

interface CostOptions {
  readonly by: CostReport['by'];
  readonly days: number;
  readonly bank?: string;
}

export function addCost(program: Command, context: CommandContext): void {
  program
    .command('cost')
    .summary('what models cost, and will')
    .description('What models cost in the last days, for each 1,000 memories too, and what the backlog will need.')
    .addOption(new Option('--by <what>', 'a line for each').choices(costGroupings).default('day'))
    .option('--days <n>', 'how many, today included', wholeNumber(1, 366), 7)
    .option('--bank <bank>', 'of this bank only (default: of all)')
    .addHelpText(
      'after',
      '\nExamples:\n  $ engramd cost\n  $ engramd cost --by model --days 30\n  $ engramd cost --bank studio --by purpose --json',
    )
    .action(async (options: CostOptions, command: Command) => {
      const globals = globalOptions(command);
      const { by, days, bank } = options;
      const report = await withTransport(context, globals, (transport) =>
        call<CostReport>(transport, { method: 'GET', path: `/v1/costs${query({ by, days, bank })}` }),
      );
      const { terminal } = context;
      if (globals.json) return terminal.json(report);
      if (report.rows.length === 0) {
        terminal.out(`no calls of models from ${report.from} to ${report.to}`);
      } else {
        const head = [by, 'calls', 'tokens', 'dollars', 'a 1,000 memories'].map((name) => terminal.dim(name));
        const rows = report.rows.map((row) => [row.key ?? '(no bank)', ...figures(row)]);
        const total = report.rows.length > 1 ? [['total', ...figures(report.total)]] : [];
        for (const line of table([head, ...rows, ...total])) terminal.out(line);
        const { unpriced_tokens: unpriced } = report.total;
        if (unpriced > 0) {
          terminal.out(terminal.dim(`${whole(unpriced)} of the tokens are of models whose price is not known`));
        }
      }
      terminal.out(forecastText(report.forecast));
    });
}

function figures(costs: CostReport['total']): string[] {
  const { usd, usd_per_1000_memories: per1000 } = costs;
  const isUnknown = usd === 0 && costs.unpriced_tokens > 0;
  const money = isUnknown ? ['unknown', ''] : [dollars(usd), per1000 === null ? '' : dollars(per1000)];
  return [whole(costs.calls), whole(costs.tokens), ...money];
}

/** The backlog in a sentence. */
export function forecastText(forecast: CostReport['forecast']): string {
  const { due, usd, tokens, days } = forecast;
  if (due === 0) return 'nothing is due';
  const memories = due === 1 ? 'the 1 memory that is due' : `the ${whole(due)} memories that are due`;
  if (usd === null || tokens === null || days === null) {
    return `what ${memories} will cost is not known before a model has consolidated the first`;
  }
  if (usd === 0 && tokens === 0) return `${memories} will cost nothing: the rules decide`;
  const price = usd === 0 ? `${whole(tokens)} tokens` : `about ${dollars(usd)}`;
  return `${memories} will take ${price}, ${time(days)} at today's budget`;
}

function time(days: number): string {
  if (days <= 1) return 'less than a day';
  return `${days < 10 ? days.toFixed(1) : whole(Math.ceil(days))} days`;
}

function whole(count: number): string {
  return count.toLocaleString('en-US');
}

/** To the cent, and below a dollar as far as there is something to see. */
function dollars(usd: number): string {
  if (usd === 0) return '$0';
  if (usd < 0.0001) return '<$0.0001';
  return `$${usd.toFixed(usd < 1 ? 4 : 2)}`;
}
