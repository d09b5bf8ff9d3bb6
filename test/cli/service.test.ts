import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { installService, type ServiceDeps, uninstallService } from '../../src/cli/service/install.ts';
import { type LeftBehind, settingsLeftBehind, variablesIn } from '../../src/cli/service/left-behind.ts';
import { lineDiff } from '../../src/cli/service/line-diff.ts';
import type { SupervisorCommand } from '../../src/cli/service/run-command.ts';
import type { ServiceScope } from '../../src/cli/service/service-options.ts';
import { planService, type ServiceHost, type ServicePlan } from '../../src/cli/service/service-plan.ts';
import { readServiceStatus } from '../../src/cli/service/service-status.ts';
import { showPlan } from '../../src/cli/service/show-plan.ts';
import { startThroughSupervisor } from '../../src/cli/service/supervisor.ts';
import { loadConfig } from '../../src/config/load-config.ts';
import { readServiceMarker, writeServiceMarker } from '../../src/daemon/service-marker.ts';
import { engramd } from '../support/engramd-process.ts';
import { createScratchFolder, removeScratchFolder } from '../support/scratch-folder.ts';

const scratch = createScratchFolder();
afterAll(() => removeScratchFolder(scratch));

let home: string;
let dataDir: string;
let runs = 0;
beforeEach(() => {
  runs += 1;
  home = join(scratch, `home-${runs}`);
  dataDir = join(home, 'data');
  mkdirSync(home);
});

const hostOf = (platform: string, more: Partial<ServiceHost> = {}): ServiceHost => ({
  platform,
  uid: 501,
  // Nothing here may reach the real /etc, whoever runs it and whatever guard is broken.
  root: join(home, 'root'),
  home,
  env: {},
  node: '/usr/bin/node',
  main: '/usr/lib/node_modules/engramd/dist/main.js',
  hasSystemd: true,
  ...more,
});

function planOf(
  platform: string,
  scope: ServiceScope = 'user',
  more: Partial<ServiceHost> = {},
  settings: Partial<Parameters<typeof planService>[0]['config']> & { readonly configFile?: string } = {},
): ServicePlan {
  const { configFile, ...changed } = settings;
  const config = { dataDir, httpHost: '127.0.0.1', httpPort: 7766, ...changed };
  return planService({ host: hostOf(platform, more), scope, config, configFile });
}

/** Notes what happens in its order, and lets the commands that match fail. */
function recorded(fails = /^$/) {
  const order: string[] = [];
  const deps: ServiceDeps = {
    run: async (command: SupervisorCommand) => {
      const line = command.join(' ');
      order.push(line);
      if (fails.test(line)) return { status: 1, stdout: '', stderr: 'Failed to connect to bus\n' };
      return { status: 0, stdout: '', stderr: '' };
    },
    clock: { sleep: async () => undefined },
    writeWakeSignal: (folder) => {
      writeFileSync(join(folder, 'wake.signal'), '');
      order.push(`signal, marker ${readServiceMarker(folder) ? 'there' : 'missing'}`);
    },
  };
  return { order, deps };
}

const notForced = { isForced: false };
const pathsOf = (plan: ServicePlan) => plan.files.map(({ path }) => path);

it('a directory of backups elsewhere goes into the unit, and only such a one', () => {
  const unitOf = (backupDir: string) => planOf('linux', 'system', {}, { backupDir }).files[0]?.content;
  expect(unitOf('/mnt/backups')).toContain('ENGRAMD_BACKUP_DIR=/mnt/backups');
  expect(unitOf('/mnt/backups')).toContain('ReadWritePaths=-/mnt/backups');
  expect(unitOf(join(dataDir, 'backups'))).not.toContain('backups');
});

