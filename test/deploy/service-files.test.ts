import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { launchdPlist } from '../../src/cli/service/launchd-plist.ts';
import { standardLaunchd, standardSystemd } from '../../src/cli/service/service-options.ts';
import { systemdUnits } from '../../src/cli/service/systemd-units.ts';
import { stopDeadlineMs } from '../../src/daemon/stop-bounds.ts';
import { readPlist } from '../support/plist.ts';

const root = new URL('../../', import.meta.url);
const committed = (folder: string) =>
  readdirSync(new URL(folder, root)).map((name) => ({
    name,
    content: readFileSync(new URL(`${folder}/${name}`, root), 'utf8'),
  }));

/** The values of a key, in any section. */
function valuesOf(unit: string, key: string): string[] {
  return [...unit.matchAll(new RegExp(`^${key}=(.*)$`, 'gm'))].map(([, value = '']) => value);
}
function secondsOf(unit: string, key: string): number {
  const [value = ''] = valuesOf(unit, key);
  expect(value, key).toMatch(/^\d+s?$/);
  return Number.parseInt(value, 10);
}
/** Keys of each section, in their order. */
function sectionOf(unit: string, key: string): string | undefined {
  let section: string | undefined;
  for (const line of unit.split('\n')) {
    section = /^\[(.*)\]$/.exec(line)?.[1] ?? section;
    if (line.startsWith(`${key}=`)) return section;
  }
  return undefined;
}

const [service = '', socket = '', timer = ''] = systemdUnits(standardSystemd).map(({ content }) => content);
const userUnits = systemdUnits({ ...standardSystemd, scope: 'user', dataDir: '/home/ana/engramd' });
const [userService = ''] = userUnits.map(({ content }) => content);

describe('the files of the repository', () => {
  it('are what `service install` writes for the usual places; node test/tasks/service-files.ts writes them again', () => {
    const byName = (files: readonly { name: string }[]) => [...files].sort((a, b) => (a.name < b.name ? -1 : 1));
    expect(byName(committed('systemd'))).toEqual(byName(systemdUnits(standardSystemd)));
    expect(committed('launchd')).toEqual([launchdPlist(standardLaunchd)]);
  });
});

describe('the systemd units', () => {
  it('are restarted after a failure, but not for what would fail the same again', () => {
    expect(valuesOf(service, 'Restart')).toEqual(['on-failure']);
    expect(valuesOf(service, 'RestartPreventExitStatus')).toEqual(['2 4']);
  });

  it('have start limits that trip: where systemd reads them, and within their interval', () => {
    expect(sectionOf(service, 'StartLimitIntervalSec')).toBe('Unit');
    expect(sectionOf(service, 'StartLimitBurst')).toBe('Unit');
    const burst = secondsOf(service, 'StartLimitBurst');
    expect(secondsOf(service, 'RestartSec') * burst).toBeLessThan(secondsOf(service, 'StartLimitIntervalSec'));
  });

  it('give the stop the time it may take', () => {
    expect(secondsOf(service, 'TimeoutStopSec') * 1000).toBeGreaterThan(stopDeadlineMs + 5000);
  });

  it('keep the memory of a daemon that parks and wakes from growing with the arenas of glibc, as the image does', () => {
    expect(valuesOf(service, 'Environment')).toContain('MALLOC_ARENA_MAX=2');
    expect(readFileSync(new URL('Dockerfile', root), 'utf8')).toMatch(/^\s+MALLOC_ARENA_MAX=2 \\$/m);
  });

  it('slow the daemon down before they kill it', () => {
    const bytes = (text = '') => Number.parseInt(text, 10) * (text.endsWith('G') ? 1024 : 1);
    expect(bytes(valuesOf(service, 'MemoryHigh')[0])).toBeLessThan(bytes(valuesOf(service, 'MemoryMax')[0]));
  });

  it('hand down both sockets, closed to other users and owned by the one who probes them', () => {
    expect(valuesOf(socket, 'ListenStream')).toEqual(['%t/engramd/engramd.sock', '127.0.0.1:7766']);
    expect(valuesOf(socket, 'SocketMode')).toEqual(['0600']);
    expect(valuesOf(socket, 'SocketUser')).toEqual(valuesOf(service, 'User'));
    // The daemon knows of both.
    const told = ['SOCKET=%t/engramd/engramd.sock', 'HTTP_HOST=127.0.0.1', 'HTTP_PORT=7766'];
    expect(valuesOf(service, 'Environment')).toEqual(
      expect.arrayContaining(told.map((assignment) => `ENGRAMD_${assignment}`)),
    );
    const six = systemdUnits({ ...standardSystemd, httpHost: '::1', httpPort: 80 }).map(({ content }) => content);
    expect(valuesOf(six[1] ?? '', 'ListenStream')[1]).toBe('[::1]:80');
    expect(valuesOf(six[0] ?? '', 'Environment')).toEqual(
      expect.arrayContaining(['ENGRAMD_HTTP_HOST=::1', 'ENGRAMD_HTTP_PORT=80']),
    );
    // A dynamic user is nobody before the service runs.
    expect(valuesOf(service, 'DynamicUser')).toEqual([]);
  });

  it('are stopped together, and only by whoever stops the service: not when it ends itself to hibernate', () => {
    for (const unit of [socket, timer]) {
      expect(valuesOf(unit, 'PartOf')).toEqual(['engramd.service']);
      expect(valuesOf(unit, 'BindsTo')).toEqual([]);
    }
    expect(valuesOf(service, 'Requires')).toEqual(['engramd.socket']);
    expect(valuesOf(service, 'Wants')).toContain('engramd.timer');
    expect(valuesOf(timer, 'OnUnitInactiveSec')).toEqual(['1h']);
  });

  it('of a user ask for nothing that takes privileges', () => {
    for (const key of ['User', 'PrivateUsers', 'ProtectSystem', 'CapabilityBoundingSet', 'StateDirectory'])
      expect(valuesOf(userService, key), key).toEqual([]);
    expect(valuesOf(userService, 'WantedBy')).toEqual(['default.target']);
    expect(valuesOf(userService, 'Environment')).toContain('ENGRAMD_DATA_DIR=/home/ana/engramd');
    expect(userUnits.map(({ content }) => content).join()).not.toContain('multi-user');
  });

  it('let backups be written where they are to go, and start without that place', () => {
    const [unit = ''] = systemdUnits({ ...standardSystemd, backupDir: '/mnt/a b' }).map(({ content }) => content);
    expect(valuesOf(unit, 'Environment')).toContain('"ENGRAMD_BACKUP_DIR=/mnt/a b"');
    expect(valuesOf(unit, 'ReadWritePaths')).toEqual(['-"/mnt/a b"']);
    expect(service).not.toContain('ENGRAMD_BACKUP_DIR');
  });

  it('keep paths as they are: spaces, percent signs, dollars', () => {
    const odd = { ...standardSystemd, node: '/opt/a b/node', main: '/opt/$x/100%.js', dataDir: '/srv/5 % "q"' };
    const [unit = ''] = systemdUnits(odd).map(({ content }) => content);
    expect(valuesOf(unit, 'ExecStart')).toEqual(['"/opt/a b/node" "/opt/$$x/100%%.js" run']);
    expect(valuesOf(unit, 'Environment')).toContain('"ENGRAMD_DATA_DIR=/srv/5 %% \\"q\\""');
    expect(valuesOf(unit, 'ReadWritePaths')).toEqual(['"/srv/5 %% \\"q\\""']);
    expect(valuesOf(unit, 'StateDirectory')).toEqual([]);
  });
});

