import type { Command } from 'commander';
import { call } from './api-client.ts';
import type { Status } from './api-types.ts';
import { DaemonUnreachableError } from './cli-errors.ts';
import { type CommandContext, globalOptions, loadSettings, noteWarnings } from './command-context.ts';
import { findDaemon } from './http-transport.ts';
import { showCounts } from './op-texts.ts';
import { table } from './table.ts';

export function addStatus(program: Command, context: CommandContext): void {
  program
    .command('status')
    .summary('how the daemon is')
    .description('Asks the daemon of the data directory how it is. Exit 3 where none answers.')
    .addHelpText('after', '\nExample:\n  $ engramd status --json | jq .due')
    .action(async (_options: unknown, command: Command) => {
      const globals = globalOptions(command);
      const loaded = loadSettings(context, globals);
      noteWarnings(context, loaded);
      const { config } = loaded;
      const status = await context.interruptible(async (signal) => {
        const daemon = await findDaemon({ config, signal });
        if (!daemon)
          throw new DaemonUnreachableError(`no daemon answers for ${config.dataDir}; engramd run starts one`);
        return call<Status>(daemon, { method: 'GET', path: '/v1/status' });
      });
      const { terminal } = context;
      if (globals.json) return terminal.json(status);
      const { queue, pool, embedding, budget } = status;
      const model = `${embedding.model}${embedding.pinned_differs ? ` (settings ask for ${embedding.configured})` : ''}`;
      const rows: [string, string][] = [
        ['daemon', `${status.version}, ${status.condition}, up ${duration(status.uptime_seconds)}`],
        ['decider', status.decider],
        ...status.models.map(({ model, endpoint, problem, retry_at }): [string, string] => [
          'model',
          problem === null
            ? `${model} at ${endpoint}`
            : terminal.red(`${problem}${retry_at === null ? '' : `; tried again at ${retry_at.slice(11, 19)} UTC`}`),
        ]),
        ...(status.models.length === 0 ? [] : [['budget', budgetLine(budget)] as [string, string]]),
        ...(status.waits_until === null || status.models.some(({ problem }) => problem !== null)
          ? []
          : [
              ['waits', terminal.yellow(`the budget of the day is spent; work goes on at ${status.waits_until}`)] as [
                string,
                string,
              ],
            ]),
        ['vectors', `${model}, ${status.vectors}`],
        ['banks', String(status.banks)],
        ['memories', showCounts(status.memories)],
        ['due', status.due === 0 ? 'nothing' : `${status.due}, the oldest for ${duration(status.oldest_due_seconds)}`],
        ['observations', `${status.observations}, ${status.open_conflicts} open conflicts`],
        [
          'queue',
          queue === null ? 'not started' : `${queue.in_flight} jobs in flight, ${queue.dead_letters} dead letters`,
        ],
        ['connections', `${pool.used} used, ${pool.idle} idle, ${pool.waiting} waiting`],
      ];
      for (const line of table(rows.map(([name, value]) => [terminal.dim(name), value]))) terminal.out(line);
    });
}

function budgetLine({ usd, tokens, unpriced_tokens: unpriced }: Status['budget']): string {
  const spent = `$${usd.spent.toFixed(4)} of $${usd.limit.toFixed(2)} today`;
  const ofTokens = tokens ?? (unpriced.spent > 0 ? unpriced : null);
  const inTokens =
    ofTokens === null
      ? ''
      : `, ${ofTokens.spent.toLocaleString('en-US')} of ${ofTokens.limit.toLocaleString('en-US')} tokens`;
  return `${spent}${inTokens}`;
}

function duration(seconds: number): string {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}