describe('install', () => {
  it('writes the wake signal before it calls systemd, and the marker before both', async () => {
    const plan = planOf('linux');
    const { order, deps } = recorded();
    await installService(plan, deps, notForced);
    expect(order).toEqual([
      'signal, marker there',
      'systemctl --user daemon-reload',
      'systemctl --user enable --now engramd.service engramd.socket engramd.timer',
    ]);
    expect(pathsOf(plan)).toEqual(
      ['service', 'socket', 'timer'].map((kind) => join(home, '.config/systemd/user', `engramd.${kind}`)),
    );
    for (const { path, content } of plan.files) {
      expect(readFileSync(path, 'utf8')).toBe(content);
      expect(statSync(path).mode & 0o777).toBe(0o644);
    }
    expect(readServiceMarker(dataDir)).toEqual({
      kind: 'systemd',
      scope: 'user',
      unit: 'engramd',
      hasTimer: true,
      socket: '/run/user/501/engramd/engramd.sock',
    });
  });

  it('makes the user of a system service before the files that name it are used', () => {
    const plan = planOf('linux', 'system');
    expect(plan.prepare).toEqual([['systemd-sysusers', '--inline', `u engramd - "engramd" ${dataDir}`]]);
    expect(pathsOf(plan)[0]).toBe(join(home, 'root/etc/systemd/system/engramd.service'));
    expect(plan.hints).toContainEqual(expect.stringContaining(`chown -R engramd: ${dataDir}`));
  });

  it('writes the wake signal before it calls launchd, and never kills the one that runs', async () => {
    const plan = planOf('darwin');
    const { order, deps } = recorded(/print/);
    await installService(plan, deps, notForced);
    expect(order).toEqual([
      'signal, marker there',
      'launchctl print gui/501/dev.engramd.daemon',
      'launchctl enable gui/501/dev.engramd.daemon',
      `launchctl bootstrap gui/501 ${home}/Library/LaunchAgents/dev.engramd.daemon.plist`,
    ]);
    expect(order.join()).not.toContain('-k');
    expect(readServiceMarker(dataDir)).toMatchObject({ kind: 'launchd', label: 'dev.engramd.daemon', hasTimer: false });
  });

  it('lets launchd finish the stop of what it has loaded before it loads again', async () => {
    let isLoaded = true;
    let looks = 0;
    const { order, deps } = recorded();
    const run: ServiceDeps['run'] = async (command) => {
      if (command[1] === 'print') {
        looks += 1;
        isLoaded &&= looks < 4;
        return { status: isLoaded ? 0 : 113, stdout: '', stderr: '' };
      }
      if (command[1] === 'bootstrap') expect(isLoaded).toBe(false);
      return deps.run(command);
    };
    await installService(planOf('darwin'), { ...deps, run }, notForced);
    expect(looks).toBe(4);
    expect(order.map((line) => line.split(' ')[1])).toEqual(['marker', 'bootout', 'enable', 'bootstrap']);
  });

  it('leaves the wake signal where the supervisor fails, and no marker that promises a timer', async () => {
    const { deps } = recorded(/enable/);
    await expect(installService(planOf('linux'), deps, notForced)).rejects.toMatchObject({
      code: 'SUPERVISOR',
      exitCode: 1,
      message: expect.stringMatching(/systemctl --user enable --now .*: Failed to connect to bus$/),
    });
    expect(existsSync(join(dataDir, 'wake.signal'))).toBe(true);
    expect(readServiceMarker(dataDir)).toBeUndefined();
  });

  it('names a unit path that cannot be written, and leaves nothing half done', async () => {
    const plan = planOf('linux');
    const [, socket = ''] = pathsOf(plan);
    mkdirSync(socket, { recursive: true });
    const { order, deps } = recorded();
    await expect(installService(plan, deps, { isForced: true })).rejects.toMatchObject({
      code: 'SERVICE_FILE',
      exitCode: 1,
      message: expect.stringContaining(socket),
    });
    expect(order).toEqual([]);
    expect(pathsOf(plan).filter((path) => existsSync(path))).toEqual([socket]);
    expect(existsSync(dataDir)).toBe(false);
  });

  it('takes back files and folders that it made before it came to a path that cannot be written', async () => {
    const plan = planOf('linux');
    const [first] = plan.files;
    if (!first) throw new Error('no file');
    // A file stands where the last one needs a folder.
    writeFileSync(join(home, 'blocked'), '');
    const beside = { path: join(home, 'engramd.service'), content: 'x' };
    const files = [first, beside, { path: join(home, 'blocked/engramd.socket'), content: 'x' }];
    const { deps } = recorded();
    await expect(installService({ ...plan, files }, deps, { isForced: true })).rejects.toThrow(
      /blocked\/engramd\.socket cannot be written/,
    );
    expect(readdirSync(home)).toEqual(['blocked']);
  });

  it('refuses to replace a file of somebody else, unless forced', async () => {
    const plan = planOf('linux');
    const [service = ''] = pathsOf(plan);
    mkdirSync(join(home, '.config/systemd/user'), { recursive: true });
    writeFileSync(service, '[Service]\nExecStart=/opt/mine\n');
    const { order, deps } = recorded();
    await expect(installService(plan, deps, notForced)).rejects.toMatchObject({
      code: 'SERVICE_FILE_FOREIGN',
      exitCode: 4,
      message: expect.stringContaining(service),
    });
    expect(order).toEqual([]);
    expect(readFileSync(service, 'utf8')).toContain('/opt/mine');
    await installService(plan, deps, { isForced: true });
    expect(readFileSync(service, 'utf8')).not.toContain('/opt/mine');
  });

  it('restarts a service that runs as other files said', async () => {
    const plan = planOf('linux');
    await installService(plan, recorded().deps, notForced);
    const [service = ''] = pathsOf(plan);
    writeFileSync(service, readFileSync(service, 'utf8').replace('MemoryMax=2G', 'MemoryMax=1G'));
    const { order, deps } = recorded();
    await installService(plan, deps, notForced);
    expect(order.at(-1)).toBe('systemctl --user restart engramd.service');
    const again = recorded();
    await installService(plan, again.deps, notForced);
    expect(again.order.join()).not.toContain('restart');
  });

  it.each([
    ['without systemd as the init', { hasSystemd: false }, 'user', /systemd does not run here/],
    ['from a home, for everybody', { main: '/home/ana/engramd/src/main.ts' }, 'system', /npm install --global/],
    ['by a node below /root, for everybody', { node: '/root/.nvm/bin/node' }, 'system', /--user/],
  ] as const)('says what to do %s', async (_, more, scope, message) => {
    const plan = planOf('linux', scope, more);
    const { order, deps } = recorded();
    await expect(installService(plan, deps, notForced)).rejects.toThrow(message);
    expect(order).toEqual([]);
  });

  it.each([
    ['a port that is any', { httpPort: 0 }, /^ENGRAMD_HTTP_PORT: /],
    [
      'a name for an address',
      { httpHost: 'memory.example.org' },
      /^ENGRAMD_HTTP_HOST: .*memory\.example\.org is a name/,
    ],
  ])('refuses %s, which systemd would ignore', async (_, settings, message) => {
    const { order, deps } = recorded();
    const refused = { code: 'CONFIG', exitCode: 2, message: expect.stringMatching(message) };
    await expect(installService(planOf('linux', 'user', {}, settings), deps, notForced)).rejects.toMatchObject(refused);
    expect(order).toEqual([]);
    expect(existsSync(dataDir)).toBe(false);
    // It listens by itself there.
    expect(planOf('darwin', 'user', {}, settings).unusable).toBeUndefined();
  });

  it('refuses a configuration file that the service would not see', () => {
    const hidden = planOf('linux', 'system', {}, { configFile: '/root/engramd.json' });
    expect(hidden.obstacle).toMatch(/would not see \/root\/engramd\.json/);
    expect(planOf('linux', 'user', {}, { configFile: '/root/engramd.json' }).obstacle).toBeUndefined();
  });

  it('has daemon and socket at the same address', () => {
    const [service, socket] = planOf('linux', 'user', {}, { httpHost: '[::1]', httpPort: 8080 }).files;
    expect(service?.content).toMatch(/^Environment=ENGRAMD_HTTP_HOST=::1\nEnvironment=ENGRAMD_HTTP_PORT=8080$/m);
    expect(socket?.content).toMatch(/^ListenStream=\[::1\]:8080$/m);
    const [byName] = planOf('linux', 'user', {}, { httpHost: 'localhost' }).files;
    expect(byName?.content).toMatch(/^Environment=ENGRAMD_HTTP_HOST=127\.0\.0\.1$/m);
  });

  it.each(['linux', 'darwin'])('touches nothing outside of the folders it is given: %s', (platform) => {
    for (const scope of ['system', 'user'] as const) {
      const plan = planOf(platform, scope);
      for (const path of [...pathsOf(plan), plan.dataDir]) expect(path.startsWith(`${home}/`), path).toBe(true);
    }
  });

  it('says what to do on a system with neither', () => {
    expect(() => planOf('freebsd')).toThrow(/have its own supervisor start `engramd run`/);
  });
});

