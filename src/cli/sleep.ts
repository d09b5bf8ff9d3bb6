import type { Command } from 'commander';
import { EngramdError } from '../telemetry/engramd-error.ts';
import { askStatus, noDaemon, sendControl, tellDaemon } from './ask-daemon.ts';
import { DaemonUnreachableError } from './cli-errors.ts';
import { type CommandContext, globalOptions, loadSettings, noteWarnings } from './command-context.ts';
import { secondsBetween } from './duration.ts';
import { reasonOption } from './reason-option.ts';
import { type Cycle, type Life, showTook } from './status-view/life-words.ts';
import { createNightWatch, type NightEnd } from './status-view/night-watch.ts';

/** A sleep that was asked for did not come to the end of its cycle. */
class NoNightError extends EngramdError {
  readonly code = 'NO_NIGHT';
}

interface SleepOptions {
  readonly wait?: true;
  readonly reason?: string;
}

/** What `sleep --wait --json` answers with, whatever it came to; but for an error. */
interface WaitEnd {
  /** Null: no cycle was begun, since it hibernates already. */
  readonly outcome: Cycle['outcome'];
  readonly cycle: Cycle | null;
  readonly state: Life['state'];
  readonly note: string;
}

const noEnd = () =>
  new DaemonUnreachableError('the daemon ended before it told how its cycle did; engramd wake and engramd status tell');

/** A daemon that hibernates by ending tells of the end of its cycle for a moment only. */
const pollMs = 200;

export function addSleep(program: Command, context: CommandContext): void {
  program
    .command('sleep')
    .summary('send the daemon to sleep now')
    .description(
      'Has the daemon sleep and run its sleep cycle, idle or not: no work is handed out, and what is under way gets 30 s. A request wakes it again. --wait shows the steps and ends with the cycle: exit 1 where it failed or somebody woke the daemon.',
    )
    .option('--wait', 'show the steps until the cycle is over')
    .addOption(reasonOption())
    .addHelpText('after', '\nExamples:\n  $ engramd sleep\n  $ engramd sleep --wait')
    .action((options: SleepOptions, command: Command) => {
      const reason = options.reason ?? 'engramd sleep';
      const request = { type: 'force_sleep', reason } as const;
      return options.wait ? sleepAndWait(context, command, request) : tellDaemon(context, command, request);
    });
}

async function sleepAndWait(
  context: CommandContext,
  command: Command,
  request: { readonly type: 'force_sleep'; readonly reason: string },
): Promise<void> {
  const { terminal, clock } = context;
  const globals = globalOptions(command);
  const loaded = loadSettings(context, globals);
  noteWarnings(context, loaded);
  const asJson = globals.json === true;
  await context.interruptible(async (signal) => {
    const readLife = async (otherwise: () => Error): Promise<Life> => {
      const status = await askStatus(loaded, signal);
      if (!status) throw otherwise();
      if (!status.life) throw new NoNightError('this daemon does not tell of its life');
      return status.life;
    };
    const night = createNightWatch(await readLife(() => noDaemon(loaded)));
    const reply = await sendControl(loaded, request, signal);
    if (!reply) throw noDaemon(loaded);
    if (!asJson) terminal.out(reply.note);
    // Deeper it does not get: nothing was begun, and nothing will end.
    if (reply.state === 'hibernation') {
      if (asJson) terminal.json({ outcome: null, cycle: null, state: reply.state, note: reply.note } satisfies WaitEnd);
      return;
    }
    for (;;) {
      const life = await readLife(noEnd);
      const { lines, progress, end } = night.look(life);
      if (!asJson) for (const line of lines) terminal.out(line);
      if (end) return tell(context, life, end, asJson);
      if (!asJson) terminal.progress(progress);
      await clock.sleep(pollMs, signal);
      signal.throwIfAborted();
    }
  });
}

function tell({ terminal, exitWith }: CommandContext, { state }: Life, end: NightEnd, asJson: boolean): void {
  switch (end.kind) {
    case 'finished': {
      const { cycle } = end;
      if (cycle.outcome === 'failed') exitWith(1);
      const took = showTook(secondsBetween(cycle.started_at, cycle.finished_at ?? cycle.started_at));
      const note = (outcome: string) => `the sleep cycle is ${outcome} after ${took}`;
      const outcome = cycle.outcome ?? 'over';
      if (asJson) {
        terminal.json({ outcome: cycle.outcome, cycle, state, note: note(outcome) } satisfies WaitEnd);
        return;
      }
      const paint = outcome === 'failed' ? terminal.red : outcome === 'clean' ? terminal.green : terminal.yellow;
      terminal.out(note(paint(outcome)));
      return;
    }
    case 'woken':
      throw new NoNightError(
        `the daemon was woken before its cycle was over (${end.why}); the next sleep goes on with it`,
      );
    case 'no_cycle':
      throw new NoNightError(`no sleep cycle: ${end.why}`);
  }
}
