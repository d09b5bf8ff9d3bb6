import { chmodSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { pino } from 'pino';
import { afterAll, describe, expect, it } from 'vitest';
import { createSystemdNotify } from '../../src/daemon/systemd-notify.ts';
import { systemClock } from '../../src/telemetry/clock.ts';
import { silentLog } from '../../src/telemetry/log.ts';
import { createDrivenClock } from '../support/driven-clock.ts';
import { createScratchFolder, removeScratchFolder } from '../support/scratch-folder.ts';

const parent = createScratchFolder();
afterAll(() => removeScratchFolder(parent));

/** A folder with systemd's program, which notes each argument, its socket, and what else it knows of us. */
function shim(script = ''): { readonly folder: string; read(): string } {
  const folder = mkdtempSync(join(parent, 'bin-'));
  const told = join(folder, 'told');
  const command = join(folder, 'systemd-notify');
  writeFileSync(told, '');
  writeFileSync(
    command,
    `#!/bin/sh\n${script}\nprintf '%s' "$NOTIFY_SOCKET$SECRET" >> ${told}\nprintf '|%s' "$@" >> ${told}\necho >> ${told}\n`,
  );
  chmodSync(command, 0o755);
  return { folder, read: () => readFileSync(told, 'utf8') };
}

function collected() {
  const lines: { level: number; error: string; msg: string }[] = [];
  return { lines, log: pino({}, { write: (line: string) => void lines.push(JSON.parse(line)) }) };
}

describe('the messages', () => {
  it('are those of the program found in PATH, in order, with its socket and nothing else of ours', async () => {
    const { folder, read } = shim();
    const env = { NOTIFY_SOCKET: '@engramd/notify', PATH: `/nowhere${delimiter}${folder}`, SECRET: 'sk-1' };
    const notify = createSystemdNotify({ env, clock: systemClock, log: silentLog, folders: [] });
    const ready = notify.ready('awake\nMAINPID=1');
    const stopping = notify.stopping();
    await Promise.all([ready, stopping]);
    expect(read()).toBe('@engramd/notify|READY=1|STATUS=awake MAINPID=1\n@engramd/notify|STOPPING=1\n');
  });

  it('come from /usr/bin where that has the program', async () => {
    const [first, second] = [shim(), shim()];
    const env = { NOTIFY_SOCKET: '/run/notify', PATH: second.folder };
    await createSystemdNotify({ env, clock: systemClock, log: silentLog, folders: [first.folder] }).stopping();
    expect(first.read()).toBe('/run/notify|STOPPING=1\n');
    expect(second.read()).toBe('');
  });

  it.each([
    ['nobody listens', {}, []],
    ['there is no such program', { NOTIFY_SOCKET: '/run/notify', PATH: '' }, [40]],
  ])('are not sent where %s', async (_, env, levels) => {
    const { lines, log } = collected();
    const spawned: string[] = [];
    const spawn = async (command: string) => void spawned.push(command);
    const notify = createSystemdNotify({ env, clock: systemClock, log, spawn, folders: [] });
    await notify.ready('awake');
    notify.status('asleep');
    await notify.stopping();
    expect(spawned).toEqual([]);
    expect(notify.watchdog).toBeNull();
    expect(lines.map(({ level }) => level)).toEqual(levels);
  });

  it('that fail are one warning, and the next is sent all the same', async () => {
    const { folder, read } = shim('case "$1" in READY=1) echo "no such socket" >&2; exit 1;; esac');
    const { lines, log } = collected();
    const env = { NOTIFY_SOCKET: '/run/notify', PATH: folder };
    const notify = createSystemdNotify({ env, clock: systemClock, log, folders: [] });
    await notify.ready('awake');
    await notify.ready('awake');
    await notify.stopping();
    expect(read()).toBe('/run/notify|STOPPING=1\n');
    expect(lines).toMatchObject([{ level: 40, error: expect.stringContaining('no such socket') }]);
  });
});

describe('the status', () => {
  it('is sent when it is new, the newest of ten seconds, and not once the stop has begun', async () => {
    const { folder } = shim();
    const clock = createDrivenClock();
    const sent: string[] = [];
    const spawn = async (_: string, args: readonly string[]) => void sent.push(args.join(' '));
    const env = { NOTIFY_SOCKET: '/run/notify', PATH: folder };
    const notify = createSystemdNotify({ env, clock, log: silentLog, spawn, folders: [] });
    notify.status('starting');
    await clock.advance(0);
    expect(sent).toEqual(['STATUS=starting']);

    notify.status('starting');
    notify.status('awake');
    notify.status('drowsy');
    await clock.advance(9999);
    expect(sent).toHaveLength(1);
    await clock.advance(1);
    expect(sent).toEqual(['STATUS=starting', 'STATUS=drowsy']);

    // There and back within the ten seconds is no news.
    notify.status('awake');
    notify.status('drowsy');
    await clock.advance(10_000);
    expect(sent).toHaveLength(2);

    notify.status(`${'z'.repeat(500)}`);
    await clock.advance(0);
    expect(sent[2]).toBe(`STATUS=${'z'.repeat(200)}`);

    notify.status('awake');
    await notify.stopping();
    notify.status('drowsy');
    await clock.advance(60_000);
    expect(sent.slice(3)).toEqual(['STOPPING=1']);
  });
});

describe('the watchdog', () => {
  it.each([
    ['half of what systemd waits for', { WATCHDOG_USEC: '60000000' }, 30_000],
    ['if we are the one', { WATCHDOG_USEC: '60000000', WATCHDOG_PID: String(process.pid) }, 30_000],
    ['not for another process', { WATCHDOG_USEC: '60000000', WATCHDOG_PID: '1' }, undefined],
    ['not unless asked', {}, undefined],
    ['not for nonsense', { WATCHDOG_USEC: 'soon' }, undefined],
    ['not for nothing', { WATCHDOG_USEC: '0' }, undefined],
  ])('is told %s', (_, env, expected) => {
    const { folder } = shim();
    const notify = createSystemdNotify({
      env: { NOTIFY_SOCKET: '/run/notify', PATH: folder, ...env },
      clock: systemClock,
      log: silentLog,
      folders: [],
    });
    expect(notify.watchdog?.intervalMs).toBe(expected);
    if (notify.watchdog) expect(notify.watchdog.command).toBe(join(folder, 'systemd-notify'));
  });
});
