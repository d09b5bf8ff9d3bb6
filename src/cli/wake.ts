import { existsSync } from 'node:fs';
import type { Command } from 'commander';
import type { LoadedConfig } from '../config/load-config.ts';
import type { Config } from '../config/schema.ts';
import { ControlRefusedError, ControlSilentError } from '../daemon/control/control-client.ts';
import { writeWakeSignal } from '../daemon/life/wake-signal.ts';
import type { Clock } from '../telemetry/clock.ts';
import { sendControl } from './ask-daemon.ts';
import { DaemonUnreachableError } from './cli-errors.ts';
import { type CommandContext, globalOptions, loadSettings, noteWarnings } from './command-context.ts';
import { reasonOption } from './reason-option.ts';
import { startThroughSupervisor } from './service/supervisor.ts';
import { stateWords } from './status-view/life-words.ts';

/** A cold start of the embedded database takes most of it. */
const startMs = 15_000;
const pollMs = 200;

export function addWake(program: Command, context: CommandContext): void {
  program
    .command('wake')
    .summary('wake the daemon')
    .description(
      'Wakes the daemon from whatever sleep. Where none runs, has the service start it that engramd service install has made. Exit 3 where there is none.',
    )
    .addOption(reasonOption())
    .addHelpText('after', '\nExample:\n  $ engramd wake')
    .action(async (options: { reason?: string }, command: Command) => {
      const { terminal, clock } = context;
      const globals = globalOptions(command);
      const loaded = loadSettings(context, globals);
      noteWarnings(context, loaded);
      await context.interruptible(async (signal) => {
        const reason = options.reason ?? 'engramd wake';
        const reply = await sendControl(loaded, { type: 'wake', reason }, signal);
        if (reply) return globals.json ? terminal.json(reply) : terminal.out(reply.note);
        await startAwake(loaded.config, reason, clock);
        const { state } = await wakeStarted(loaded, reason, clock, signal);
        if (globals.json) terminal.json({ ok: true, type: 'wake', state, started: true });
        else terminal.out(`the service has started the daemon; it is ${stateWords[state]}`);
      });
    });
}

/**
 * The signal before the supervisor is called: a daemon that starts and finds nothing to do would hibernate again before it
 * serves. Without a supervisor the signal stays; it is harmless, and whoever starts the daemon wanted it awake.
 *
 * @throws DaemonUnreachableError where no service is installed
 */
async function startAwake(config: Config, by: string, clock: Clock): Promise<void> {
  const isThere = existsSync(config.dataDir);
  if (isThere) writeWakeSignal(config.dataDir, { by, now: clock.now() });
  if (isThere && (await startThroughSupervisor(config.dataDir))) return;
  throw new DaemonUnreachableError(
    `no daemon answers for ${config.dataDir}, and no service is installed that could start one; engramd run starts one`,
  );
}

/** One that was starting already may have looked for the signal before it was there: it is told again. */
async function wakeStarted(loaded: LoadedConfig, reason: string, clock: Clock, signal: AbortSignal) {
  const untilMs = clock.monotonicMs() + startMs;
  for (;;) {
    signal.throwIfAborted();
    const reply = await sendControl(loaded, { type: 'wake', reason }, signal).catch((thrown: unknown) => {
      // It listens before it is ready for everything.
      if (thrown instanceof ControlSilentError || thrown instanceof ControlRefusedError) return undefined;
      throw thrown;
    });
    if (reply) return reply;
    if (clock.monotonicMs() >= untilMs) {
      throw new DaemonUnreachableError(
        `the service was told to start, and no daemon answers after ${startMs / 1000} s; engramd service status and its log say more`,
      );
    }
    await clock.sleep(pollMs, signal);
  }
}
