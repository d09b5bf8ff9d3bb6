import { createInterface } from 'node:readline/promises';
import type { Command } from 'commander';
import { call } from './api-client.ts';
import { UsageError } from './cli-errors.ts';
import { type CommandContext, globalOptions, withTransport } from './command-context.ts';
import { table } from './table.ts';
import type { Transport } from './transport.ts';

interface Embeddings {
  readonly model: string;
  readonly dimensions: number;
  readonly pinned: boolean;
  readonly configured: string;
  readonly repeat_similarity: number;
  readonly calibrated_at: string | null;
  readonly switch: {
    readonly model: string;
    readonly working: boolean;
    readonly problem: string | null;
    readonly texts: number;
    readonly done: number;
    readonly tokens: number;
    readonly cost_usd: number;
  } | null;
}

interface Estimate {
  readonly from: string | null;
  readonly to: string;
  readonly texts: number;
  readonly tokens: number;
  readonly cost_usd: number | null;
  readonly seconds: number;
}

export function addEmbeddings(program: Command, context: CommandContext): void {
  const embeddings = program
    .command('embeddings')
    .summary('show or change the embedding model')
    .description('The model behind the vectors. A database keeps to one; changing it embeds everything again.');
  addStatus(embeddings, context);
  addSwitch(embeddings, context);
}

function addStatus(embeddings: Command, context: CommandContext): void {
  embeddings
    .command('status')
    .description('Shows the model, its calibration, and how far a switch has come.')
    .addHelpText('after', '\nExample:\n  $ engramd embeddings status --json | jq .switch')
    .action(async (_options: unknown, command: Command) => {
      const globals = globalOptions(command);
      const found = await withTransport(context, globals, (transport) =>
        call<Embeddings>(transport, { method: 'GET', path: '/v1/embeddings' }),
      );
      if (globals.json) context.terminal.json(found);
      else for (const line of table(describe(context, found))) context.terminal.out(line);
    });
}

function describe({ terminal }: CommandContext, found: Embeddings): string[][] {
  const dimensions = found.dimensions === 0 ? '' : `, ${found.dimensions} dimensions`;
  const rows = [
    [
      terminal.dim('model'),
      `${terminal.bold(found.model)}${dimensions}${found.pinned ? '' : ' (nothing embedded yet)'}`,
    ],
    [
      terminal.dim('near from'),
      `${found.repeat_similarity.toFixed(2)}${found.calibrated_at === null ? ', not calibrated' : `, calibrated ${found.calibrated_at.slice(0, 10)}`}`,
    ],
  ];
  if (found.configured !== found.model) {
    rows.push([terminal.dim('configured'), `${found.configured}: engramd embeddings switch changes to it`]);
  }
  if (found.switch) {
    const { model, texts, done, working, problem, tokens } = found.switch;
    const cost = tokens === 0 ? '' : `, ${tokens.toLocaleString('en-US')} tokens, $${found.switch.cost_usd.toFixed(4)}`;
    const state = problem === null ? (working ? '' : ', waits for a daemon') : `, cannot go on: ${problem}`;
    rows.push([terminal.dim('switch to'), `${terminal.bold(model)}: ${done} of ${texts} texts${cost}${state}`]);
  }
  return rows;
}

function addSwitch(embeddings: Command, context: CommandContext): void {
  embeddings
    .command('switch')
    .description(
      'Embeds everything again with another model, in the background and within the budget, and changes over when all is there. The old model serves meanwhile. Says first what it costs.',
    )
    .option('--model <name>', 'a model of the configured endpoint (default: what the settings ask for)')
    .option('--local', 'the model that runs in the daemon and costs nothing')
    .option('-y, --yes', 'do not ask')
    .option('--cancel', 'end a switch that is under way and forget what was made')
    .addHelpText(
      'after',
      `
Examples:
  $ engramd embeddings switch --model text-embedding-3-large
  $ engramd embeddings switch --local --yes
  $ engramd embeddings switch --cancel`,
    )
    .action(async (options: { model?: string; local?: true; yes?: true; cancel?: true }, command: Command) => {
      const globals = globalOptions(command);
      const { model, local } = options;
      if ([model, local, options.cancel].filter((value) => value !== undefined).length > 1) {
        throw new UsageError('--model, --local and --cancel exclude each other');
      }
      const wanted = { ...(model !== undefined && { model }), ...(local && { local }) };
      await withTransport(context, globals, async (transport, signal) => {
        if (options.cancel) return cancel(context, transport, globals.json === true);
        const estimate = await ask(transport, { ...wanted, dry_run: true });
        if (!globals.json) tell(context, estimate);
        if (!options.yes && !(await isConfirmed(context, globals.json === true, signal))) return;
        const started = await ask(transport, wanted);
        if (globals.json) return context.terminal.json(started);
        context.terminal.out(
          transport.kind === 'daemon'
            ? 'started; engramd embeddings status shows how far it is'
            : 'noted; it goes on as soon as a daemon runs',
        );
      });
    });
}

const ask = (transport: Transport, body: object) =>
  call<Estimate>(transport, { method: 'POST', path: '/v1/embeddings/switch', body });

async function cancel({ terminal }: CommandContext, transport: Transport, asJson: boolean): Promise<void> {
  const answer = await call<{ cancelled: string | null }>(transport, {
    method: 'DELETE',
    path: '/v1/embeddings/switch',
  });
  if (asJson) terminal.json(answer);
  else
    terminal.out(answer.cancelled === null ? 'no switch was under way' : `cancelled the switch to ${answer.cancelled}`);
}

function tell({ terminal }: CommandContext, { from, to, texts, tokens, cost_usd, seconds }: Estimate): void {
  const about = tokens.toLocaleString('en-US');
  const cost =
    cost_usd === null
      ? `the price of ${to} is not known`
      : cost_usd === 0
        ? 'no cost'
        : `about $${cost_usd.toFixed(4)}`;
  const minutes = seconds < 90 ? `${seconds} s` : `${Math.ceil(seconds / 60)} min`;
  terminal.note(`${from ?? 'nothing'} → ${to}: ${texts} texts, about ${about} tokens, ${cost}, about ${minutes}`);
}

async function isConfirmed(context: CommandContext, asJson: boolean, signal: AbortSignal): Promise<boolean> {
  const isAnswerable = context.terminal.isInteractive && process.stdin.isTTY === true && !asJson;
  if (!isAnswerable) throw new UsageError('nobody can be asked here: --yes starts the switch');
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return /^y(?:es)?$/i.test((await lines.question('Switch? [y/N] ', { signal })).trim());
  } finally {
    lines.close();
  }
}