const absolute = z.string().startsWith('/');
const plistSchema = z.strictObject({
  Label: z.string().regex(/^[a-z]+(?:\.[a-z]+)+$/),
  ProgramArguments: z.tuple([absolute, absolute, z.literal('run')]),
  EnvironmentVariables: z.strictObject({ ENGRAMD_DATA_DIR: absolute, ENGRAMD_CONFIG: absolute.optional() }),
  RunAtLoad: z.literal(true),
  // Conditions are ORed: `Crashed` beside it would start again what ended in order.
  KeepAlive: z.strictObject({ SuccessfulExit: z.literal(false) }),
  ThrottleInterval: z.int().min(10),
  ProcessType: z.enum(['Adaptive', 'Interactive', 'Standard']),
  ExitTimeOut: z.int().min(stopDeadlineMs / 1000 + 5),
  SoftResourceLimits: z.strictObject({ NumberOfFiles: z.int().min(8192) }),
  Umask: z.literal(0o077),
  StandardOutPath: absolute,
  StandardErrorPath: absolute,
});

describe('the launchd property list', () => {
  it('parses and has the keys that launchd knows, of the kinds it wants', () => {
    const { content } = launchdPlist(standardLaunchd);
    expect(plistSchema.parse(readPlist(content)).ProgramArguments[1]).toBe(standardLaunchd.main);
  });

  it('keeps paths with what XML would read', () => {
    const odd = { ...standardLaunchd, dataDir: '/Users/a&b <c>/engramd', configFile: '/etc/x.json' };
    const read = plistSchema.parse(readPlist(launchdPlist(odd).content));
    expect(read.EnvironmentVariables).toEqual({ ENGRAMD_DATA_DIR: odd.dataDir, ENGRAMD_CONFIG: '/etc/x.json' });
  });

  it.each([
    ['a tag launchd does not know', '<strng>x</strng>'],
    ['a key without a value', '<dict><key>a</key></dict>'],
    ['a value without a key', '<dict><true/></dict>'],
    ['a bare ampersand', '<string>a & b</string>'],
    ['something behind the list', '<true/><true/>'],
  ])('is read by a reader that refuses %s', (_, inner) => {
    const head = '<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE plist PUBLIC "x" "y">\n';
    expect(() => readPlist(`${head}<plist version="1.0">${inner}</plist>`)).toThrow();
    expect(readPlist(`${head}<plist version="1.0"><dict><key>a</key><true/></dict></plist>`)).toEqual({ a: true });
  });
});