describe('the settings of whoever installs', () => {
  const leftBehind = (
    platform: string,
    env: Readonly<Record<string, string>>,
    more: { readonly configFile?: string; readonly alreadySet?: readonly string[] } = {},
  ) => {
    const { configFile, alreadySet = [] } = more;
    const loaded = loadConfig({ env, flags: { dataDir, logLevel: 'warn' }, configFile });
    const known = { env, configFile, alreadySet: new Set(alreadySet) };
    return settingsLeftBehind(
      planOf(platform, 'user', {}, configFile === undefined ? {} : { configFile }),
      loaded,
      known,
    );
  };
  const namesOf = (left: readonly LeftBehind[]) => left.map(({ variable }) => variable);

  it('that the unit does not carry are listed by name, with where to put them', () => {
    const keyFile = join(home, 'key');
    writeFileSync(keyFile, 'sk-from-file');
    const env = {
      OPENAI_BASE_URL: 'http://user:secret@models:8000/v1',
      OPENAI_API_KEY_FILE: keyFile,
      ENGRAMD_HTTP_PORT: '8080',
      ENGRAMD_SOCKET: join(home, 'my.sock'),
    };
    const left = leftBehind('linux', env);
    const putInto = join(home, '.config/engramd/engramd.env');
    expect(left).toEqual([
      { variable: 'OPENAI_API_KEY_FILE', from: 'environment', putInto },
      { variable: 'OPENAI_BASE_URL', from: 'environment', putInto },
      { variable: 'ENGRAMD_SOCKET', from: 'environment', putInto: null },
      { variable: 'LOG_LEVEL', from: 'flag --log-level', putInto },
    ]);
    // launchd has no socket for it and no address.
    expect(namesOf(leftBehind('darwin', env))).toEqual(expect.arrayContaining(['ENGRAMD_HTTP_PORT', 'ENGRAMD_SOCKET']));
  });

  it('are not listed where its configuration file or its environment file has them', () => {
    const configFile = join(home, 'engramd.json');
    writeFileSync(join(home, 'token'), 'token-in-file');
    const values = { ENGRAMD_HIBERNATE: 'off', ENGRAMD_API_TOKEN_FILE: 'token', ENGRAMD_SOCKET: 'mine.sock' };
    writeFileSync(configFile, JSON.stringify(values));
    expect(namesOf(leftBehind('linux', {}, { configFile }))).toEqual(['ENGRAMD_SOCKET', 'LOG_LEVEL']);
    const env = { OPENAI_API_KEY: 'sk-1', ENGRAMD_DECIDER: 'rules' };
    expect(namesOf(leftBehind('linux', env, { alreadySet: ['OPENAI_API_KEY_FILE', 'LOG_LEVEL'] }))).toEqual([
      'ENGRAMD_DECIDER',
    ]);
  });

  it('are told from those of an environment file as systemd reads it', () => {
    const file = join(home, 'engramd.env');
    writeFileSync(file, '# OPENAI_API_KEY=x\n; A=1\nENGRAMD_APPLY=review\n LOG_LEVEL="info"\nEMPTY=\nQUOTED=""\nB=x\n');
    expect([...variablesIn(file)]).toEqual(['ENGRAMD_APPLY', 'LOG_LEVEL', 'B']);
    expect(variablesIn(join(home, 'none.env'))).toEqual(new Set());
  });
});

