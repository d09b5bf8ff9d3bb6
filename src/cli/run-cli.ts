import { setMaxListeners } from 'node:events';
import { Command, CommanderError } from 'commander';
import { version } from '../daemon/version.ts';
import { systemClock } from '../telemetry/clock.ts';
import { EngramdError, errorMessage } from '../telemetry/engramd-error.ts';
import { AnswerError, watchAnswer } from './answer-stream.ts';
import { ApiError } from './cli-errors.ts';
import type { CommandContext } from './command-context.ts';
import { addCommands } from './commands.ts';
import { createTerminal } from './terminal.ts';

/** The first Ctrl-C: what was begun is cleaned up, then the process ends as if the signal had killed it. */
class InterruptedError extends Error {
  override readonly name = 'InterruptedError';
  readonly exitCode: number;

  constructor(signal: string, exitCode: number) {
    super(`interrupted by ${signal}`);
    this.exitCode = exitCode;
  }
}

/** Runs one command line and returns the exit code: 0 done, 1 failed, 2 usage or configuration, 3 no daemon, 4 refused. */
export async function runCli(argv: readonly string[]): Promise<number> {
  const terminal = createTerminal(process.stdout, process.stderr, process.env);
  const answer = watchAnswer(process.stdout);
  // Nobody is left to be told; the command is not about what it says there.
  process.stderr.on('error', () => undefined);
  let exitCode = 0;
  const context: CommandContext = {
    terminal,
    env: process.env,
    stdin: process.stdin,
    clock: systemClock,
    interruptible: (work) => interruptible(work, answer.failed),
    exitWith(code) {
      exitCode = code;
    },
  };
  const program = createProgram(context);
  try {
    await program.parseAsync([...argv]);
  } catch (thrown) {
    exitCode = report(thrown, program.opts<{ json?: true }>().json === true);
  }
  terminal.endProgress();
  await answer.flush();
  const unwritable: unknown = answer.failed.reason;
  if (!(unwritable instanceof AnswerError) || unwritable.isReaderGone) return exitCode;
  terminal.note(`engramd: ${errorMessage(unwritable)}`);
  return exitCode || unwritable.exitCode;

  function report(thrown: unknown, isJson: boolean): number {
    // commander has said it on stderr; showing help or the version is no error.
    if (thrown instanceof CommanderError) return thrown.exitCode === 0 ? 0 : 2;
    if (thrown instanceof InterruptedError) return thrown.exitCode;
    // Told at the end, where it is for every command.
    if (thrown instanceof AnswerError) return exitCode;
    const code = thrown instanceof EngramdError ? thrown.code : 'UNEXPECTED';
    terminal.note(`engramd: ${errorMessage(thrown)}`);
    const details = thrown instanceof ApiError ? thrown.details : [];
    if (code === 'LATER_CHANGES') for (const { path, message } of details) terminal.note(`  ${message}  ${path}`);
    const level = process.env.LOG_LEVEL ?? program.opts<{ logLevel?: string }>().logLevel;
    // A bug is reported with its stack by whoever asks for it; an expected error explains itself.
    if ((level === 'debug' || level === 'trace') && thrown instanceof Error) terminal.note(thrown.stack ?? '');
    if (isJson) {
      terminal.json({ error: { code, message: errorMessage(thrown), ...(details.length > 0 ? { details } : {}) } });
    }
    return thrown instanceof EngramdError ? thrown.exitCode : 1;
  }
}

function createProgram(context: CommandContext): Command {
  const program = new Command('engramd')
    .description('Consolidates the memories of AI agents in the background: nothing lost, nothing done twice.')
    .version(version, '-V, --version', 'print the version')
    .option('--json', 'answer with JSON on stdout')
    .option('--data-dir <dir>', 'data directory (ENGRAMD_DATA_DIR)')
    .option('--config <file>', 'JSON file of settings (ENGRAMD_CONFIG)')
    .option('--log-level <level>', 'trace, debug, info, warn, error, fatal or silent (LOG_LEVEL)')
    .helpOption('-h, --help', 'show help')
    .helpCommand('help [command]', 'show help for a command')
    .showHelpAfterError('(engramd help shows what there is)')
    .exitOverride();
  program.addHelpText(
    'after',
    `
Exit codes: 0 done, 1 failed, 2 usage or configuration, 3 daemon not reachable, 4 refused.`,
  );
  addCommands(program, context);
  for (const command of allCommands(program)) {
    command.exitOverride().configureHelp({ showGlobalOptions: true });
  }
  return program;
}

function allCommands(parent: Command): Command[] {
  return parent.commands.flatMap((command) => [command, ...allCommands(command)]);
}

const signalNumbers = { SIGINT: 2, SIGTERM: 15, SIGHUP: 1 } as const;

async function interruptible<T>(work: (signal: AbortSignal) => Promise<T>, failed: AbortSignal): Promise<T> {
  const interrupted = new AbortController();
  const over = AbortSignal.any([interrupted.signal, failed]);
  // Every request of a command listens; ten is not a leak here.
  setMaxListeners(0, over);
  const handlers = Object.entries(signalNumbers).map(([signal, number]) => {
    const handler = () => {
      if (interrupted.signal.aborted) process.exit(128 + number);
      interrupted.abort(new InterruptedError(signal, 128 + number));
    };
    process.on(signal, handler);
    return { signal, handler };
  });
  try {
    const result = await work(over);
    over.throwIfAborted();
    return result;
  } catch (thrown) {
    // Whatever the work threw on its way out, it was the signal that ended it.
    over.throwIfAborted();
    throw thrown;
  } finally {
    for (const { signal, handler } of handlers) process.off(signal, handler);
  }
}
