/** What the units are written for. All paths absolute. */
export interface ServiceOptions {
  readonly scope: ServiceScope;
  /** The Node that runs it: a service has no PATH worth relying on. */
  readonly node: string;
  readonly main: string;
  readonly dataDir: string;
  /** `--config` or ENGRAMD_CONFIG at the time of the installation. */
  readonly configFile: string | undefined;
}

export type ServiceScope = 'system' | 'user';

/** Where systemd's units differ from launchd's. */
export interface SystemdOptions extends ServiceOptions {
  /** Settings, one VARIABLE=value a line. Read where it is there. */
  readonly environmentFile: string;
  /** Control socket, specifiers allowed. */
  readonly socket: string;
  /** An address without brackets: socket units take no names. */
  readonly httpHost: string;
  readonly httpPort: number;
  /** Of backups, where it is not that of the data directory: the service may write nowhere else. */
  readonly backupDir?: string;
}

export interface LaunchdOptions extends ServiceOptions {
  readonly logFile: string;
}

/** The first lines of every file say so: what lacks it was written by somebody, and is not ours to replace. */
export const ownMark = 'Written by `engramd service install`';

/** A node_modules of `npm install --global`, as most Linux distributions and macOS have it. */
export const standardSystemd: SystemdOptions = {
  scope: 'system',
  node: '/usr/bin/node',
  main: '/usr/lib/node_modules/engramd/dist/main.js',
  dataDir: '/var/lib/engramd',
  configFile: undefined,
  environmentFile: '/etc/engramd/engramd.env',
  socket: '%t/engramd/engramd.sock',
  httpHost: '127.0.0.1',
  httpPort: 7766,
};

export const standardLaunchd: LaunchdOptions = {
  scope: 'system',
  node: '/usr/local/bin/node',
  main: '/usr/local/lib/node_modules/engramd/dist/main.js',
  dataDir: '/var/lib/engramd',
  configFile: undefined,
  logFile: '/var/log/engramd.log',
};
