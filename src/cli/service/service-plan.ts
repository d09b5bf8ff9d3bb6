import { isIP } from 'node:net';
import { join } from 'node:path';
import type { Config, SettingKey } from '../../config/schema.ts';
import type { ServiceMarker } from '../../daemon/service-marker.ts';
import { launchdLabel, launchdPlist } from './launchd-plist.ts';
import type { SupervisorCommand } from './run-command.ts';
import { NoSupervisorError } from './service-errors.ts';
import { type ServiceScope, standardSystemd } from './service-options.ts';
import { systemdUnit, systemdUnits, systemUser } from './systemd-units.ts';

/** The machine that a service is installed on. */
export interface ServiceHost {
  readonly platform: string;
  readonly uid: number;
  /** What /etc and /Library are below. */
  readonly root: string;
  readonly home: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly node: string;
  readonly main: string;
  /** Whether systemd is what started this machine: its tools alone may be there in a container, too. */
  readonly hasSystemd: boolean;
}

/** All that installing comes to, for a dry run to show and an installation to carry out. */
export interface ServicePlan {
  readonly marker: ServiceMarker;
  readonly dataDir: string;
  readonly files: readonly { readonly path: string; readonly content: string }[];
  /** Before the files: what they rely on. */
  readonly prepare: readonly SupervisorCommand[];
  /** Succeeds where the supervisor knows the service already. */
  readonly probe: SupervisorCommand;
  readonly start: readonly SupervisorCommand[];
  /** For a service that runs as other files said. */
  readonly restart: readonly SupervisorCommand[];
  readonly stop: readonly SupervisorCommand[];
  /** After the files are gone. */
  readonly forget: readonly SupervisorCommand[];
  /** Where settings of the service go that its files do not say; read by a person, or by ENGRAMD_CONFIG. */
  readonly settingsGoInto: string;
  /** Settings that the files say, beside those of a configuration file. */
  readonly takesOver: readonly SettingKey[];
  /** Settings that the supervisor would read and ignore, in a sentence that names them. */
  readonly unusable: string | undefined;
  /** What stands in the way of such a service on this machine, in a sentence. */
  readonly obstacle: string | undefined;
  readonly hints: readonly string[];
}

interface PlanInput {
  readonly host: ServiceHost;
  readonly scope: ServiceScope;
  readonly config: Pick<Config, 'dataDir' | 'httpHost' | 'httpPort'> & Partial<Pick<Config, 'backupDir'>>;
  readonly configFile: string | undefined;
}

/** @throws NoSupervisorError on systems that have neither systemd nor launchd */
export function planService(input: PlanInput): ServicePlan {
  switch (input.host.platform) {
    case 'linux':
      return planSystemd(input);
    case 'darwin':
      return planLaunchd(input);
    default:
      throw new NoSupervisorError(
        `engramd writes units for systemd and launchd, and ${input.host.platform} has neither: have its own supervisor start \`engramd run\`, again after exit code 1 or a signal`,
      );
  }
}

function planSystemd({ host, scope, config, configFile }: PlanInput): ServicePlan {
  const isSystem = scope === 'system';
  const configHome = configHomeOf(host);
  const folder = isSystem ? join(host.root, 'etc/systemd/system') : join(configHome, 'systemd/user');
  const runtime = isSystem ? '/run' : host.env.XDG_RUNTIME_DIR || `/run/user/${host.uid}`;
  const environmentFile = environmentFileOf(host, scope);
  const units = systemdUnits({
    scope,
    node: host.node,
    main: host.main,
    dataDir: config.dataDir,
    configFile,
    environmentFile,
    socket: '%t/engramd/engramd.sock',
    httpHost: addressOf(config),
    httpPort: config.httpPort,
    ...backupsElsewhere(config),
  });
  const systemctl = (...args: string[]): SupervisorCommand =>
    isSystem ? ['systemctl', ...args] : ['systemctl', '--user', ...args];
  const unitNames = units.map(({ name }) => name);
  return {
    marker: {
      kind: 'systemd',
      scope,
      unit: systemdUnit,
      hasTimer: true,
      socket: join(runtime, 'engramd/engramd.sock'),
    },
    dataDir: config.dataDir,
    files: units.map(({ name, content }) => ({ path: join(folder, name), content })),
    // Leaves a user of that name as it is.
    prepare: isSystem ? [['systemd-sysusers', '--inline', `u ${systemUser} - "engramd" ${config.dataDir}`]] : [],
    probe: systemctl('cat', ...unitNames),
    start: [systemctl('daemon-reload'), systemctl('enable', '--now', ...unitNames)],
    restart: [systemctl('restart', `${systemdUnit}.service`)],
    stop: [systemctl('disable', '--now', ...unitNames)],
    forget: [systemctl('daemon-reload')],
    settingsGoInto: environmentFile,
    takesOver: ['dataDir', 'httpHost', 'httpPort', 'socket', 'backupDir'],
    unusable: whatSystemdIgnores(config),
    obstacle: !host.hasSystemd
      ? 'systemd does not run here: start `engramd run` from whatever does, such as the Docker image'
      : isSystem
        ? hiddenFromSystem(host, configFile)
        : undefined,
    hints: [
      `settings of the service go into ${environmentFile}, one VARIABLE=value a line`,
      ...(isSystem && config.dataDir !== standardSystemd.dataDir
        ? [`${config.dataDir} has to belong to the service: chown -R ${systemUser}: ${config.dataDir}`]
        : []),
      ...(isSystem ? [] : ['without this, it ends when you log out: loginctl enable-linger']),
    ],
  };
}

