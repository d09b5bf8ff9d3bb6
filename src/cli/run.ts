import type { Command } from 'commander';
import { createLog } from '../telemetry/log.ts';
import { type CommandContext, globalOptions, loadSettings } from './command-context.ts';

interface RunOptions {
  readonly httpHost?: string;
  readonly httpPort?: string;
  readonly backupDir?: string;
}

export function addRun(program: Command, context: CommandContext): void {
  program
    .command('run')
    .summary('run the daemon in the foreground')
    .description(
      'Runs the daemon in the foreground: database, queue, workers, HTTP. SIGTERM and SIGINT stop it in order, a second signal at once.',
    )
    .option('--http-host <host>', 'address to listen on (default 127.0.0.1)')
    .option('--http-port <port>', 'port to listen on, 0 for any free one (default 7766)')
    .option('--backup-dir <dir>', 'where backups live (default: backups in the data directory)')
    .addHelpText(
      'after',
      `
Examples:
  $ engramd run                                  embedded database under the data directory
  $ DATABASE_URL=postgres://… engramd run        a server of your own
  $ engramd run --http-port 0 --data-dir ./state any free port; see ./state/daemon.json`,
    )
    .action(async (options: RunOptions, command: Command) => {
      const globals = globalOptions(command);
      const flags = { httpHost: options.httpHost, httpPort: options.httpPort, backupDir: options.backupDir };
      const { config, warnings } = loadSettings(context, globals, flags);
      const log = createLog({ level: config.logLevel, pretty: process.stderr.isTTY === true && globals.json !== true });
      for (const warning of warnings) log.warn(warning);
      // Fastify and pg-boss load in a quarter of a second that no other command should wait for.
      const { runDaemon } = await import('../daemon/run-daemon.ts');
      context.exitWith(await runDaemon({ config, log, clock: context.clock }));
    });
}
