import type { Command } from 'commander';
import { call } from './api-client.ts';
import type { Snapshot, SnapshotDiff, SnapshotList, TakenSnapshot } from './api-types.ts';
import { UsageError } from './cli-errors.ts';
import { type CommandContext, globalOptions, withTransport } from './command-context.ts';
import { markDiff, showCounts } from './op-texts.ts';
import { bankOption, bankPath, query, wholeNumber } from './options.ts';
import { table } from './table.ts';
import type { Terminal } from './terminal.ts';

export function addSnapshot(program: Command, context: CommandContext): void {
  const snapshot = program
    .command('snapshot')
    .summary('what a bank was, and what became of it')
    .description(
      'Snapshots of a bank: ids, versions and states at a change, taken every 500 changes or six hours in which there was one. The words are in the history.',
    );
  addNow(snapshot, context);
  addList(snapshot, context);
  addDiff(snapshot, context);
}

function addNow(snapshot: Command, context: CommandContext): void {
  snapshot
    .command('now')
    .summary('take a snapshot of a bank')
    .description('Takes a snapshot of a bank now. The oldest ones make room (ENGRAMD_SNAPSHOT_KEEP).')
    .addOption(bankOption())
    .addHelpText('after', '\nExamples:\n  $ engramd snapshot now\n  $ engramd snapshot now --bank studio --json')
    .action(async ({ bank }: { bank: string }, command: Command) => {
      const globals = globalOptions(command);
      const path = bankPath(bank, '/snapshots');
      const taken = await withTransport(context, globals, (transport) =>
        call<TakenSnapshot>(transport, { method: 'POST', path, body: {} }),
      );
      const { terminal } = context;
      if (globals.json) return terminal.json(taken);
      terminal.out(`${taken.snapshot.id}  ${contents(taken.snapshot)}`);
      if (taken.pruned.length > 0) terminal.out(terminal.dim(`made room: ${taken.pruned.join(', ')}`));
    });
}

function addList(snapshot: Command, context: CommandContext): void {
  snapshot
    .command('list')
    .summary('list the snapshots of a bank, newest first')
    .description('Lists the snapshots of a bank, newest first.')
    .addOption(bankOption())
    .addHelpText('after', '\nExample:\n  $ engramd snapshot list --bank studio')
    .action(async ({ bank }: { bank: string }, command: Command) => {
      const globals = globalOptions(command);
      const path = bankPath(bank, '/snapshots');
      const list = await withTransport(context, globals, (transport) =>
        call<SnapshotList>(transport, { method: 'GET', path }),
      );
      const { terminal } = context;
      if (globals.json) return terminal.json(list);
      if (list.snapshots.length === 0) return terminal.out('no snapshots');
      const rows = list.snapshots.map((one) => [
        one.id,
        terminal.dim(one.made_at.slice(0, 19).replace('T', ' ')),
        terminal.dim(one.trigger),
        contents(one),
      ]);
      for (const line of table(rows)) terminal.out(line);
    });
}

interface DiffOptions {
  readonly bank: string;
  readonly limit: number;
}

function addDiff(snapshot: Command, context: CommandContext): void {
  snapshot
    .command('diff <a> [b]')
    .summary('show what differs between two snapshots, or one and now')
    .description(
      'Shows what differs between two snapshots, word by word: [-gone-] {+new+}. A snapshot is named by its id, by the first 8 letters of it or more, or as latest, latest~1 and so on; now is the bank as it stands.',
    )
    .addOption(bankOption())
    .option('--limit <n>', 'most rows; the sums are over all', wholeNumber(1, 10_000), 100)
    .addHelpText('after', '\nExamples:\n  $ engramd snapshot diff latest\n  $ engramd snapshot diff latest~1 latest')
    .action(async (a: string, b: string | undefined, { bank, limit }: DiffOptions, command: Command) => {
      if (a === 'now') throw new UsageError('the first of the two has to be a snapshot; only the second may be "now"');
      const globals = globalOptions(command);
      const diff = await withTransport(context, globals, async (transport) => {
        let page: SnapshotDiff | undefined;
        do {
          const filter = {
            before: page?.before.id ?? a,
            after: page?.after?.id ?? b ?? 'now',
            limit: Math.min(limit - (page?.differences.length ?? 0), mostAPage),
            cursor: page?.next_cursor ?? undefined,
          };
          const path = bankPath(bank, `/snapshots/diff${query(filter)}`);
          const next: SnapshotDiff = await call<SnapshotDiff>(transport, { method: 'GET', path });
          page = page ? { ...next, differences: [...page.differences, ...next.differences] } : next;
        } while (page.next_cursor !== null && page.differences.length < limit);
        return page;
      });
      if (globals.json) context.terminal.json(diff);
      else printDiff(context.terminal, diff);
    });
}

/** Rows that one request brings. */
const mostAPage = 500;

function contents({ memories, observations, pinned }: Snapshot): string {
  const sum = (counts: Readonly<Record<string, number>>) => Object.values(counts).reduce((all, one) => all + one, 0);
  const pins = pinned > 0 ? `, ${pinned} pinned` : '';
  return `${sum(memories)} memories${pins}, ${sum(observations)} observations (${observations.live ?? 0} live)`;
}

export function printDiff(terminal: Terminal, diff: SnapshotDiff): void {
  const name = (one: Snapshot | null) => (one === null ? 'now' : `${one.id} (${one.made_at.slice(0, 19)}Z)`);
  terminal.out(terminal.dim(`${name(diff.before)} → ${name(diff.after)}`));
  terminal.out(`memories: ${showCounts(diff.memories)}`);
  terminal.out(`observations: ${showCounts(diff.observations)}`);
  for (const row of diff.differences) {
    const mark = row.type === 'observation' ? terminal.green('●') : terminal.cyan('○');
    terminal.out(`${mark} ${terminal.yellow(row.kinds.join(', '))} ${words(terminal, row)}`);
    terminal.out(terminal.dim(`  ${row.id}  ${states(row)}`));
  }
  if (diff.next_cursor !== null) terminal.note('there is more: --limit shows it');
}

type Row = SnapshotDiff['differences'][number];

function words(terminal: Terminal, { before, after }: Row): string {
  if (before === null || after === null) return (before ?? after)?.text ?? terminal.dim('(what it said was not kept)');
  if (before.text !== null && after.text !== null) return markDiff(terminal, before.text, after.text);
  return `${after.text ?? before.text ?? ''} ${terminal.dim('(what it said on the other side was not kept)')}`.trim();
}

function states({ before, after }: Row): string {
  const one = (side: NonNullable<Row['before']>) =>
    `${side.state}${side.pin === null ? '' : `, pinned (${side.pin})`} v${side.version}`;
  return [before, after].flatMap((side) => (side === null ? [] : [one(side)])).join(' → ');
}