describe('a dry run', () => {
  const plain = { bold: same, dim: same, green: same, red: same, yellow: same };
  function same(text: string) {
    return text;
  }

  it('prints files and commands, works without a supervisor, and does nothing', () => {
    const plan = planOf('linux', 'user', { hasSystemd: false });
    const shown = showPlan(plan, plain).join('\n');
    for (const { path, content } of plan.files) {
      expect(shown).toContain(`${path}  new`);
      expect(shown).toContain(content.trimEnd());
    }
    expect(shown).toContain('not here: systemd does not run here');
    expect(shown).toContain('$ systemctl --user enable --now engramd.service engramd.socket engramd.timer');
    expect(shown).toContain('loginctl enable-linger');
    expect(existsSync(join(home, '.config'))).toBe(false);
  });

  it('is a command that ends well anywhere', async () => {
    const args = ['service', 'install', '--dry-run', '--user', '--data-dir', dataDir, '--json'];
    const { code, stdout, stderr } = await engramd(args, { HOME: home });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const { files } = JSON.parse(stdout) as ServicePlan;
    expect(files[0]?.content).toContain(process.execPath);
    expect(readdirSync(home)).toEqual([]);
  });

  it('names what the service would not have, and never its value; a token may be in its environment file alone', async () => {
    const args = ['service', 'install', '--dry-run', '--user', '--data-dir', dataDir, '--json'];
    const open = { HOME: home, ENGRAMD_HTTP_HOST: '0.0.0.0' };
    const refused = await engramd(args, open);
    expect(refused).toMatchObject({ code: 2, stderr: expect.stringMatching(/ENGRAMD_HTTP_HOST.*ENGRAMD_API_TOKEN/) });

    const token = 'token-of-whoever-installs';
    const { code, stdout, stderr } = await engramd(args, { ...open, ENGRAMD_API_TOKEN: token });
    const file = join(home, '.config/engramd/engramd.env');
    expect(code).toBe(0);
    expect(JSON.parse(stdout).leftBehind).toEqual([
      { variable: 'ENGRAMD_API_TOKEN', from: 'environment', putInto: file },
    ]);
    expect(stderr).toContain(`put them into ${file}: ENGRAMD_API_TOKEN (environment)`);
    expect(stderr).toContain('without ENGRAMD_API_TOKEN there the service refuses to start');
    expect(stdout + stderr).not.toContain(token);

    mkdirSync(join(home, '.config/engramd'), { recursive: true });
    writeFileSync(file, 'ENGRAMD_API_TOKEN=abc\n');
    expect(await engramd(args, open)).toMatchObject({ code: 0, stderr: '' });
    const anyPort = await engramd(args, { HOME: home, ENGRAMD_HTTP_PORT: '0' });
    expect(anyPort).toMatchObject({ code: 2, stderr: expect.stringContaining('ENGRAMD_HTTP_PORT: ') });
  });

  it('shows what would change', async () => {
    const plan = planOf('linux');
    await installService(plan, recorded().deps, notForced);
    const [service = '', , timer = ''] = pathsOf(plan);
    writeFileSync(service, readFileSync(service, 'utf8').replace('MemoryMax=2G', 'MemoryMax=1G'));
    const shown = showPlan(plan, plain);
    expect(shown).toContain(`${service}  would change`);
    expect(shown.filter((line) => /^[+-]/.test(line))).toEqual(['-MemoryMax=1G', '+MemoryMax=2G']);
    expect(shown).toContain(`${timer}  as it is`);
  });

  it('tells lines that went from lines that came', () => {
    expect(lineDiff('a\nb\nc', 'a\nx\nc\nd')).toEqual([' a', '-b', '+x', ' c', '+d']);
  });
});

