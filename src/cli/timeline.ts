import { type Command, Option } from 'commander';
import { eventFilters } from '../store/event-kinds.ts';
import { call } from './api-client.ts';
import type { EventPage } from './api-types.ts';
import { noDaemon } from './ask-daemon.ts';
import { UsageError } from './cli-errors.ts';
import { type CommandContext, globalOptions, loadSettings, noteWarnings, withTransport } from './command-context.ts';
import { findDaemon } from './http-transport.ts';
import { bankOption, bankPath, query, wholeNumber } from './options.ts';
import { followTimeline } from './timeline-follow.ts';
import { eventLine } from './timeline-words.ts';
import { watchReader } from './watch-reader.ts';

interface TimelineOptions {
  readonly bank: string;
  readonly limit?: number;
  readonly kind?: string;
  readonly before?: string;
  readonly follow?: true;
}

export function addTimeline(program: Command, context: CommandContext): void {
  program
    .command('timeline')
    .summary('what happened in a bank, and what happens')
    .description(
      'Lists what happened in a bank, newest first. --follow prints the last of it, oldest first, and then each event as it comes, until Ctrl-C; it needs a daemon (exit 3 where none answers) and waits for one that restarts. What comes is told once nothing older is under way on the server: during a long transaction, as when a backup is verified there, nothing is printed, and all of it after. With --json it prints a document a line.',
    )
    .addOption(bankOption())
    .option('--limit <n>', 'most events (default 50; with --follow 10)', wholeNumber(1, 500))
    .addOption(new Option('--kind <kind>', 'one kind of event, or all of a family: memory, observation, changes, …'))
    .option('--before <cursor>', 'older than this, as a list told it')
    .option('--follow', 'go on with what comes')
    .addHelpText(
      'after',
      `
Examples:
  $ engramd timeline --bank studio --kind observation
  $ engramd timeline --follow
  $ engramd timeline --follow --json | jq -r '[.at, .kind, .text] | @tsv'`,
    )
    .action(async (options: TimelineOptions, command: Command) => {
      if (options.kind !== undefined && !eventFilters.some((kind) => kind === options.kind))
        throw new UsageError(`there is no kind "${options.kind}"; one of ${eventFilters.join(', ')}`);
      if (options.follow && options.before !== undefined)
        throw new UsageError('--follow goes on and --before goes back: give one of them');
      if (options.follow) await follow(context, options, command);
      else await list(context, options, command);
    });
}

async function list(context: CommandContext, { bank, kind, before, limit = 50 }: TimelineOptions, command: Command) {
  const globals = globalOptions(command);
  const { terminal } = context;
  const path = bankPath(bank, `/events${query({ kind, before, limit })}`);
  const page = await withTransport(context, globals, (transport) =>
    call<EventPage>(transport, { method: 'GET', path }),
  );
  if (globals.json) return terminal.json(page);
  for (const event of page.events) terminal.out(eventLine(terminal, event));
  if (page.events.length === 0) terminal.note('nothing has happened');
  if (page.next_cursor !== null) terminal.note(terminal.dim(`older: --before ${page.next_cursor}`));
}

async function follow(context: CommandContext, { bank, kind, limit = 10 }: TimelineOptions, command: Command) {
  const globals = globalOptions(command);
  const loaded = loadSettings(context, globals);
  noteWarnings(context, loaded);
  const { terminal, clock } = context;
  await context.interruptible(async (interrupted) => {
    const { signal, close } = watchReader({ stdout: process.stdout, clock, signal: interrupted });
    try {
      const find = () => findDaemon({ config: loaded.config, signal });
      const daemon = await find();
      if (!daemon) throw noDaemon(loaded);
      await followTimeline(daemon, {
        bank,
        kind,
        limit,
        find,
        onEvent: (event) => terminal.out(globals.json ? JSON.stringify(event) : eventLine(terminal, event)),
        onNote: (note) => terminal.note(`engramd: ${note}`),
        clock,
        signal,
      });
    } finally {
      await close();
    }
  });
}
