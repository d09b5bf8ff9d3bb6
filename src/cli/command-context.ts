import type { Readable } from 'node:stream';
import type { Command } from 'commander';
import { type LoadedConfig, loadConfig } from '../config/load-config.ts';
import type { SettingKey } from '../config/schema.ts';
import type { Clock } from '../telemetry/clock.ts';
import { createLog, type Log } from '../telemetry/log.ts';
import type { Terminal } from './terminal.ts';
import { openTransport, type Transport } from './transport.ts';

/** What every command is given. */
export interface CommandContext {
  readonly terminal: Terminal;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly stdin: Readable;
  readonly clock: Clock;
  /**
   * Runs work that the first SIGINT or SIGTERM aborts, so that it can clean up; a second one ends the process. Commands
   * that hold nothing do without.
   */
  interruptible<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T>;
  /** The exit code of a command that ends without an error; 0 unless set. */
  exitWith(code: number): void;
}

/** Options that stand on every command. */
export interface GlobalOptions {
  readonly json?: true;
  readonly dataDir?: string;
  readonly config?: string;
  readonly logLevel?: string;
}

export function globalOptions(command: Command): GlobalOptions {
  return command.optsWithGlobals<GlobalOptions>();
}

/** The settings of this call. Whoever loads them passes the warnings on, once. */
export function loadSettings(
  context: CommandContext,
  globals: GlobalOptions,
  flags: Partial<Record<SettingKey, string | undefined>> = {},
): LoadedConfig {
  return loadConfig({
    env: context.env,
    configFile: globals.config,
    flags: { dataDir: globals.dataDir, logLevel: globals.logLevel, ...flags },
  });
}

export function noteWarnings(context: CommandContext, loaded: LoadedConfig): void {
  for (const warning of loaded.warnings) context.terminal.note(`engramd: ${warning}`);
}

/** A command's own work is told by its answer: unless somebody asked for more, only what went wrong is logged. */
export function commandLog(loaded: LoadedConfig): Log {
  const level = loaded.sources.logLevel === 'default' ? 'warn' : loaded.config.logLevel;
  return createLog({ level, pretty: process.stderr.isTTY === true });
}

/** Opens the way to the routes, runs `work`, and closes it whatever happens. */
export async function withTransport<T>(
  context: CommandContext,
  globals: GlobalOptions,
  work: (transport: Transport, signal: AbortSignal) => Promise<T>,
  options: { readonly hasWorkers?: boolean } = {},
): Promise<T> {
  const loaded = loadSettings(context, globals);
  noteWarnings(context, loaded);
  return context.interruptible(async (signal) => {
    const transport = await openTransport({
      config: loaded.config,
      hasWorkers: options.hasWorkers === true,
      log: commandLog(loaded),
      clock: context.clock,
      signal,
    });
    try {
      return await work(transport, signal);
    } finally {
      await transport.close();
    }
  });
}