describe('uninstall', () => {
  it('stops the service, removes its files and the marker, and keeps the data', async () => {
    const plan = planOf('linux');
    await installService(plan, recorded().deps, notForced);
    writeFileSync(join(dataDir, 'memories'), 'precious');
    const { order, deps } = recorded();
    expect(await uninstallService(plan, deps, notForced)).toBe(true);
    expect(order.slice(1)).toEqual([
      'systemctl --user disable --now engramd.service engramd.socket engramd.timer',
      'systemctl --user daemon-reload',
    ]);
    expect(pathsOf(plan).filter((path) => existsSync(path))).toEqual([]);
    expect(readServiceMarker(dataDir)).toBeUndefined();
    expect(readFileSync(join(dataDir, 'memories'), 'utf8')).toBe('precious');
    expect(await uninstallService(plan, deps, notForced)).toBe(false);
  });

  it('leaves the files where the supervisor does not stop it, and those of somebody else', async () => {
    const plan = planOf('linux');
    await installService(plan, recorded().deps, notForced);
    await expect(uninstallService(plan, recorded(/disable/).deps, notForced)).rejects.toThrow(/Failed to connect/);
    expect(pathsOf(plan).every((path) => existsSync(path))).toBe(true);
    expect(readServiceMarker(dataDir)).toBeDefined();

    const [service = ''] = pathsOf(plan);
    writeFileSync(service, '[Service]\nExecStart=/opt/mine\n');
    const { order, deps } = recorded();
    await expect(uninstallService(plan, deps, notForced)).rejects.toMatchObject({ exitCode: 4 });
    expect(order).toEqual([]);
    expect(existsSync(service)).toBe(true);
  });
});

