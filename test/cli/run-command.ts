import { PassThrough } from 'node:stream';
import { Command } from 'commander';
import type { CommandContext } from '../../src/cli/command-context.ts';
import { createTerminal } from '../../src/cli/terminal.ts';
import { type Clock, systemClock } from '../../src/telemetry/clock.ts';

export interface CommandRun {
  readonly stdout: string;
  readonly stderr: string;
  readonly exitCode: number;
  /** What the command threw. */
  readonly error: unknown;
}

/** A clock on which nobody waits longer than a turn of the event loop. */
export function hastyClock(onSleep: () => void = () => undefined): Clock {
  let elapsedMs = 0;
  return {
    now: systemClock.now,
    monotonicMs: () => elapsedMs,
    sleep: (ms) => {
      elapsedMs += ms;
      onSleep();
      return new Promise(setImmediate);
    },
  };
}

/** Runs one command in this process, as the binary would but for the exit. */
export async function runCommand(
  add: (program: Command, context: CommandContext) => void,
  args: readonly string[],
  options: { readonly clock?: Clock; readonly signal?: AbortSignal; readonly env?: Record<string, string> } = {},
): Promise<CommandRun> {
  const written = { stdout: '', stderr: '' };
  const stream = (name: 'stdout' | 'stderr') => {
    const through = new PassThrough();
    through.on('data', (chunk) => {
      written[name] += chunk;
    });
    return through;
  };
  let exitCode = 0;
  const context: CommandContext = {
    terminal: createTerminal(stream('stdout'), stream('stderr'), {}),
    env: { HOME: '/nowhere', ...options.env },
    stdin: new PassThrough(),
    clock: options.clock ?? hastyClock(),
    interruptible: (work) => work(options.signal ?? new AbortController().signal),
    exitWith(code) {
      exitCode = code;
    },
  };
  const program = new Command('engramd').option('--json').option('--data-dir <dir>').exitOverride();
  add(program, context);
  for (const command of program.commands) {
    command.exitOverride().configureOutput({
      writeErr(text) {
        written.stderr += text;
      },
    });
  }
  let error: unknown;
  try {
    await program.parseAsync(['node', 'engramd', ...args]);
  } catch (thrown) {
    error = thrown;
  }
  await new Promise(setImmediate);
  return { ...written, exitCode, error };
}
