import { ownMark, type SystemdOptions, standardSystemd } from './service-options.ts';

/** A file of a service: its name without folder, and what is in it. */
export interface ServiceFile {
  readonly name: string;
  readonly content: string;
}

export const systemdUnit = 'engramd';

/** Of the system scope. A static user: the socket below is its before it runs, which a dynamic one cannot have. */
export const systemUser = 'engramd';

/** Service, socket and timer, as systemd reads them. Pure: the same options give the same bytes. */
export function systemdUnits(options: SystemdOptions): readonly ServiceFile[] {
  return [
    { name: `${systemdUnit}.service`, content: service(options) },
    { name: `${systemdUnit}.socket`, content: socket(options) },
    { name: `${systemdUnit}.timer`, content: timer(options) },
  ];
}

function header({ scope }: SystemdOptions, kind: 'service' | 'socket' | 'timer'): string {
  const edit = `systemctl ${scope === 'user' ? '--user ' : ''}edit ${systemdUnit}.${kind}`;
  return `# ${ownMark}, which replaces it; for changes of your own: ${edit}`;
}

function service(options: SystemdOptions): string {
  const isSystem = options.scope === 'system';
  return lines(
    header(options, 'service'),
    '[Unit]',
    'Description=engramd, consolidates the memories of AI agents',
    // A user's manager knows nothing of the network or of the system's services.
    ...(isSystem ? ['Wants=network-online.target', 'After=network-online.target postgresql.service'] : []),
    `Requires=${systemdUnit}.socket`,
    `After=${systemdUnit}.socket`,
    `Wants=${systemdUnit}.timer`,
    '# 5 starts at 10 s apart fit into 300 s, so a daemon that dies at once stays down after the fifth.',
    'StartLimitIntervalSec=300',
    'StartLimitBurst=5',
    '',
    '[Service]',
    'Type=notify',
    '# READY, STATUS and WATCHDOG are sent by systemd-notify, a child.',
    'NotifyAccess=all',
    `ExecStart=${command([options.node, options.main, 'run'])}`,
    '# Settings of your own, one VARIABLE=value a line.',
    // The whole value is the path: no quotes.
    `EnvironmentFile=-${escaped(options.environmentFile)}`,
    `Environment=${assignment('ENGRAMD_SOCKET', options.socket, 'with specifiers')}`,
    '# Where the socket unit listens, so that the daemon knows.',
    `Environment=${assignment('ENGRAMD_HTTP_HOST', options.httpHost)}`,
    `Environment=${assignment('ENGRAMD_HTTP_PORT', String(options.httpPort))}`,
    ...(isStandardState(options) ? [] : [`Environment=${assignment('ENGRAMD_DATA_DIR', options.dataDir)}`]),
    ...(options.backupDir === undefined ? [] : [`Environment=${assignment('ENGRAMD_BACKUP_DIR', options.backupDir)}`]),
    ...(options.configFile === undefined ? [] : [`Environment=${assignment('ENGRAMD_CONFIG', options.configFile)}`]),
    '# 30 rounds of parking and waking took 184 MB of memory to 282 with the default of glibc, to 206 with one arena.',
    'Environment=MALLOC_ARENA_MAX=2',
    ...(isSystem ? credentials : []),
    '# A ping costs 42 ms of processor time: one in 90 s is 0.05 % of a core.',
    'WatchdogSec=180s',
    'Restart=on-failure',
    'RestartSec=10s',
    '# 2: usage, configuration or a newer schema; 4: another instance. The same again would not help.',
    'RestartPreventExitStatus=2 4',
    '# The first start makes a database, one after an update migrates it.',
    'TimeoutStartSec=300s',
    '# A stop is bounded to 25 s.',
    'TimeoutStopSec=40s',
    '# The daemon stops its embedded database in order; only what is left after that is killed.',
    'KillMode=mixed',
    'LimitNOFILE=65536',
    'LimitCORE=0',
    'TasksMax=512',
    'MemoryHigh=1536M',
    'MemoryMax=2G',
    'UMask=0077',
    'NoNewPrivileges=yes',
    ...(isSystem ? systemState(options) : []),
    ...(isSystem ? hardening : []),
    '',
    '[Install]',
    `WantedBy=${isSystem ? 'multi-user.target' : 'default.target'}`,
    `Also=${systemdUnit}.socket ${systemdUnit}.timer`,
  );
}

const credentials = [
  '# Secrets that only the service can read: uncomment, and name the file to the daemon.',
  '#LoadCredential=openai_api_key:/etc/engramd/openai_api_key',
  '#Environment=OPENAI_API_KEY_FILE=%d/openai_api_key',
  '#LoadCredential=api_token:/etc/engramd/api_token',
  '#Environment=ENGRAMD_API_TOKEN_FILE=%d/api_token',
];

