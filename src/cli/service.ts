import { existsSync, realpathSync } from 'node:fs';
import { homedir } from 'node:os';
import { resolve } from 'node:path';
import { type Command, Option } from 'commander';
import { loadConfig } from '../config/load-config.ts';
import { isLoopback } from '../config/loopback.ts';
import { writeWakeSignal } from '../daemon/life/wake-signal.ts';
import { type CommandContext, globalOptions, noteWarnings } from './command-context.ts';
import { assertUsable, installService, uninstallService } from './service/install.ts';
import { type LeftBehind, settingsLeftBehind, variablesIn } from './service/left-behind.ts';
import { runCommand } from './service/run-command.ts';
import type { ServiceScope } from './service/service-options.ts';
import { environmentFileOf, planService, type ServiceHost, type ServicePlan } from './service/service-plan.ts';
import { readServiceStatus } from './service/service-status.ts';
import { showPlan } from './service/show-plan.ts';
import { table } from './table.ts';

interface ServiceFlags {
  readonly user?: true;
  readonly system?: true;
  readonly dryRun?: true;
  readonly force?: true;
}

export function addService(program: Command, context: CommandContext): void {
  const service = program
    .command('service')
    .summary('have systemd or launchd run the daemon')
    .description('Has systemd or launchd run the daemon: at boot or login, again after a failure, on demand.');
  const add = (name: string, summary: string, description: string) =>
    service
      .command(name)
      .summary(summary)
      .description(description)
      .addOption(new Option('--user', 'a service of this user').conflicts('system'))
      .option('--system', 'a service of this machine (the default for root)');

  add(
    'install',
    'write the files and start the service',
    'Writes the files for the settings that hold now, tells the daemon that it is wanted, and has the supervisor start it. Exit 4 where a file of that name is not ours.',
  )
    .option('--dry-run', 'show files and commands; do nothing')
    .option('--force', 'replace files that are not ours')
    .addHelpText(
      'after',
      `
Examples:
  $ engramd service install --dry-run
  $ sudo engramd service install
  $ engramd service install --user && loginctl enable-linger`,
    )
    .action(async (flags: ServiceFlags, command: Command) => {
      const { plan, leftBehind, isOpen } = planFor(context, command, flags);
      const { terminal } = context;
      assertUsable(plan);
      noteLeftBehind(context, plan, { leftBehind, isOpen });
      if (flags.dryRun) {
        if (globalOptions(command).json) return terminal.json({ ...plan, leftBehind });
        for (const line of showPlan(plan, terminal)) terminal.out(line);
        return;
      }
      const deps = {
        run: runCommand,
        clock: context.clock,
        writeWakeSignal: (dataDir: string) =>
          writeWakeSignal(dataDir, { by: 'service install', now: context.clock.now() }),
      };
      await installService(plan, deps, { isForced: flags.force === true });
      if (globalOptions(command).json)
        return terminal.json({ installed: plan.files.map(({ path }) => path), leftBehind });
      for (const { path } of plan.files) terminal.out(path);
      for (const hint of plan.hints) terminal.note(`engramd: ${hint}`);
    });

  add(
    'uninstall',
    'stop the service and remove its files',
    'Stops the service and removes its files. The data directory stays as it is.',
  )
    .option('--force', 'remove files that are not ours, too')
    .action(async (flags: ServiceFlags, command: Command) => {
      const { plan } = planFor(context, command, flags);
      const wasThere = await uninstallService(plan, { run: runCommand }, { isForced: flags.force === true });
      const { terminal } = context;
      if (globalOptions(command).json) return terminal.json({ uninstalled: wasThere });
      terminal.out(wasThere ? `removed; the data is still in ${plan.dataDir}` : 'there was no such service');
    });

  add(
    'status',
    'whether it is installed, enabled and running',
    'Says whether the service is installed, enabled and running, and whether its files are what this version would write. Exit 1 unless installed and as written.',
  ).action(async (flags: ServiceFlags, command: Command) => {
    const status = await readServiceStatus(planFor(context, command, flags).plan, runCommand);
    const { terminal } = context;
    if (!status.isInstalled || status.isDrifted) context.exitWith(1);
    if (globalOptions(command).json) return terminal.json(status);
    const said = (is: boolean) => (is ? terminal.green('yes') : terminal.yellow('no'));
    const rows = [
      ['service', `${status.kind}, ${status.scope}`],
      ['installed', said(status.isInstalled)],
      ['enabled', said(status.isEnabled)],
      ['running', said(status.isRunning)],
      ...status.files.map(({ path, state }) => [state === 'same' ? 'file' : terminal.yellow(state), path]),
    ];
    for (const line of table(rows)) terminal.out(line);
    if (status.isDrifted) terminal.note('engramd: engramd service install --dry-run shows what would change');
  });
}

