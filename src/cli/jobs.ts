import type { Command } from 'commander';
import { call } from './api-client.ts';
import type { Job } from './api-types.ts';
import { type CommandContext, globalOptions, withTransport } from './command-context.ts';
import { query, wholeNumber } from './options.ts';
import { oneLine, table } from './table.ts';

export function addJobs(program: Command, context: CommandContext): void {
  const jobs = program
    .command('jobs')
    .summary('list background jobs, retry what gave up')
    .description('Background jobs. They are hints: what is due stands in the rows.');
  addList(jobs, context);
  addRetry(jobs, context);
}

function addList(jobs: Command, context: CommandContext): void {
  jobs
    .command('list')
    .description('Lists background jobs, newest first.')
    .option('--dead', 'only those that gave up')
    .option('--limit <n>', 'most jobs', wholeNumber(1, 1000), 50)
    .addHelpText('after', '\nExample:\n  $ engramd jobs list --dead --json')
    .action(async (options: { dead?: true; limit: number }, command: Command) => {
      const globals = globalOptions(command);
      const found = await withTransport(
        context,
        globals,
        (transport) =>
          call<{ jobs: Job[] }>(transport, {
            method: 'GET',
            path: `/v1/jobs${query({ limit: options.limit, dead: options.dead })}`,
          }),
        { hasWorkers: true },
      );
      const { terminal } = context;
      if (globals.json) return terminal.json(found);
      if (found.jobs.length === 0) return terminal.out('no jobs');
      const rows = found.jobs.map((job) => [
        job.id,
        job.queue,
        job.bank ?? '',
        job.state,
        terminal.dim((job.finished_at ?? job.start_after ?? job.created_at).slice(0, 19).replace('T', ' ')),
        oneLine(job.outcome ?? '', 60),
      ]);
      for (const line of table(rows)) terminal.out(line);
    });
}

function addRetry(jobs: Command, context: CommandContext): void {
  jobs
    .command('retry')
    .description('Hands jobs that gave up back to their queues; decides and scores again what was parked.')
    .option('--bank <bank>', 'parked memories of this bank only (default: of all)')
    .addHelpText('after', '\nExample:\n  $ engramd jobs retry')
    .action(async (options: { bank?: string }, command: Command) => {
      const globals = globalOptions(command);
      const body = options.bank === undefined ? {} : { bank: options.bank };
      const retried = await withTransport(
        context,
        globals,
        (transport) =>
          call<{ jobs: number; memories: number; scores: number }>(transport, {
            method: 'POST',
            path: '/v1/jobs/retry',
            body,
          }),
        { hasWorkers: true },
      );
      if (globals.json) context.terminal.json(retried);
      else
        context.terminal.out(
          `${retried.jobs} jobs, ${retried.memories} memories and ${retried.scores} scores will be tried again`,
        );
    });
}
