import { type Command, InvalidArgumentError } from 'commander';
import { call } from './api-client.ts';
import { UsageError } from './cli-errors.ts';
import { type CommandContext, globalOptions, withTransport } from './command-context.ts';
import { table } from './table.ts';

interface Calibration {
  readonly model: string;
  readonly pairs: number;
  readonly scores: readonly { readonly threshold: number; readonly recall: number; readonly precision: number }[];
  readonly proposed: number;
  readonly before: number;
  readonly set: number | null;
}

export function addCalibrate(program: Command, context: CommandContext): void {
  program
    .command('calibrate')
    .summary('find out from where on two texts are near, for your embedding model')
    .description(
      'Embeds pairs of texts whose relation is known and shows, by cosine, how many of those that must be compared would be (recall) and how many of the comparisons would be needed (precision). Sets the highest cosine that misses next to nothing. Some 10,000 tokens.',
    )
    .option('--set <cosine>', 'set this one instead', cosine)
    .option('--dry-run', 'change nothing')
    .addHelpText(
      'after',
      `
Examples:
  $ engramd calibrate --dry-run
  $ engramd calibrate --set 0.55`,
    )
    .action(async (options: { set?: number; dryRun?: true }, command: Command) => {
      const globals = globalOptions(command);
      if (options.set !== undefined && options.dryRun) throw new UsageError('--set and --dry-run exclude each other');
      const body = {
        ...(options.set !== undefined && { threshold: options.set }),
        ...(options.dryRun && { dry_run: true }),
      };
      const found = await withTransport(context, globals, (transport) =>
        call<Calibration>(transport, { method: 'POST', path: '/v1/embeddings/calibrate', body }),
      );
      if (globals.json) context.terminal.json(found);
      else print(context, found);
    });
}

function cosine(text: string): number {
  const value = /^(?:0?\.\d{1,6}|[01])$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isNaN(value)) throw new InvalidArgumentError('expected a cosine from 0 to 1, e.g. 0.55');
  return value;
}

function print({ terminal }: CommandContext, found: Calibration): void {
  terminal.out(`${terminal.bold(found.model)} on ${found.pairs} pairs`);
  const marks = new Map([
    [found.before, 'until now'],
    [found.proposed, 'proposed'],
    ...(found.set === null ? [] : [[found.set, 'set'] as const]),
  ]);
  const percent = (share: number) => `${(100 * share).toFixed(1)} %`.padStart(7);
  // Every fifth, and whatever somebody has to see.
  const shown = found.scores.filter(
    ({ threshold }) => Math.round(threshold * 100) % 5 === 0 || marks.has(threshold) || threshold === 0.99,
  );
  const rows = shown.map(({ threshold, recall, precision }) => [
    threshold.toFixed(2),
    percent(recall),
    percent(precision),
    marks.get(threshold) ?? '',
  ]);
  for (const line of table([['cosine', 'recall', 'precision', ''].map(terminal.dim), ...rows])) terminal.out(line);
  terminal.out(
    found.set === null
      ? `proposed: ${found.proposed.toFixed(2)}; nothing was changed`
      : `texts are near from ${found.set.toFixed(2)} on`,
  );
}
