import type { Command } from 'commander';
import { call } from './api-client.ts';
import type { CostReport, DryRun, RequestedConsolidation } from './api-types.ts';
import { type ConsolidationReport, consolidateAndWait } from './await-consolidation.ts';
import { UsageError } from './cli-errors.ts';
import { type CommandContext, globalOptions, withTransport } from './command-context.ts';
import { forecastText } from './cost.ts';
import { opLabel, opText, showCounts } from './op-texts.ts';
import { bankOption, bankPath } from './options.ts';
import type { Terminal } from './terminal.ts';
import type { Transport } from './transport.ts';

interface ConsolidateOptions {
  readonly bank: string;
  readonly dryRun?: true;
  readonly again?: true;
  readonly held?: true;
  readonly wait?: true;
}

export function addConsolidate(program: Command, context: CommandContext): void {
  program
    .command('consolidate')
    .summary('consolidate a bank now')
    .description(
      'Makes a bank due now, quiet or not; the daemon works it off. Without a daemon this command does, and waits. --dry-run shows what would be done and writes nothing.',
    )
    .addOption(bankOption())
    .option('--dry-run', 'show what the next memories would lead to')
    .option('--again', 'decide once more what another decider, prompt or model decided')
    .option('--held', 'decide after all what an undo or a rejection has put aside')
    .option('--wait', 'wait until nothing of the bank is due')
    .addHelpText(
      'after',
      '\nExamples:\n  $ engramd consolidate --wait\n  $ engramd consolidate --bank studio --dry-run\n  $ engramd consolidate --again --wait',
    )
    .action(async (options: ConsolidateOptions, command: Command) => {
      const globals = globalOptions(command);
      const { terminal, clock } = context;
      const path = bankPath(options.bank, '/consolidations');
      const also = { again: options.again === true, held: options.held === true };
      if (options.dryRun) {
        if (also.again || also.held)
          throw new UsageError('--dry-run writes nothing: it goes with neither --again nor --held');
        const report = await withTransport(context, globals, (transport) =>
          call<DryRun>(transport, { method: 'POST', path, body: { dry_run: true } }),
        );
        return globals.json ? terminal.json(report) : printDryRun(terminal, report);
      }
      await withTransport(
        context,
        globals,
        async (transport, signal) => {
          // Nobody else would work it off.
          if (options.wait !== true && transport.kind === 'daemon') {
            const answer = await call<RequestedConsolidation>(transport, { method: 'POST', path, body: also });
            if (globals.json) return terminal.json(answer);
            await printRequeued(terminal, transport, also, answer);
            const said = answer.job_id === null ? 'is being consolidated already' : 'is due now';
            return terminal.out(`${options.bank} ${said}`);
          }
          const onProgress = (left: number, total: number) =>
            terminal.progress(`${total - left} of ${total} memories consolidated`);
          const onRequested = async (answer: RequestedConsolidation) => {
            if (!globals.json) await printRequeued(terminal, transport, also, answer);
          };
          const report = await consolidateAndWait({
            transport,
            bank: options.bank,
            also,
            onRequested,
            clock,
            signal,
            onProgress,
            onWaiting: (why) => terminal.note(`engramd: waiting: ${why}`),
          });
          return globals.json ? terminal.json(report) : printReport(terminal, report);
        },
        { hasWorkers: true },
      );
    });
}

/** What a person asked for beyond what was due, and what it will cost. */
async function printRequeued(
  terminal: Terminal,
  transport: Transport,
  asked: { readonly again: boolean; readonly held: boolean },
  { again, held }: RequestedConsolidation,
): Promise<void> {
  if (asked.again) {
    terminal.out(
      again === 0
        ? 'no memory was decided by another decider, prompt or model'
        : `${again} memories will be decided again`,
    );
  }
  if (asked.held) terminal.out(`${held} held memories will be decided after all`);
  if (again + held === 0) return;
  const { forecast } = await call<CostReport>(transport, { method: 'GET', path: '/v1/costs' });
  terminal.out(terminal.dim(forecastText(forecast)));
}

function printReport(terminal: Terminal, { memories, ops, rejected, proposed, pending }: ConsolidationReport): void {
  terminal.out(`${memories} memories consolidated: ${showCounts(ops)}`);
  if (Object.keys(rejected).length > 0) terminal.out(`refused by validators: ${showCounts(rejected)}`);
  if (proposed > 0) {
    terminal.out(terminal.yellow(`${proposed} operations wait for you: engramd changes list --status proposed`));
  }
  if (pending > 0) terminal.out(terminal.yellow(`${pending} are pending and will be tried again later`));
}

function printDryRun(terminal: Terminal, { memories, ops, rejected, undecided, calls, cost_usd }: DryRun): void {
  terminal.out(`${memories} memories would be looked at; nothing was written`);
  if (calls > 0) terminal.out(`${calls} calls of the model, $${cost_usd.toFixed(4)}; the run will use their answers`);
  for (const { op, before, after, sources, reason } of ops) {
    terminal.out('');
    terminal.out(`${opLabel(terminal, op)} ${opText(terminal, op, before, after)}`);
    for (const source of sources) terminal.out(terminal.dim(`    ← ${source}`));
    terminal.out(terminal.dim(`    ${reason}`));
  }
  for (const { validator, reason } of rejected) terminal.out(`${terminal.red('refused')} by ${validator}: ${reason}`);
  for (const { memories: texts, reason } of undecided) {
    terminal.out(`${terminal.red('undecided')}: ${reason}`);
    for (const text of texts) terminal.out(terminal.dim(`    ← ${text}`));
  }
}