/** $STATE_DIRECTORY is the default data directory; another has to be named, and exempted from the read-only system. */
function isStandardState({ scope, dataDir }: SystemdOptions): boolean {
  return scope === 'system' && dataDir === standardSystemd.dataDir;
}

function systemState(options: SystemdOptions): readonly string[] {
  // One that is not there, as a disk that is not mounted, is no reason not to start: the backup says so.
  const { backupDir } = options;
  const backups = backupDir === undefined ? [] : [`ReadWritePaths=-${quoted(escaped(backupDir))}`];
  const own = [`User=${systemUser}`, `Group=${systemUser}`, ...backups];
  if (isStandardState(options)) return [...own, 'StateDirectory=engramd', 'StateDirectoryMode=0700'];
  return [...own, `ReadWritePaths=${quoted(escaped(options.dataDir))}`];
}

/**
 * `systemd-analyze security` gives it less than 2.0. What it still minds: the network, that V8 writes code, and
 * /proc/sys, where the boot's id stands, which locks are told apart by. Not PrivateUsers: where there are no user
 * namespaces, as in many containers, the service would not start (217/USER), and a user without rights gains little by it.
 */
const hardening = [
  'ProtectSystem=strict',
  'ProtectHome=yes',
  'PrivateTmp=yes',
  'PrivateDevices=yes',
  'PrivateMounts=yes',
  'ProtectHostname=yes',
  'ProtectClock=yes',
  'ProtectKernelTunables=yes',
  'ProtectKernelModules=yes',
  'ProtectKernelLogs=yes',
  'ProtectControlGroups=yes',
  'ProtectProc=invisible',
  'DevicePolicy=closed',
  'KeyringMode=private',
  'RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK',
  'RestrictNamespaces=yes',
  'RestrictRealtime=yes',
  'RestrictSUIDSGID=yes',
  'LockPersonality=yes',
  'RemoveIPC=yes',
  'CapabilityBoundingSet=',
  'AmbientCapabilities=',
  'SystemCallArchitectures=native',
  '# The embedded PostgreSQL needs shared memory and semaphores, which @system-service has.',
  'SystemCallFilter=@system-service',
  'SystemCallFilter=~@privileged @resources',
  'SystemCallErrorNumber=EPERM',
];

function socket(options: SystemdOptions): string {
  const isSystem = options.scope === 'system';
  return lines(
    header(options, 'socket'),
    '[Unit]',
    'Description=Sockets of engramd, which start it on demand',
    '# Whoever stops the service means it: nothing may start it again but another start.',
    `PartOf=${systemdUnit}.service`,
    '',
    '[Socket]',
    `ListenStream=${options.socket}`,
    `ListenStream=${httpAddress(options)}`,
    'SocketMode=0600',
    ...(isSystem ? [`SocketUser=${systemUser}`, `SocketGroup=${systemUser}`] : []),
    'DirectoryMode=0755',
    '',
    '[Install]',
    'WantedBy=sockets.target',
  );
}

function httpAddress({ httpHost, httpPort }: SystemdOptions): string {
  return `${httpHost.includes(':') ? `[${httpHost}]` : httpHost}:${httpPort}`;
}

/** What `ENGRAMD_HIBERNATE=exit` needs: the next thing due has nobody left to wait for it. */
function timer(options: SystemdOptions): string {
  return lines(
    header(options, 'timer'),
    '[Unit]',
    'Description=Starts engramd for what is due, where it ends itself to hibernate',
    `PartOf=${systemdUnit}.service`,
    '',
    '[Timer]',
    '# From when the service went down. Boot starts it anyway.',
    'OnUnitInactiveSec=1h',
    'AccuracySec=1min',
    `Unit=${systemdUnit}.service`,
    '',
    '[Install]',
    'WantedBy=timers.target',
  );
}

function lines(...all: readonly string[]): string {
  return `${all.join('\n')}\n`;
}

/** `%` begins a specifier wherever units have values. */
function escaped(value: string): string {
  return value.replaceAll('%', '%%');
}

function quoted(value: string): string {
  return /^[\w./:@%+,=-]+$/.test(value) ? value : `"${value.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`;
}

/** In a command line `$` would be a variable. */
function command(words: readonly string[]): string {
  return words.map((word) => quoted(escaped(word).replaceAll('$', '$$$$'))).join(' ');
}

function assignment(name: string, value: string, has: 'with specifiers' | 'as it is' = 'as it is'): string {
  return quoted(`${name}=${has === 'with specifiers' ? value : escaped(value)}`);
}