describe('status', () => {
  it('tells whether it is installed, enabled, running, and as this version would write it', async () => {
    const plan = planOf('linux');
    const down = recorded(/is-active/).deps.run;
    expect(await readServiceStatus(plan, down)).toMatchObject({
      isInstalled: false,
      isEnabled: false,
      isRunning: false,
    });
    await installService(plan, recorded().deps, notForced);
    const status = { isInstalled: true, isDrifted: false, isEnabled: true, isRunning: false };
    expect(await readServiceStatus(plan, down)).toMatchObject(status);
    const [, socket = ''] = pathsOf(plan);
    writeFileSync(socket, readFileSync(socket, 'utf8').replace(':7766', ':7777'));
    expect(await readServiceStatus(plan, down)).toMatchObject({ ...status, isDrifted: true });
  });

  it('reads launchd', async () => {
    const plan = planOf('darwin');
    await installService(plan, recorded(/print/).deps, notForced);
    const says = (stdout: string) => async () => ({ status: 0, stdout, stderr: '' });
    expect(await readServiceStatus(plan, says('\tstate = running\n'))).toMatchObject({
      isEnabled: true,
      isRunning: true,
    });
    expect(await readServiceStatus(plan, says('\tstate = not running\n'))).toMatchObject({ isRunning: false });
  });
});

describe('starting through the supervisor', () => {
  it.each([
    [
      { kind: 'systemd', scope: 'user', unit: 'engramd', hasTimer: true, socket: '/s' },
      'systemctl --user start engramd.service',
    ],
    [
      { kind: 'systemd', scope: 'system', unit: 'engramd', hasTimer: true, socket: '/s' },
      'systemctl start engramd.service',
    ],
    [
      { kind: 'launchd', scope: 'user', label: 'dev.engramd.daemon', hasTimer: true },
      'launchctl kickstart gui/501/dev.engramd.daemon',
    ],
    [
      { kind: 'launchd', scope: 'system', label: 'dev.engramd.daemon', hasTimer: true },
      'launchctl kickstart system/dev.engramd.daemon',
    ],
  ] as const)('reads from the marker how: %o', async (marker, expected) => {
    writeServiceMarker(home, marker);
    const { order, deps } = recorded();
    expect(await startThroughSupervisor(home, { run: deps.run, uid: 501 })).toBe(true);
    expect(order).toEqual([expected]);
  });

  it('says so where nothing was installed, or the marker is damaged', async () => {
    const { order, deps } = recorded();
    expect(await startThroughSupervisor(home, { run: deps.run })).toBe(false);
    writeFileSync(join(home, 'service.json'), '{"kind":"systemd"');
    chmodSync(join(home, 'service.json'), 0o644);
    expect(await startThroughSupervisor(home, { run: deps.run })).toBe(false);
    expect(order).toEqual([]);
  });

  it('passes on what the supervisor says', async () => {
    writeServiceMarker(home, { kind: 'launchd', scope: 'user', label: 'x', hasTimer: true });
    await expect(startThroughSupervisor(home, { run: recorded(/kickstart/).deps.run })).rejects.toMatchObject({
      code: 'SUPERVISOR',
      exitCode: 1,
    });
  });
});