function backupsElsewhere({ dataDir, backupDir }: PlanInput['config']): { readonly backupDir?: string } {
  return backupDir === undefined || backupDir === join(dataDir, 'backups') ? {} : { backupDir };
}

function planLaunchd({ host, scope, config, configFile }: PlanInput): ServicePlan {
  const isSystem = scope === 'system';
  const folder = isSystem ? join(host.root, 'Library/LaunchDaemons') : join(host.home, 'Library/LaunchAgents');
  const logFile = isSystem ? '/var/log/engramd.log' : join(host.home, 'Library/Logs/engramd.log');
  const { dataDir } = config;
  const plist = launchdPlist({ scope, node: host.node, main: host.main, dataDir, configFile, logFile });
  const path = join(folder, plist.name);
  const domain = launchdDomain(scope, host.uid);
  const target = `${domain}/${launchdLabel}`;
  return {
    marker: { kind: 'launchd', scope, label: launchdLabel, hasTimer: false },
    dataDir,
    files: [{ path, content: plist.content }],
    prepare: [],
    probe: ['launchctl', 'print', target],
    start: [
      ['launchctl', 'enable', target],
      ['launchctl', 'bootstrap', domain, path],
    ],
    // Starting takes in the new file: what is loaded is let go of before.
    restart: [],
    stop: [['launchctl', 'bootout', target]],
    forget: [],
    settingsGoInto: configFile ?? 'a JSON file, and install again with --config FILE',
    takesOver: ['dataDir'],
    unusable: undefined,
    obstacle: undefined,
    hints: [
      `its log is ${logFile}, which nobody rotates`,
      'settings of the service go into a JSON file: install again with --config FILE',
    ],
  };
}

export function launchdDomain(scope: ServiceScope, uid: number): string {
  return scope === 'system' ? 'system' : `gui/${uid}`;
}

/** Settings of a systemd service, one VARIABLE=value a line. */
export function environmentFileOf(host: ServiceHost, scope: ServiceScope): string {
  return scope === 'system'
    ? join(host.root, 'etc/engramd/engramd.env')
    : join(configHomeOf(host), 'engramd/engramd.env');
}

function configHomeOf({ env, home }: ServiceHost): string {
  return env.XDG_CONFIG_HOME || join(home, '.config');
}

/** Socket units take addresses only. */
function addressOf({ httpHost }: PlanInput['config']): string {
  const host = httpHost.replace(/^\[(.*)\]$/, '$1');
  return host === 'localhost' ? '127.0.0.1' : host;
}

/** systemd says so in its log, and goes on without the socket. */
function whatSystemdIgnores(config: PlanInput['config']): string | undefined {
  if (config.httpPort === 0) return 'ENGRAMD_HTTP_PORT: a socket unit needs a port of its own, and 0 is any';
  if (isIP(addressOf(config)) !== 0) return undefined;
  return `ENGRAMD_HTTP_HOST: a socket unit needs an address, and ${config.httpHost} is a name`;
}

/** The unit hides homes and temporary folders from the service. */
function hiddenFromSystem({ node, main }: ServiceHost, configFile: string | undefined): string | undefined {
  const isHidden = (path: string) => /^\/(?:home|root|run\/user|tmp|var\/tmp)\//.test(path);
  const hidden = [node, main].find(isHidden);
  if (hidden !== undefined)
    return `the service would not see ${hidden}, since homes and temporary folders are hidden from it: install engramd for everybody (npm install --global), or use --user`;
  if (configFile === undefined || !isHidden(configFile)) return undefined;
  return `the service would not see ${configFile}, since homes and temporary folders are hidden from it: move it, e.g. to /etc/engramd, or use --user`;
}