interface Planned {
  readonly plan: ServicePlan;
  readonly leftBehind: readonly LeftBehind[];
  /** Other machines can reach it, and its token is not there yet. */
  readonly isOpen: boolean;
}

function planFor(context: CommandContext, command: Command, flags: ServiceFlags): Planned {
  const globals = globalOptions(command);
  const host = thisHost(context);
  const scope = scopeOf(flags, host);
  const alreadySet = variablesIn(environmentFileOf(host, scope));
  const hasTokenElsewhere = alreadySet.has('ENGRAMD_API_TOKEN') || alreadySet.has('ENGRAMD_API_TOKEN_FILE');
  const loaded = loadConfig({
    env: context.env,
    configFile: globals.config,
    flags: { dataDir: globals.dataDir, logLevel: globals.logLevel },
    hasTokenElsewhere: hasTokenElsewhere && host.platform === 'linux',
  });
  noteWarnings(context, loaded);
  const given = globals.config ?? context.env.ENGRAMD_CONFIG;
  const configFile = given ? resolve(given) : undefined;
  const plan = planService({ host, scope, config: loaded.config, configFile });
  const leftBehind = settingsLeftBehind(plan, loaded, { env: context.env, configFile, alreadySet });
  const isOpen =
    plan.takesOver.includes('httpHost') &&
    !isLoopback(loaded.config.httpHost) &&
    leftBehind.some(({ variable }) => /^ENGRAMD_API_TOKEN/.test(variable));
  return { plan, leftBehind, isOpen };
}

/** Names only: what a setting says may be a secret. */
function noteLeftBehind(
  { terminal }: CommandContext,
  plan: ServicePlan,
  { leftBehind, isOpen }: Omit<Planned, 'plan'>,
): void {
  const named = (settings: readonly LeftBehind[]) =>
    settings.map(({ variable, from }) => `${variable} (${from})`).join(', ');
  const missing = leftBehind.filter(({ putInto }) => putInto !== null);
  const own = leftBehind.filter(({ putInto }) => putInto === null);
  if (missing.length > 0)
    terminal.note(
      `engramd: the service does not have these settings, put them into ${plan.settingsGoInto}: ${named(missing)}`,
    );
  if (own.length > 0) terminal.note(`engramd: the service has its own instead of ${named(own)}`);
  if (isOpen)
    terminal.note(
      'engramd: other machines can reach its address: without ENGRAMD_API_TOKEN there the service refuses to start',
    );
}

function scopeOf(flags: ServiceFlags, host: ServiceHost): ServiceScope {
  if (flags.user) return 'user';
  return flags.system || host.uid === 0 ? 'system' : 'user';
}

function thisHost({ env }: CommandContext): ServiceHost {
  return {
    platform: process.platform,
    uid: process.getuid?.() ?? 0,
    root: '/',
    home: env.HOME || homedir(),
    env,
    node: process.execPath,
    // A link in a bin folder may be pointed elsewhere by the next version manager.
    main: realpathSync(process.argv[1] ?? ''),
    // sd_booted(3).
    hasSystemd: existsSync('/run/systemd/system'),
  };
}
